//! What the cores and stores refuse, as problem documents.

use std::time::Duration;

use identity::Invalid;
use storage_journal::{AppendError, OpenError};
use storage_spans::AcceptError;
use wire::native::problem::{Code, Problem};

/// When to come back to an intake that is at its limit: a disk gets through a queue in less.
pub(crate) const BUSY: Duration = Duration::from_secs(1);

/// A value that breaks its rule.
pub(crate) fn invalid(error: &Invalid) -> Problem {
    let field = error.what().replace(' ', "_");
    let code =
        if error.rule().contains("never dialled") { Code::AddressForbidden } else { Code::InvalidValue };
    Problem::new(code, error.to_string()).at(format!("/{field}"))
}

/// A command that the registry refused.
pub(crate) fn registry(error: registry::Error) -> Problem {
    let detail = error.to_string();
    match error {
        registry::Error::NotFound(_) => Problem::new(Code::NoSuchInstance, detail),
        registry::Error::StaleLease(_) => Problem::new(Code::StaleLease, detail),
        registry::Error::Changed { .. } => Problem::new(Code::InstanceChanged, detail).at("If-Match"),
        registry::Error::LastInstance(_) => Problem::new(Code::LastInstance, detail),
        registry::Error::Invalid(error) => invalid(&error),
        registry::Error::Full { .. } => Problem::new(Code::TooManyInstances, detail),
    }
}

/// A change of a policy that the registry refused.
pub(crate) fn policy(error: registry::PolicyError) -> Problem {
    use registry::PolicyError::*;
    let detail = error.to_string();
    match error {
        NotFound(_) => Problem::new(Code::NoSuchPolicy, detail),
        NoSuchRevision { .. } | NothingBefore(_) => Problem::new(Code::NoSuchPolicyRevision, detail),
        Mismatch { .. } => Problem::new(Code::PolicyChanged, detail).at("If-Match"),
        Taken { .. } => Problem::new(Code::PolicyTaken, detail).at("/spec/service"),
        Full { .. } => Problem::new(Code::TooManyPolicies, detail),
        Invalid(error) => invalid(&error),
    }
}

/// A document that is not a policy.
pub(crate) fn mistake(mistake: &wire::policy::Mistake) -> Problem {
    use wire::policy::Fault::*;
    let code = match mistake.fault() {
        Syntax => Code::MalformedBody,
        Unknown => Code::UnknownField,
        Missing => Code::MissingField,
        Value => Code::InvalidValue,
    };
    let problem = Problem::new(code, mistake.detail()).at(mistake.path());
    match mistake.what_next() {
        Some(next) => problem.next(next.to_owned()),
        None => problem,
    }
}

/// A record that the disk refused.
pub(crate) fn append(error: AppendError) -> Problem {
    let detail = error.to_string();
    match error {
        AppendError::Full { .. } => Problem::new(Code::DiskFull, detail).retry_after(Duration::from_secs(5)),
        AppendError::TooLarge { .. } => Problem::new(Code::RecordTooLarge, detail),
        AppendError::QueueFull { .. } => {
            Problem::new(Code::StorageBusy, detail).retry_after(Duration::from_secs(1))
        }
        AppendError::Closed => stopping(),
        _ => Problem::new(Code::DiskFailed, detail).retry_after(Duration::from_secs(5)),
    }
}

/// A part of a report that was not taken in.
pub(crate) fn accept(error: AcceptError) -> Problem {
    let detail = error.to_string();
    match error {
        AcceptError::Full(error) | AcceptError::Disk(error) => append(error),
        AcceptError::TooLarge { .. } => Problem::new(Code::TelemetryTooLarge, detail),
        AcceptError::Busy => Problem::new(Code::TelemetryBusy, detail).retry_after(BUSY),
        AcceptError::Closed => stopping(),
        AcceptError::Unbalanced { .. } => Problem::new(Code::TelemetryMalformed, detail),
    }
}

/// A journal that cannot be opened.
pub(crate) fn open(error: &OpenError) -> Problem {
    let code = match error {
        OpenError::Damaged(_) => Code::DataFolderDamaged,
        OpenError::Newer { .. } | OpenError::Replay { .. } => Code::DataFolderNewer,
        _ => Code::DataFolderUnusable,
    };
    Problem::new(code, error.to_string())
}

/// A request that came while the server stops.
pub(crate) fn stopping() -> Problem {
    Problem::new(Code::ShuttingDown, "the server is stopping").retry_after(Duration::from_secs(1))
}

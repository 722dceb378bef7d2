//! What a call is counted under.

use std::fmt;

use identity::{InstanceId, Namespace, RouteName, ServiceName};

/// What calls are counted under: who called whom, by which way, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey {
    /// The namespace of the service.
    pub namespace: Namespace,
    /// The service that called: a sidecar's own, or `gateway`.
    pub caller: ServiceName,
    /// The service that was called.
    pub service: ServiceName,
    /// The instance that answered at last; `None` where no endpoint was ever chosen.
    pub instance: Option<InstanceId>,
    /// The route.
    pub route: RouteName,
    /// On which side of the call it was counted.
    pub reporter: Reporter,
    /// How it ended.
    pub outcome: Outcome,
    /// The class of the answer's status.
    pub status: StatusClass,
}

/// On which side of a call it was counted. A call with a proxy on both sides is counted on both, so the
/// two are never added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Reporter {
    /// Where it was made: the gateway, or the caller's sidecar.
    #[default]
    Source,
    /// Where it arrived: the called service's sidecar.
    Destination,
}

impl Reporter {
    /// Both sides.
    pub const ALL: [Reporter; 2] = [Reporter::Source, Reporter::Destination];

    /// The side as a lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reporter::Source => "source",
            Reporter::Destination => "destination",
        }
    }
}

/// How a call ended, after all its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// With an answer that is no failure.
    Ok,
    /// With a failure of the service or of the way to it.
    Error,
    /// With a time-out of ours.
    Timeout,
    /// Before any attempt, by us: a breaker was open, a limit reached, no endpoint there.
    Refused,
    /// Because the client went away, which is nobody's failure.
    Cancelled,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Outcome; 5] =
        [Outcome::Ok, Outcome::Error, Outcome::Timeout, Outcome::Refused, Outcome::Cancelled];

    /// The outcome as a lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Error => "error",
            Outcome::Timeout => "timeout",
            Outcome::Refused => "refused",
            Outcome::Cancelled => "cancelled",
        }
    }
}

/// The class of an answer's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum StatusClass {
    /// There was no answer, or none with a status.
    #[default]
    None,
    /// 100 to 199.
    Informational,
    /// 200 to 299.
    Success,
    /// 300 to 399.
    Redirection,
    /// 400 to 499.
    ClientError,
    /// 500 to 599.
    ServerError,
}

impl StatusClass {
    /// All classes, in the order of their first digits.
    pub const ALL: [StatusClass; 6] = [
        StatusClass::None,
        StatusClass::Informational,
        StatusClass::Success,
        StatusClass::Redirection,
        StatusClass::ClientError,
        StatusClass::ServerError,
    ];

    /// The class of an HTTP status.
    pub const fn of(status: u16) -> Self {
        match status / 100 {
            1 => StatusClass::Informational,
            2 => StatusClass::Success,
            3 => StatusClass::Redirection,
            4 => StatusClass::ClientError,
            5 => StatusClass::ServerError,
            _ => StatusClass::None,
        }
    }

    /// The class as people write it, such as `5xx`; `none` where there was no status.
    pub const fn as_str(self) -> &'static str {
        match self {
            StatusClass::None => "none",
            StatusClass::Informational => "1xx",
            StatusClass::Success => "2xx",
            StatusClass::Redirection => "3xx",
            StatusClass::ClientError => "4xx",
            StatusClass::ServerError => "5xx",
        }
    }
}

macro_rules! written_as_word {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    )*};
}

written_as_word!(Reporter, Outcome, StatusClass);

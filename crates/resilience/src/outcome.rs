//! What the end of a call says about the one who was called.
//!
//! A breaker guards a service, so only what the service did may count against it. What the caller did
//! (a bad request, a hang-up) is neutral or even a sign of life, and what this side decided by itself
//! (a refusal) never counts: a breaker that counts its own refusals can never close.

use std::fmt;

/// How a permitted call ended, as a breaker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The callee did its work.
    Success,
    /// The callee did not.
    Failure,
    /// It says nothing about the callee.
    Ignored,
    /// The caller lost interest.
    Cancelled,
}

/// What went wrong with an attempt before there was an answer, or while it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No connection: refused, unreachable, or its name unknown. Nothing was sent.
    Connect,
    /// No connection within the time for it. Nothing was sent.
    ConnectTimeout,
    /// The endpoint said that it did not begin to process the request (HTTP/2 `REFUSED_STREAM`).
    RefusedStream,
    /// No answer within the time for one attempt.
    AttemptTimeout,
    /// No answer within the time for the call.
    CallTimeout,
    /// The connection ended before the answer did.
    Reset,
    /// The answer was not valid.
    Malformed,
    /// The answer stalled for longer than the idle time.
    Idle,
    /// The address may not be dialled. Nothing was sent.
    Forbidden,
}

impl Fault {
    /// The fault's name in attributes and counters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::Connect => "connect_failure",
            Fault::ConnectTimeout => "connect_timeout",
            Fault::RefusedStream => "refused_stream",
            Fault::AttemptTimeout => "attempt_timeout",
            Fault::CallTimeout => "call_timeout",
            Fault::Reset => "reset",
            Fault::Malformed => "malformed",
            Fault::Idle => "idle_timeout",
            Fault::Forbidden => "forbidden_address",
        }
    }

    /// Whether the endpoint cannot have begun to process the request, so that another try is safe
    /// whatever the request was.
    pub const fn nothing_was_processed(self) -> bool {
        matches!(self, Fault::Connect | Fault::ConnectTimeout | Fault::RefusedStream | Fault::Forbidden)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With an answer of this HTTP status, complete.
    Answered(u16),
    /// Without one, or with only a part.
    Failed(Fault),
    /// Because the caller went away.
    Cancelled,
    /// Because of the caller: its body was not valid, or ended too early.
    CallerFault,
}

/// What an ending says about the callee.
///
/// The server's errors (5xx) are failures, but for 501 and 505, which say that the request was not one
/// that the service has ever served: otherwise any caller could open a breaker with a made-up method.
/// 429 is soft: the service is well and asks for patience.
pub const fn classify(ending: Ending) -> Outcome {
    match ending {
        Ending::Answered(429) => Outcome::Ignored,
        Ending::Answered(501 | 505) => Outcome::Success,
        Ending::Answered(500..=599) => Outcome::Failure,
        Ending::Answered(_) => Outcome::Success,
        Ending::Failed(_) => Outcome::Failure,
        Ending::Cancelled => Outcome::Cancelled,
        Ending::CallerFault => Outcome::Ignored,
    }
}

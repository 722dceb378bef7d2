//! What an event is.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use identity::{InstanceId, Invalid, Namespace, ServiceName, TraceId, Wall};

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An instance came, went or changed.
    Instance,
    /// A circuit breaker opened, closed or was forced.
    Breaker,
    /// A policy was written, rolled back or deleted.
    Policy,
    /// A token was created or revoked.
    Token,
    /// A proxy connected, left or fell behind.
    Proxy,
    /// The control plane itself started, stopped or changed how it runs.
    Server,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 6] =
        [Kind::Instance, Kind::Breaker, Kind::Policy, Kind::Token, Kind::Proxy, Kind::Server];

    /// Its name, as APIs and people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Instance => "instance",
            Kind::Breaker => "breaker",
            Kind::Policy => "policy",
            Kind::Token => "token",
            Kind::Proxy => "proxy",
            Kind::Server => "server",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Kind, Invalid> {
        const RULE: &str = "one of instance, breaker, policy, token, proxy, server";
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.ok_or_else(|| Invalid::new("event kind", text, RULE))
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place among all events, given when it is recorded (what stands here before is ignored).
    /// Revisions ascend, but not always by one, and never go back.
    pub revision: u64,
    /// When it happened.
    pub at: Wall,
    /// What it is about.
    pub kind: Kind,
    /// What happened, as a verb: `registered`, `open`, `revoked`.
    pub action: String,
    /// The namespace it is about, if it is about one.
    pub namespace: Option<Namespace>,
    /// The service it is about, if it is about one.
    pub service: Option<ServiceName>,
    /// The instance it is about, if it is about one.
    pub instance: Option<InstanceId>,
    /// Who did it: a token's name, a proxy's id, `server`.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Whatever else helps: counts, addresses, revisions of policies.
    pub details: BTreeMap<String, String>,
    /// Calls that show it.
    pub exemplar_trace_ids: Vec<TraceId>,
}

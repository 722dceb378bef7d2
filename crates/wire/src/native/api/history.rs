//! What became of instances, and why they are what they are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CheckState;

/// What became of a service or an instance, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// The namespace.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// What happened.
    pub changes: Vec<Recorded>,
    /// What `before` has to be for the next page; none on the last one.
    pub next: Option<u64>,
    /// Every change up to this revision of the registry is recorded; the newest may not be yet.
    pub registry_revision: u64,
}

/// Something that happened to an instance: who, what, when, where from and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Recorded {
    /// Its place among all events.
    pub revision: u64,
    /// The revision of the registry that it made; none for what is no change of the registry.
    pub registry_revision: Option<u64>,
    /// When.
    pub at: String,
    /// To which instance.
    pub instance_id: String,
    /// What, such as `registered`, `lapsed` or `draining`.
    pub action: String,
    /// Who did it: a token's name, or `registry` where time did.
    pub actor: String,
    /// Where from: the dialect and the address.
    pub from: Option<String>,
    /// Why.
    pub reason: String,
    /// The status after it; none where the instance is gone.
    pub status: Option<String>,
    /// Where it listened after it.
    pub address: Option<String>,
    /// The version after it.
    pub version: Option<String>,
}

/// Why an instance is what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Why {
    /// The namespace.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// The instance's id.
    pub instance_id: String,
    /// All of it in a sentence or two.
    pub sentence: String,
    /// `starting`, `up`, `draining`, `maintenance` or `down`.
    pub status: String,
    /// Since when.
    pub since: String,
    /// What speaks against it, the weightiest first: the first decides the status, the second what it
    /// would be without the first, and so on.
    pub facts: Vec<Fact>,
    /// Its lease; none where it has none.
    pub lease: Option<Lease>,
    /// Its checks, and what each has found out.
    pub checks: Vec<CheckState>,
    /// How each proxy that has reported it sees it.
    pub proxies: Vec<Seen>,
    /// What happened to it last, newest first.
    pub changes: Vec<Recorded>,
}

/// Something that speaks against an instance, or an operator's word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fact {
    /// `override`, `lease`, `drain`, `check` or `warm_up`.
    pub fact: String,
    /// The status where nothing weightier is known.
    pub status: String,
    /// In words.
    pub says: String,
    /// Since when, where that is known.
    pub since: Option<String>,
    /// Until when, where that is known.
    pub until: Option<String>,
    /// Who wanted it, where somebody did.
    pub by: Option<String>,
    /// Why that one did.
    pub reason: Option<String>,
}

/// How a lease is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    /// How long it holds without a heartbeat.
    pub ttl: String,
    /// `holds`, `overdue` (its zone is protected) or `lapsed`.
    pub state: String,
    /// For how long it holds yet; nothing where it does not.
    pub left_ns: Option<u64>,
    /// How long after a lapse the instance is forgotten.
    pub deregister_after: String,
    /// Whether so many leases of its zone are overdue that none of them lapses at the moment.
    pub zone_protected: bool,
}

/// An instance as a proxy sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Seen {
    /// The proxy.
    pub proxy: String,
    /// Calls under way.
    pub in_flight: u32,
    /// Why it sends no calls there by its own judgement; empty while it does.
    pub ejected: String,
}

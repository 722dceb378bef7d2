//! Who did what, when and why.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Events {
    /// Newest first.
    pub events: Vec<Event>,
    /// The revision of the newest event that there is.
    pub revision: u64,
}

/// Who did what, when and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its revision, counting events.
    pub revision: u64,
    /// When it happened.
    pub at: String,
    /// `instance`, `breaker`, `policy`, `token`, `proxy` or `server`.
    pub kind: String,
    /// What happened, such as `registered` or `open`.
    pub action: String,
    /// Where.
    pub namespace: Option<String>,
    /// To which service.
    pub service: Option<String>,
    /// To which instance.
    pub instance: Option<String>,
    /// Who did it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What else is known: for a breaker's transition its counts, window, route and proxy.
    pub details: BTreeMap<String, String>,
    /// Calls that led to it.
    pub exemplar_trace_ids: Vec<String>,
}

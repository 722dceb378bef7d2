//! Calls as they go by.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The first event of a tap: who tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TapOpen {
    /// The proxies that are connected.
    pub proxies: Vec<String>,
    /// How many calls a second each of them tells at most.
    pub per_second: u32,
}

/// Calls that matched and were not told: too many in a second, or a reader that was too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOut {
    /// How many since the last such event.
    pub calls: u64,
    /// How many since the beginning.
    pub total: u64,
}

/// A call that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TappedCall {
    /// When it began.
    pub at: String,
    /// The proxy that it went through.
    pub proxy: String,
    /// Who called.
    pub caller: String,
    /// The method.
    pub method: String,
    /// The path without its query, in which people put secrets.
    pub path: String,
    /// What the client was told; none where it had gone.
    pub status: Option<u16>,
    /// `ok`, `error`, `timeout`, `refused` or `cancelled`.
    pub outcome: String,
    /// How long it took.
    pub duration_ns: u64,
    /// The instance that was tried last; none where none was.
    pub instance: Option<String>,
    /// Its address and port.
    pub address: Option<String>,
    /// How many attempts were made.
    pub attempts: u32,
    /// Why the proxy answered by itself; none where the service did.
    pub refused: Option<String>,
    /// The same at length.
    pub detail: String,
    /// Its trace, which may not have been kept.
    pub trace_id: String,
}

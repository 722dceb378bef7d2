//! Accounts, the first page of the console, and the server itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Event, InstanceCounts, Red, TraceSummary};

/// The accounts of all telemetry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ledgers {
    /// Of spans.
    pub spans: Ledger,
    /// Of samples.
    pub samples: Ledger,
}

/// `received = stored + sampled_out + Σ dropped + spooled`, always.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ledger {
    /// All that came.
    pub received: u64,
    /// What was stored, counting on.
    pub stored: u64,
    /// What a sampling decision left out.
    pub sampled_out: u64,
    /// What was lost, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// What waits.
    pub spooled: u64,
    /// What retention has removed from what was stored.
    pub expired: u64,
}

/// The first page of the console, in one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// When it was made.
    pub at: String,
    /// Of which namespace.
    pub namespace: String,
    /// The length of the window of its figures.
    pub window_ns: u64,
    /// The registry's revision.
    pub revision: u64,
    /// The services.
    pub services: Vec<OverviewService>,
    /// Who calls whom.
    pub edges: Vec<OverviewEdge>,
    /// The newest traces.
    pub traces: Vec<TraceSummary>,
    /// The newest events.
    pub events: Vec<Event>,
    /// The accounts.
    pub ledger: Ledgers,
    /// The server.
    pub server: Server,
}

/// A service on the first page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OverviewService {
    /// Its name.
    pub service: String,
    /// Its instances by status.
    pub instances: InstanceCounts,
    /// Its calls.
    pub red: Red,
}

/// An edge on the first page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OverviewEdge {
    /// Who calls.
    pub caller: String,
    /// Who is called.
    pub service: String,
    /// The calls.
    pub red: Red,
    /// The breaker on the way, the worst where there are several; none where no proxy reported one.
    pub breaker: Option<BreakerState>,
}

/// A breaker's state on an edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BreakerState {
    /// `closed`, `open`, `half_open`, …
    pub state: String,
    /// Since when.
    pub since: String,
    /// Why.
    pub reason: String,
}

/// The server that answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Server {
    /// Its version.
    pub version: String,
    /// When it started.
    pub started: String,
    /// Whether everyone who reaches it may do everything.
    pub open_access: bool,
    /// The stores that the disk refuses now; what they hold can be read all the same.
    #[serde(default)]
    pub failing: Vec<FailingStore>,
}

/// A store whose last write failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailingStore {
    /// `catalog`, `events`, `spans` or `samples`.
    pub store: String,
    /// What is in the way, and what to do.
    pub why: String,
}

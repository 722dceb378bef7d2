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
    /// What is wrong now, the worst first; nothing where all is well.
    #[serde(default)]
    pub findings: Vec<Finding>,
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

/// Something that is wrong now: since when, why, where, and what to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The service that it is about.
    pub service: String,
    /// Who calls it, where it is about the calls along one edge.
    pub caller: Option<String>,
    /// Since when.
    pub since: Option<String>,
    /// Why, as a sentence or as the breaker says it.
    pub why: String,
    /// Which part of the service stands out, as a sentence; none where failures are all over it.
    pub cause: Option<String>,
    /// The version of all instances that it is about, where they have one and the same.
    pub version: Option<String>,
    /// The instances that it is about, the first of them; none where it is about the whole service.
    pub instances: Vec<String>,
    /// The share of calls that fail in the part that it is about.
    pub error_ratio: Option<f64>,
    /// The share of calls that fail in the other parts of the service.
    pub others_error_ratio: Option<f64>,
    /// What to do now.
    pub next: NextStep,
    /// Commands that do it.
    pub commands: Vec<String>,
}

/// What can be wrong, the worst first: refused calls hurt someone now, a service with nothing up may have
/// nobody who calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A breaker refuses calls.
    BreakerOpen,
    /// No instance of a service takes calls, and some are down.
    NoInstanceUp,
    /// More than one call in twenty fails, of five or more.
    Errors,
    /// A breaker lets a few calls through.
    BreakerProbing,
    /// Some instances of a service are down.
    InstancesDown,
}

/// What to do about something that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NextStep {
    /// Take the instances out of the calls; the others are well.
    Drain,
    /// Look at the calls that failed.
    LookAtTraces,
    /// Look why instances are down.
    LookAtInstances,
    /// End what an operator forces.
    EndForce,
    /// Nothing: it is being tried whether it is well again.
    Wait,
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

/// What the stores take, and of how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Storage {
    /// Bytes that may still be written where the data folder is; nothing where the disk does not say.
    pub free_bytes: Option<u64>,
    /// With less room than this on the disk, telemetry is refused, so that registrations still fit.
    pub reserve_bytes: u64,
    /// The stores.
    pub stores: Vec<StoreUse>,
}

/// What a store takes, and what it may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreUse {
    /// `catalog` (registrations, policies, tokens), `events`, `spans`, `samples` (the figures of calls) or
    /// `series` (what others measure).
    pub store: String,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// How many they may be, beyond which the oldest goes; nothing where there is no such bound.
    pub disk_budget_bytes: Option<u64>,
    /// Bytes of memory, as the store estimates them; nothing where nobody counts them.
    pub memory_bytes: Option<u64>,
    /// How many they may be.
    pub memory_budget_bytes: Option<u64>,
    /// How many instances, events, spans, series of calls, or samples in parts there are.
    pub entries: u64,
    /// When the oldest came or happened; nothing where nothing is kept, or where it is not told apart.
    pub oldest: Option<String>,
    /// Its age.
    pub age_ns: Option<u64>,
    /// How old it may become; nothing where it stays.
    pub max_age_ns: Option<u64>,
}

/// A store whose last write failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailingStore {
    /// `catalog`, `events`, `spans` or `samples`.
    pub store: String,
    /// What is in the way, and what to do.
    pub why: String,
}

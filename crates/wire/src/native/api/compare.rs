//! What has changed between calls.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Two sets of traces side by side. The changes of all rows are together the change of the mean duration,
/// exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// The first set.
    pub before: ComparedSet,
    /// The second set.
    pub after: ComparedSet,
    /// By how much the mean duration grew.
    pub difference_ns: i64,
    /// Whose time has changed, the largest change first.
    pub changes: Vec<ComparedChange>,
}

/// A set of traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComparedSet {
    /// How many traces it has.
    pub traces: u64,
    /// Whether there are more of them than were looked at.
    pub more: bool,
    /// How many of them failed.
    pub errors: u64,
    /// The mean duration of their roots.
    pub mean_ns: u64,
}

/// How the time of one operation, or of the wire, has changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComparedChange {
    /// `operation`, or `wire` for the time between callers and callees.
    pub of: String,
    /// The namespace of the service; none for wire.
    pub namespace: Option<String>,
    /// The service.
    pub service: Option<String>,
    /// The operation.
    pub operation: Option<String>,
    /// Its mean time on the critical path before.
    pub before_ns: u64,
    /// The same after.
    pub after_ns: u64,
    /// The difference.
    pub difference_ns: i64,
    /// The standard error of the difference: less than twice this may be chance. Zero where a set has but one
    /// trace.
    pub uncertainty_ns: u64,
    /// In how many traces of before it was on the path.
    pub before_traces: u64,
    /// In how many traces of after.
    pub after_traces: u64,
    /// A typical trace of before.
    pub before_example: Option<String>,
    /// The trace of after that has most of it.
    pub after_example: Option<String>,
}

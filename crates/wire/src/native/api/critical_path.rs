//! Where the time of a call went.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The critical path of a trace. The sum of its services' `critical_ns` and of `wire_ns` is `duration_ns`,
/// and so is the sum of its segments, exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CriticalPath {
    /// The trace, 32 hexadecimal digits.
    pub trace_id: String,
    /// The span that the path explains: the earliest root, or the root that was asked for.
    pub root: SpanName,
    /// The trace's other roots. They are not part of the path.
    pub other_roots: Vec<SpanName>,
    /// Whether parents are missing, so that this may be the path of a part.
    pub incomplete: bool,
    /// When the root began.
    pub start: String,
    /// How long it took.
    pub duration_ns: u64,
    /// From its begin until the last work that it caused had ended, asynchronous work included.
    pub makespan_ns: u64,
    /// Time on the path between callers and callees: of calls, what the callee's span does not cover.
    pub wire_ns: u64,
    /// The part of `wire_ns` that rests on corrected clocks, so that the way there is taken to be as long as
    /// the way back.
    pub wire_assumed_ns: u64,
    /// What each service took, longest on the path first.
    pub services: Vec<ServiceTime>,
    /// What each operation took, longest on the path first.
    pub operations: Vec<OperationTime>,
    /// The path in the order of time, without gaps and overlaps.
    pub segments: Vec<PathSegment>,
    /// Spans whose host's clock disagrees with that of their caller.
    pub skew: Vec<Skew>,
    /// Work that nobody waited for.
    pub asynchronous: Vec<AsynchronousWork>,
}

/// Which span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpanName {
    /// Its id, 16 hexadecimal digits.
    pub span_id: String,
    /// Its service.
    pub service: String,
    /// What was done.
    pub operation: String,
}

/// What a service took. A service that records nothing itself is spoken for by the proxy that called it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceTime {
    /// The namespace.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// Its time on the critical path: by this much a call would have been faster without it.
    pub critical_ns: u64,
    /// Time on the critical path between it and what it called. Part of no service's `critical_ns`.
    pub wire_ns: u64,
    /// The time in which its spans had no child running.
    pub self_ns: u64,
    /// The durations of all its spans, which may overlap.
    pub total_ns: u64,
    /// How many spans it has.
    pub spans: u64,
    /// How many of them failed.
    pub errors: u64,
}

/// What an operation of a service took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperationTime {
    /// What was done.
    pub operation: String,
    /// By whom, and how long.
    #[serde(flatten)]
    pub time: ServiceTime,
}

/// A piece of the critical path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PathSegment {
    /// The span that everything else waited for.
    pub span_id: String,
    /// Whose time it is.
    pub service: String,
    /// What was done.
    pub operation: String,
    /// How long after the root's begin.
    pub offset_ns: u64,
    /// For how long.
    pub duration_ns: u64,
    /// Whether it was spent between this span and its callee.
    pub wire: bool,
}

/// A span whose host's clock disagrees with that of its caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Skew {
    /// Its id, 16 hexadecimal digits.
    pub span_id: String,
    /// Its service.
    pub service: String,
    /// By how much its recorded time was moved, later where it is positive.
    pub delta_ns: i64,
    /// Whether it would have to be moved further than is allowed, and was left where it is.
    pub beyond: bool,
}

/// A span that nobody waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AsynchronousWork {
    /// Its id, 16 hexadecimal digits.
    pub span_id: String,
    /// Its service.
    pub service: String,
    /// What was done.
    pub operation: String,
    /// `message`, `link`, or `late`: it began when its parent had ended.
    pub reason: String,
    /// How long after the root's begin it began; negative where clocks disagree.
    pub offset_ns: i64,
    /// How long it took.
    pub duration_ns: u64,
}

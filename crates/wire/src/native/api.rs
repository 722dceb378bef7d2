//! The shapes of the native HTTP API: what the server answers, what the command line and the console
//! read.
//!
//! snake_case; durations are text such as `"15s"` in what people write and integers ending in `_ns` in
//! what is measured; timestamps are RFC 3339; ids are opaque. A field is never given another meaning.

mod backup;
mod calls;
mod checks;
mod compare;
mod critical_path;
mod discovery;
mod drain;
mod events;
mod graph;
mod history;
mod operation;
mod policies;
mod registration;
mod resilience;
mod tap;
mod tokens;
mod traces;

pub use backup::{Restored, RestoredCounts};
pub use calls::{EdgeRed, Quantile, Red, RedReport, ServiceRed};
pub use checks::{CheckBody, CheckState, GrpcService};
pub use compare::{ComparedChange, ComparedSet, Comparison};
pub use critical_path::{
    AsynchronousWork, CriticalPath, OperationTime, PathSegment, ServiceTime, Skew, SpanName,
};
pub use discovery::{
    Change, Instance, InstanceCounts, Namespaces, Note, Override, Owner, Ring, RingMember, Service,
    ServiceEntry, Services, TargetGroup, WatchSnapshot, Weighed,
};
pub use drain::{DrainBody, Receipt, Subscriber};
pub use events::{Event, Events};
pub use graph::{Graph, GraphEdge, GraphLosses, GraphNode};
pub use history::{Fact, History, Lease, Recorded, Seen, Why};
pub use operation::{
    BreakerState, FailingStore, Finding, FindingKind, Ledger, Ledgers, NextStep, Overview, OverviewEdge,
    OverviewService, Server, Storage, StoreUse,
};
pub use policies::{
    EffectivePolicy, Policies, Policy, PolicyHistory, PolicyOrigin, PolicyRevision, RollbackBody,
};
pub use registration::{
    Heartbeat, Heartbeats, HeartbeatsTaken, LeaseBody, NamedRegistration, OverrideBody, RefusedHeartbeat,
    Registered, RegisteredAll, RegistrationBody, RegistrationResult, Registrations, ServiceDeleted,
    WeightBody,
};
pub use resilience::{
    Breaker, BreakerCommand, BreakerCounts, BreakerOverride, Breakers, Endpoint, Proxies, Proxy, ProxyView,
    ViewedInstance,
};
pub use tap::{LeftOut, TapOpen, TappedCall};
pub use tokens::{Token, TokenCreated, TokenRequest, Tokens};
pub use traces::{
    AttributeKey, AttributeKeys, AttributeValue, AttributeValues, Operation, Pin, PinRequest, Pins, Span,
    SpanCount, SpanEvent, SpanScope, SpanStatus, Trace, TraceSummary, Traces,
};

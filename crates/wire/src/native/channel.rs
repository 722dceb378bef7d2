//! The channel between a proxy and the control plane, as values.
//!
//! What is there goes down ([`Update`]), what happened goes up ([`Report`]). In one process the values
//! are handed over as they are; over gRPC they are `bellwether.v1` (see `proto/bellwether/v1/proxy.proto`),
//! translated by the `from_proto` and `to_proto` of this module. Both ways mean the same.

use std::time::Duration;

use identity::{InstanceId, Namespace, ProxyId, RouteName, ServiceName, TraceId, Wall};
use monitoring::{CallKey, ExponentialHistogram};
use registry::{Host, Status};
use resilience::{CallPolicy, Counts, Force, State};
use traces::Span;

mod down;
mod policy;
mod tap;
#[cfg(test)]
mod tests;
mod up;

/// The generated messages and services.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated; the .proto file is the documentation"
)]
pub mod proto {
    include!("../generated/bellwether.v1.rs");
}

pub use down::{
    hello_from_proto, hello_to_proto, update_from_bytes, update_from_proto, update_to_bytes, update_to_proto,
};
pub use tap::{StatusFilter, Tap, Tapped, TappedCall, tapped_from_proto, tapped_to_proto};
pub use up::{report_from_proto, report_to_proto};

/// A message of the channel that is not well-formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is not valid: {why}")]
pub struct Malformed {
    /// Where in the message.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Malformed {
    pub(super) fn new(field: &'static str, why: impl ToString) -> Self {
        Self { field, why: why.to_string() }
    }
}

/// How a proxy introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Its id.
    pub proxy: ProxyId,
    /// Drawn at random when it started: tells a restarted proxy from a reconnected one.
    pub epoch: u64,
    /// Its version.
    pub version: String,
    /// The revision that it has already.
    pub since: Option<u64>,
}

/// What a proxy has to know that it did not know before.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// What holds after it.
    pub revision: u64,
    /// Whether it names everything that there is. A service that a snapshot does not name is gone.
    pub snapshot: bool,
    /// The services that changed (in a snapshot: all).
    pub services: Vec<ServiceUpdate>,
    /// The policies that changed (in a snapshot: all). A policy that a snapshot does not name is gone.
    pub policies: Vec<PolicyUpdate>,
    /// What operators force breakers to: those that the proxy has not been told of on this watch. A proxy
    /// knows one again by its number.
    pub overrides: Vec<Override>,
    /// All calls that somebody wants to see as they go by; `None` where that has not changed. A new watch
    /// begins with none.
    pub taps: Option<Vec<Tap>>,
}

/// An operator's word on a service's breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The namespace.
    pub namespace: Namespace,
    /// The service.
    pub service: ServiceName,
    /// Tells it from others, and grows: of two for the same service the higher one holds.
    pub number: u64,
    /// What the breaker shall do; `None`: what its calls say, with nothing held against it.
    pub force: Option<Force>,
    /// For how long from now.
    pub left: Duration,
    /// Who said so, and why.
    pub note: String,
}

/// What holds for calls, already merged from every document that has a say.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyUpdate {
    /// Its namespace.
    pub namespace: Namespace,
    /// Which service's calls it is for; `None`: those of every service in the namespace that has none
    /// of its own.
    pub service: Option<ServiceName>,
    /// The revision of the latest document that went into it; 0 where there is none.
    pub policy_revision: u64,
    /// The policy. `None`: there is no document any more, so what holds is what would without this: for
    /// a service the namespace's, for a namespace the built-in one.
    pub policy: Option<CallPolicy>,
}

/// A service as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUpdate {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub service: ServiceName,
    /// All of its endpoints, whatever their status. None: the registry knows that it is gone.
    pub endpoints: Vec<Endpoint>,
}

/// An instance as a proxy calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Which instance.
    pub instance: InstanceId,
    /// Where it listens.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// Whether calls should go there.
    pub status: Status,
    /// Its share of the calls; 100 is a full share.
    pub weight: u32,
    /// Its failure domain.
    pub zone: Option<Box<str>>,
    /// Its version.
    pub version: Option<Box<str>>,
    /// How far it has warmed up, where its status is `starting` and it takes a part of its share.
    pub warm_up: Option<WarmUp>,
}

/// How far an instance has warmed up. Durations and not times, since clocks of machines differ: a proxy
/// counts on from the moment at which it hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WarmUp {
    /// How much has passed when this was sent.
    pub elapsed: Duration,
    /// Of how much.
    pub over: Duration,
}

/// What happened in a proxy since its last report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Which proxy.
    pub proxy: ProxyId,
    /// Its epoch, as in [`Hello`].
    pub epoch: u64,
    /// Counts the reports of an epoch from 1. The same number again is the same report again.
    pub sequence: u64,
    /// When it was made.
    pub at: Wall,
    /// The revision by which the proxy routes.
    pub revision: u64,
    /// The account of the spans.
    pub spans_intake: Intake,
    /// The spans that were kept.
    pub spans: Vec<Span>,
    /// The account of the rows of calls.
    pub calls_intake: Intake,
    /// The calls, by kind.
    pub calls: Vec<(CallKey, ExponentialHistogram)>,
    /// Every breaker that has seen a call.
    pub breakers: Vec<BreakerRow>,
    /// What the breakers did.
    pub transitions: Vec<Transition>,
    /// Every endpoint that was called and that is still known or has calls under way. One without a row
    /// has none.
    pub endpoints: Vec<EndpointRow>,
    /// How often clients were refused before their requests were any service's calls, by reason, since
    /// the start of the epoch: they named no service, could not be read, or reached a limit.
    pub refused: Vec<(String, u64)>,
    /// No call chooses an endpoint by an older revision any more, and those that did are counted in
    /// `endpoints`. At most [`Report::revision`]. 0: not known.
    pub settled_revision: u64,
    /// The proxy has ended: no call is under way, and none will begin.
    pub leaving: bool,
    /// What has happened to the calls of each service beside their ends, since the start of the epoch.
    pub services: Vec<ServiceCounts>,
    /// Connections that are open.
    pub connections: Connections,
}

/// What has happened to the calls of a service beside their ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceCounts {
    /// The namespace.
    pub namespace: Namespace,
    /// The service.
    pub service: ServiceName,
    /// Attempts beside the first of each call.
    pub retries: u64,
    /// Attempts that were not made because the budget for retries was used up.
    pub retries_over_budget: u64,
    /// Calls that were refused without being sent, by reason.
    pub refused: Vec<(String, u64)>,
    /// What the breaker did, by the state that it went into.
    pub transitions: Vec<(String, u64)>,
    /// How often one of the endpoints was taken out.
    pub ejections: u64,
}

/// How many connections a proxy has open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// Of clients that speak HTTP.
    pub clients: u64,
    /// Of clients that have changed to another protocol.
    pub upgraded: u64,
    /// To endpoints.
    pub endpoints: u64,
}

/// What became of items before they were sent: `received = sent + sampled_out + Σ dropped`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intake {
    /// All that there were.
    pub received: u64,
    /// What a sampling decision left out.
    pub sampled_out: u64,
    /// What was lost, by reason.
    pub dropped: Vec<(String, u64)>,
}

/// A breaker's place and state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerRow {
    /// The namespace.
    pub namespace: Namespace,
    /// The service that it guards.
    pub service: ServiceName,
    /// Whose calls it sees.
    pub caller: ServiceName,
    /// The route whose calls it sees.
    pub route: RouteName,
    /// What it does with calls.
    pub state: State,
    /// Since when.
    pub since: Wall,
    /// Why.
    pub reason: String,
    /// What it has counted.
    pub counts: Counts,
}

/// A breaker's change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The namespace.
    pub namespace: Namespace,
    /// The service that it guards.
    pub service: ServiceName,
    /// The instance, where it is the breaker of a single endpoint: `open` is ejected then.
    pub instance: Option<InstanceId>,
    /// Whose calls it sees.
    pub caller: ServiceName,
    /// The route whose calls it sees.
    pub route: RouteName,
    /// What it did with calls before.
    pub from: State,
    /// What it does with them now.
    pub to: State,
    /// When.
    pub at: Wall,
    /// Why.
    pub reason: String,
    /// What it had counted.
    pub counts: Counts,
    /// Calls that led to it.
    pub exemplar_trace_ids: Vec<TraceId>,
    /// The revision of the policy that it followed; 0 for the built-in one.
    pub policy_revision: u64,
}

/// An endpoint as the proxy sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRow {
    /// The namespace.
    pub namespace: Namespace,
    /// The service.
    pub service: ServiceName,
    /// The instance.
    pub instance: InstanceId,
    /// Calls under way, with those whose answers are still coming, and upgraded connections.
    pub in_flight: u32,
    /// What its own breaker does with attempts; `open` is ejected, where the guards of the service allow it.
    pub state: State,
    /// Why no call is sent there; empty while calls are.
    pub ejected: String,
    /// What its breaker has counted.
    pub counts: Counts,
}

//! The shapes of the native HTTP API: what the server answers, what the command line and the console
//! read.
//!
//! snake_case; durations are text such as `"15s"` in what people write and integers ending in `_ns` in
//! what is measured; timestamps are RFC 3339; ids are opaque. A field is never given another meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

/// What an owner says of its instance. All but address and port may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistrationBody {
    /// An IP address or DNS name at which the instance listens.
    #[schema(example = "10.0.0.7")]
    pub address: String,
    /// The port.
    #[schema(example = 8080, minimum = 1, maximum = 65535)]
    pub port: u16,
    /// The failure domain that it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The version that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its share of the calls; 100 is a full share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 100, maximum = 10000)]
    pub weight: Option<u32>,
    /// Anything else: at most 64 entries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// How long the lease holds without a heartbeat. Without it the instance stays until it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "15s")]
    pub ttl: Option<String>,
    /// How long after its lease lapsed the instance is forgotten; ten TTLs where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "150s")]
    pub deregister_after: Option<String>,
    /// The lease that the caller holds already, to keep it. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<String>,
}

/// The answer to a registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Registered {
    /// To be sent with heartbeats and with the deregistration.
    pub lease_id: String,
    /// The registry's revision after it.
    pub revision: u64,
    /// Whether the instance was not there before.
    pub created: bool,
}

/// Carries the lease of a heartbeat or a deregistration, where `If-Match` does not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseBody {
    /// The lease that the registration answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<String>,
}

/// An instance as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    /// Its id within the service.
    pub id: String,
    /// Where it listens.
    pub address: String,
    /// The port.
    pub port: u16,
    /// `starting`, `up`, `draining`, `maintenance` or `down`.
    pub status: String,
    /// Why it has that status.
    pub reason: String,
    /// Since when.
    pub since: String,
    /// What its checks say; `unchecked` where it has none.
    pub health: String,
    /// Its failure domain.
    pub zone: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its share of the calls.
    pub weight: u32,
    /// Anything else.
    pub metadata: BTreeMap<String, String>,
    /// How long its lease holds without a heartbeat.
    pub ttl: Option<String>,
    /// When it was registered first.
    pub registered_at: String,
    /// The revision of its last change.
    pub revision: u64,
}

/// A service with its instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// The revision of its last change.
    pub revision: u64,
    /// Its instances, by id.
    pub instances: Vec<Instance>,
}

/// The namespaces in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Namespaces {
    /// Their names.
    pub namespaces: Vec<String>,
}

/// The services of a namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Services {
    /// The registry's revision.
    pub revision: u64,
    /// One entry each, by name.
    pub services: Vec<ServiceEntry>,
    /// The token of the next page; none on the last one.
    pub next: Option<String>,
}

/// A service in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceEntry {
    /// Its name.
    pub service: String,
    /// The revision of its last change.
    pub revision: u64,
    /// How many instances it has, by status.
    pub instances: InstanceCounts,
}

/// Instances by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceCounts {
    /// All of them.
    pub total: u32,
    /// Taking calls.
    pub up: u32,
    /// Not yet known to be healthy.
    pub starting: u32,
    /// Finishing their calls.
    pub draining: u32,
    /// Taken out by an operator.
    pub maintenance: u32,
    /// Lapsed or failing.
    pub down: u32,
}

/// Who owns a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Owner {
    /// The key that was asked for.
    pub key: String,
    /// The instance that takes the key's calls now; none where no instance is up.
    pub instance: Option<Instance>,
    /// The instance that the ring names.
    pub home: Instance,
    /// Why the one is not the other; empty where it is.
    pub reason: String,
}

/// One change, as a watcher sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// The revision that it made.
    pub revision: u64,
    /// When.
    pub at: String,
    /// The service.
    pub service: String,
    /// The instance's id.
    pub instance_id: String,
    /// `registered`, `updated`, `deregistered`, `lapsed`, `recovered` or `forgotten`.
    pub action: String,
    /// Why.
    pub reason: String,
    /// The instance as it is now; none where it is gone.
    pub instance: Option<Instance>,
}

/// Everything that a watcher follows, at a revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WatchSnapshot {
    /// The registry's revision.
    pub revision: u64,
    /// The services with their instances.
    pub services: Vec<Service>,
}

/// Rates, errors and durations of the calls in a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Red {
    /// Calls, whatever became of them.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that were refused without being sent.
    pub refused: u64,
    /// Calls per second over the window.
    pub rate_per_second: f64,
    /// Errors per call, 0 to 1.
    pub error_ratio: f64,
    /// The exact mean duration, Σ sum / Σ count.
    pub mean_ns: u64,
    /// Half of the calls were no slower.
    pub p50_ns: Option<Quantile>,
    /// Nine of ten calls were no slower.
    pub p90_ns: Option<Quantile>,
    /// Ninety-nine of a hundred calls were no slower.
    pub p99_ns: Option<Quantile>,
    /// The slowest call.
    pub max_ns: u64,
}

/// A quantile with the bounds of the bucket that it fell into: the truth lies between them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Quantile {
    /// The best single figure.
    pub estimate: u64,
    /// Not less than this.
    pub lower: u64,
    /// Not more than this.
    pub upper: u64,
}

/// The calls of each service and edge in a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RedReport {
    /// The length of the window.
    pub window_ns: u64,
    /// By service.
    pub services: Vec<ServiceRed>,
    /// By caller and service.
    pub edges: Vec<EdgeRed>,
}

/// The calls to one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceRed {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// Its figures.
    pub red: Red,
}

/// The calls from one caller to one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EdgeRed {
    /// The namespace of both.
    pub namespace: String,
    /// Who calls.
    pub caller: String,
    /// Who is called.
    pub service: String,
    /// Its figures.
    pub red: Red,
}

/// A page of traces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Traces {
    /// Newest first.
    pub traces: Vec<TraceSummary>,
    /// The token of the next page; none on the last one.
    pub next: Option<String>,
}

/// A trace in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TraceSummary {
    /// Its id, 32 hexadecimal digits.
    pub trace_id: String,
    /// Where it began.
    pub root: Operation,
    /// When it began.
    pub start: String,
    /// From its first span's begin to its last span's end.
    pub duration_ns: u64,
    /// How many spans it has.
    pub spans: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How many belong to which service.
    pub services: Vec<SpanCount>,
    /// Whether parents are missing.
    pub incomplete: bool,
}

/// What a service does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// The service.
    pub service: String,
    /// The operation, a span's name.
    pub operation: String,
}

/// Spans of a service within a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpanCount {
    /// The service.
    pub service: String,
    /// Its spans.
    pub spans: u64,
}

/// A whole trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trace {
    /// Its id, 32 hexadecimal digits.
    pub trace_id: String,
    /// Whether parents are missing.
    pub incomplete: bool,
    /// When it began.
    pub start: String,
    /// From its first span's begin to its last span's end.
    pub duration_ns: u64,
    /// Its spans, parents before children, siblings by start.
    pub spans: Vec<Span>,
}

/// One step of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Span {
    /// Its id, 16 hexadecimal digits.
    pub span_id: String,
    /// The span that caused it; none for a root.
    pub parent_span_id: Option<String>,
    /// Who did it.
    pub service: String,
    /// What was done.
    pub operation: String,
    /// `internal`, `server`, `client`, `producer` or `consumer`.
    pub kind: String,
    /// When it began.
    pub start: String,
    /// How long after the trace's start it began.
    pub offset_ns: u64,
    /// How long it took.
    pub duration_ns: u64,
    /// How it ended.
    pub status: SpanStatus,
    /// What is known about it.
    #[schema(value_type = Object)]
    pub attributes: BTreeMap<String, Json>,
    /// What happened while it ran.
    pub events: Vec<SpanEvent>,
    /// What is known about its service.
    #[schema(value_type = Object)]
    pub resource: BTreeMap<String, Json>,
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpanStatus {
    /// `unset`, `ok` or `error`.
    pub code: String,
    /// In words; empty for none.
    pub message: String,
}

/// Something that happened while a span ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpanEvent {
    /// How long after the trace's start.
    pub offset_ns: u64,
    /// What.
    pub name: String,
    /// What is known about it.
    #[schema(value_type = Object)]
    pub attributes: BTreeMap<String, Json>,
}

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

/// Breakers and endpoints as the proxies report them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Breakers {
    /// One row for each proxy, caller, service and route.
    pub breakers: Vec<Breaker>,
    /// One row for each proxy and endpoint.
    pub endpoints: Vec<Endpoint>,
}

/// A circuit breaker in one proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Breaker {
    /// The namespace.
    pub namespace: String,
    /// The service that it guards.
    pub service: String,
    /// The proxy that it lives in.
    pub proxy: String,
    /// Whose calls it sees.
    pub caller: String,
    /// The route whose calls it sees.
    pub route: String,
    /// `closed` (calls pass), `open` (refused), `half_open` (a few probes pass), …
    pub state: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: String,
    /// What it has counted.
    pub counts: BreakerCounts,
}

/// What a breaker has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BreakerCounts {
    /// Calls that succeeded.
    pub successes: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Calls that were too slow.
    pub slow: u64,
    /// Calls that it refused.
    pub refused: u64,
    /// Failures in a row up to now.
    pub consecutive_failures: u64,
}

/// An instance as one proxy sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Endpoint {
    /// The namespace.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// The instance.
    pub instance: String,
    /// The proxy.
    pub proxy: String,
    /// Calls under way.
    pub in_flight: u32,
    /// Why no call is sent there; empty while calls are.
    pub ejected: String,
}

/// The data planes that are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Proxies {
    /// By id.
    pub proxies: Vec<Proxy>,
}

/// A data plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Proxy {
    /// Its id.
    pub proxy: String,
    /// Its version.
    pub version: String,
    /// Whether it is connected.
    pub connected: bool,
    /// The revision that it acknowledged last.
    pub revision: u64,
    /// `synced` where that is the registry's, else `stale`.
    pub state: String,
    /// When its last report came.
    pub reported_at: Option<String>,
}

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

/// Asks for a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Whose it is: shown as the actor of what is done with it.
    pub name: String,
    /// `read`, `write` (which includes read) or `admin` (which includes both).
    pub scopes: Vec<String>,
    /// The namespaces that it is bound to; none stands for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// How long it is valid; without it until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "30d")]
    pub ttl: Option<String>,
}

/// A fresh token. Its secret is shown here and never again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    /// What identifies it, to revoke it.
    pub id: String,
    /// The secret to be sent as `Authorization: Bearer …`.
    pub token: String,
}

/// The tokens that there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// Without their secrets, which are not kept.
    pub tokens: Vec<Token>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// What identifies it.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Where; none stands for everywhere.
    pub namespaces: Vec<String>,
    /// When it was made.
    pub created_at: String,
    /// Until when it is valid.
    pub expires_at: Option<String>,
}

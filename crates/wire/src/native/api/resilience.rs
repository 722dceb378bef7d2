//! Breakers, endpoints and proxies, as the proxies report them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Breakers and endpoints as the proxies report them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Breakers {
    /// One row for each proxy, caller, service and route.
    pub breakers: Vec<Breaker>,
    /// One row for each proxy and endpoint.
    pub endpoints: Vec<Endpoint>,
    /// What operators force breakers to at the moment.
    #[serde(default)]
    pub overrides: Vec<BreakerOverride>,
}

/// What an operator has a service's breaker do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakerCommand {
    /// `force_open`, `force_close`, `disable` or `reset`.
    #[schema(example = "force_open")]
    pub action: String,
    /// For how long, `1s` to `1d`; none with `reset`, which is at once.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(example = "5m")]
    pub lasts: Option<String>,
    /// Why: people will read it.
    #[schema(example = "the new version loses orders")]
    pub reason: String,
}

/// What an operator said of a service's breaker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BreakerOverride {
    /// The namespace.
    pub namespace: String,
    /// The service.
    pub service: String,
    /// `force_open`, `force_close`, `disable` or `reset`.
    pub action: String,
    /// Since when.
    pub since: String,
    /// Until when; none after a `reset`.
    pub until: Option<String>,
    /// Who said so.
    pub actor: String,
    /// Why.
    pub reason: String,
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
    /// What the endpoint's own breaker does with attempts: `closed` (it takes them), `open` (it is out),
    /// `half_open` (a few probes pass), …
    pub state: String,
    /// Why no call is sent there; empty while calls are.
    pub ejected: String,
    /// What its breaker has counted.
    pub counts: BreakerCounts,
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
    /// The revision of the latest policy among what it acknowledged; 0 where there was none.
    #[serde(default)]
    pub policy_revision: u64,
    /// `synced` where there is no later policy, else `stale`.
    #[serde(default)]
    pub policy_state: String,
    /// When its last report came.
    pub reported_at: Option<String>,
    /// How long what it routes by has not been what holds, as far as is known: 0 where it is connected and
    /// `synced`; else since the first change that it lacks, or since it was heard last. None where it was not
    /// heard since the control plane started.
    #[serde(default)]
    pub snapshot_age_ns: Option<u64>,
    /// Connections of clients that it has open, those that have changed their protocol included.
    #[serde(default)]
    pub client_connections: u64,
    /// Connections to endpoints that it has open.
    #[serde(default)]
    pub endpoint_connections: u64,
}

/// What a proxy saw of a service at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProxyView {
    /// The proxy's id.
    pub proxy: String,
    /// The service's namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// The moment.
    pub at: String,
    /// The revision by which it routed; none where it knew nothing.
    pub revision: Option<u64>,
    /// Since when it routed by that, as far as is known.
    pub since: Option<String>,
    /// Whether it was connected; if not, it went on by what it knew.
    pub connected: bool,
    /// The service's instances as of that revision.
    pub instances: Vec<ViewedInstance>,
    /// Whether nothing is missing.
    pub complete: bool,
    /// What is missing; else what the proxy did, in one sentence.
    pub reason: String,
}

/// An instance as it was at a revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ViewedInstance {
    /// Its id.
    pub instance: String,
    /// Its address and port.
    pub address: String,
    /// Its status.
    pub status: String,
    /// The revision that made it so.
    pub revision: u64,
}

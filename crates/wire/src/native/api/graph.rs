//! Who calls whom.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Red;

/// Services, what they call, and how that goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Graph {
    /// The begin of the time range, a whole minute.
    pub start: String,
    /// Its end.
    pub end: String,
    /// Calls that began before this are not all in the graph.
    pub complete_since: String,
    /// Services, databases, queues and whatever else is called.
    pub nodes: Vec<GraphNode>,
    /// Who calls whom.
    pub edges: Vec<GraphEdge>,
    /// Spans that wait for the other end of their call. It is drawn when that comes, or after half a minute.
    pub waiting: u64,
    /// What did not fit, since the server started.
    pub losses: GraphLosses,
}

/// One end of an edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GraphNode {
    /// What edges call it: a service of the namespace `default`, or of the one that was asked for, by its name,
    /// others as `namespace/name`, all else as `kind:name`.
    pub id: String,
    /// `service`, `database`, `queue`, `external` (something that sends no spans), `outside` (whoever begins
    /// traces), or `unknown` (a span says that it was called by one which never came, or calls somebody
    /// unnamed).
    pub kind: String,
    /// The namespace of a service.
    pub namespace: Option<String>,
    /// Its name; empty where there is none.
    pub name: String,
    /// What proxies counted of the calls to this service, whoever called. Only for time ranges within the last
    /// hour that end now.
    pub proxies: Option<Red>,
}

/// Calls from one node to another. Its figures are those of the spans that were kept; where proxies carry
/// calls, `proxies` is exact whatever was sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GraphEdge {
    /// Who calls: the id of a node.
    pub from: String,
    /// Who is called: the id of a node.
    pub to: String,
    /// `call`, `database` or `messaging`. The duration of a message is from sending to the begin of handling.
    pub kind: String,
    /// Calls.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those of which the other end was not seen.
    pub unpaired: u64,
    /// Those that a proxy carried.
    pub proxied: u64,
    /// Those of which a sender tells that others were left out before they came here. No figure of this edge is
    /// scaled up by that.
    #[serde(default)]
    pub sampled: u64,
    /// How many calls were left out, by what senders tell: added to `calls`, an estimate of all.
    #[serde(default)]
    pub left_out: f64,
    /// Calls per second over the time range.
    pub rate_per_second: f64,
    /// Errors per call, 0 to 1.
    pub error_ratio: f64,
    /// The mean duration.
    pub mean_ns: u64,
    /// Half of the calls were no slower, to a sixteenth.
    pub p50_ns: u64,
    /// Nine of ten calls were no slower.
    pub p90_ns: u64,
    /// Ninety-nine of a hundred calls were no slower.
    pub p99_ns: u64,
    /// The slowest call.
    pub max_ns: u64,
    /// What proxies counted along this edge. To a proxy that is shared, all callers are one, the proxy itself.
    pub proxies: Option<Red>,
}

/// What did not fit into the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GraphLosses {
    /// Spans that were drawn as unpaired before their wait was over, because too many waited.
    pub hurried: u64,
    /// Calls that are not drawn, because a minute had too many edges.
    pub crowded: u64,
    /// Calls that are not drawn, because their minute had gone.
    pub late: u64,
    /// Edges of minutes that went to make room.
    pub forgotten: u64,
}

//! Who calls whom.

use std::time::Duration;

use axum::{Extension, Json, extract::State as Of};
use identity::{Namespace, Wall};
use monitoring::By;
use serde::Deserialize;
use storage_catalog::Scope;
use traces::graph::{Edge, Node};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{api, problem::Problem};

use super::{
    Caller, Shared,
    extract::{Answer, Asked, invalid},
    red::{self, WINDOW_MAX},
};
use crate::{access::Principal, clock, state::State, view};

/// The time range where nobody says.
const RANGE: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(graph))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct GraphQuery {
    /// Only edges from or to a service of this namespace.
    #[param(value_type = Option<String>)]
    namespace: Option<Namespace>,
    /// Calls that began in the minute of this time or later; an hour before the end where it is not given.
    start: Option<String>,
    /// Calls that began before the end of the minute before this time; now where it is not given.
    end: Option<String>,
}

/// The graph of services, databases and queues, by the minute: who calls whom, how often, and how that goes.
#[utoipa::path(
    get, path = "/bellwether/v1/graph", tag = "traces", params(GraphQuery),
    responses((status = 200, body = api::Graph), (status = "default", body = Problem)),
)]
async fn graph(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(query): Asked<GraphQuery>,
) -> Answer<Json<api::Graph>> {
    caller.require(Scope::Read, query.namespace.as_ref())?;
    let now = clock::now().wall;
    let (start, end) = range(&query, now)?;
    let namespace = query.namespace.as_ref().map(Namespace::as_str);
    let mut seen = state.graph.view(start, end, namespace, now);
    seen.edges.retain(|edge| may_see(&caller, edge));
    let default = Namespace::default();
    let frame = view::Frame {
        namespace: namespace.unwrap_or(default.as_str()),
        seconds: end.since(start).as_secs_f64().max(1.0),
    };
    let counted = counted(&state, &query, start, end, now);
    let (nodes, edges) = view::graph(&frame, &seen.edges, &counted);
    Ok(Json(api::Graph {
        start: start.to_string(),
        end: end.to_string(),
        complete_since: seen.complete_since.to_string(),
        nodes,
        edges,
        waiting: seen.waiting as u64,
        losses: view::losses(seen.losses),
    }))
}

/// The time range that is asked for, from the begin of a minute.
fn range(query: &GraphQuery, now: Wall) -> Result<(Wall, Wall), Problem> {
    let wall = |field: &'static str, text: &Option<String>| {
        let parsed = text.as_ref().map(|text| text.parse::<Wall>()).transpose();
        parsed.map_err(|error| invalid(field, error))
    };
    let end = wall("end", &query.end)?.unwrap_or(now);
    let start = wall("start", &query.start)?.unwrap_or(end - RANGE);
    if start >= end {
        return Err(invalid("start", format!("start \"{start}\" is not valid: before end, {end}")));
    }
    let minute = MINUTE.as_nanos() as u64;
    Ok((Wall(start.0 / minute * minute), end))
}

/// What the proxies counted in that time, which they remember for the last hour.
fn counted(state: &State, query: &GraphQuery, start: Wall, end: Wall, now: Wall) -> view::Counted {
    let is_recent = end + MINUTE >= now && start + WINDOW_MAX + MINUTE >= now;
    if !is_recent {
        return view::Counted::default();
    }
    let window = now.since(start).clamp(MINUTE, WINDOW_MAX);
    let rows = |by| red::rows(state, query.namespace.as_ref(), window, by);
    view::Counted { services: rows(By::Service), edges: rows(By::Edge) }
}

/// Whether somebody may know of both ends.
fn may_see(caller: &Principal, edge: &Edge) -> bool {
    let may_see = |node: &Node| {
        node.namespace.is_empty()
            || caller.require(Scope::Read, node.namespace.parse::<Namespace>().ok().as_ref()).is_ok()
    };
    may_see(&edge.key.from) && may_see(&edge.key.to)
}

//! Rates, errors and durations of calls.

use std::time::Duration;

use axum::{Extension, Json, extract::State as Of};
use identity::{Namespace, duration};
use monitoring::{By, RedQuery, RedRow, Reporter};
use serde::Deserialize;
use storage_catalog::Scope;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{api, problem::Problem};

use super::{
    Caller, Shared,
    extract::{Answer, Asked, invalid},
};
use crate::{clock, state::State, view};

/// How far back where nobody says.
const WINDOW: Duration = Duration::from_secs(300);
/// How far back the rolling windows reach.
pub(super) const WINDOW_MAX: Duration = Duration::from_secs(3_600);

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(red))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct RedParams {
    /// Only this namespace.
    #[param(value_type = Option<String>)]
    namespace: Option<Namespace>,
    /// How far back, up to 1h; 5m where it is not given.
    #[param(example = "5m")]
    window: Option<String>,
}

/// How the calls to every service and along every edge went, as their callers saw it.
#[utoipa::path(
    get, path = "/bellwether/v1/red", tag = "calls", params(RedParams),
    responses((status = 200, body = api::RedReport), (status = "default", body = Problem)),
)]
async fn red(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(params): Asked<RedParams>,
) -> Answer<Json<api::RedReport>> {
    caller.require(Scope::Read, params.namespace.as_ref())?;
    let window = window(params.window.as_deref())?;
    let services = rows(&state, params.namespace.as_ref(), window, By::Service);
    let edges = rows(&state, params.namespace.as_ref(), window, By::Edge);
    let service = |row: &RedRow| api::ServiceRed {
        namespace: row.namespace.to_string(),
        service: row.service.to_string(),
        red: view::red(row),
    };
    let edge = |row: &RedRow| api::EdgeRed {
        namespace: row.namespace.to_string(),
        caller: row.caller.as_deref().unwrap_or_default().to_owned(),
        service: row.service.to_string(),
        red: view::red(row),
    };
    Ok(Json(api::RedReport {
        window_ns: window.as_nanos() as u64,
        services: services.iter().map(service).collect(),
        edges: edges.iter().map(edge).collect(),
    }))
}

/// A window as it was asked for.
pub(super) fn window(asked: Option<&str>) -> Result<Duration, Problem> {
    let window = asked.map_or(Ok(WINDOW), duration::parse).map_err(|error| invalid("window", error))?;
    if window.is_zero() || window > WINDOW_MAX {
        return Err(invalid("window", "window is not valid: more than 0s and at most 1h"));
    }
    Ok(window)
}

/// The rows of a namespace's calls.
pub(super) fn rows(state: &State, namespace: Option<&Namespace>, window: Duration, by: By) -> Vec<RedRow> {
    let query = RedQuery { namespace: namespace.cloned(), window, reporter: Reporter::Source, by };
    state.samples.red(&query, clock::now().wall)
}

//! What has changed between calls.

use std::sync::Arc;

use axum::{Extension, Json, extract::State as Of};
use identity::{Namespace, Wall};
use serde::Deserialize;
use storage_catalog::Scope;
use storage_spans::Query;
use traces::{
    CriticalPath, Rules, Trace,
    compare::{Profile, compare},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{api, problem::Problem};

use super::{
    Caller, Shared, beside,
    extract::{Answer, Asked, invalid},
    traces::visible,
};
use crate::{access::Principal, state::State, view};

/// Traces of a set where nobody says how many.
const TRACES: usize = 200;
/// Traces of the largest set, some 10 µs for each of their spans.
const TRACES_MAX: usize = 1_000;
/// Traces that are looked at to find those of a version.
const EXAMINED: usize = 5_000;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(compared))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct CompareQuery {
    /// The id of one trace, instead of a set.
    before: Option<String>,
    /// The id of the trace that it is compared with.
    after: Option<String>,
    /// Of sets: only traces with a span of this namespace.
    #[param(value_type = Option<String>)]
    namespace: Option<Namespace>,
    /// Only traces with a span of this service.
    service: Option<String>,
    /// … that did this.
    operation: Option<String>,
    /// Before: only traces in which the service has this `service.version`.
    before_version: Option<String>,
    /// After: only traces in which the service has this one.
    after_version: Option<String>,
    /// Before: only traces that began at this time or later.
    before_start: Option<String>,
    /// Before: only traces that began before this time.
    before_end: Option<String>,
    /// After: only traces that began at this time or later.
    after_start: Option<String>,
    /// After: only traces that began before this time.
    after_end: Option<String>,
    /// How many traces of each set are looked at, the newest, 1 to 1000; 200 where it is not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// One side of a comparison.
#[derive(Debug, Default)]
struct Side {
    query: Query,
    version: Option<String>,
    limit: usize,
}

/// Whose time has changed, and by how much, between two traces (`before`, `after`) or between two sets of them: of
/// two versions, or of two times.
#[utoipa::path(
    get, path = "/bellwether/v1/traces/compare", tag = "traces", params(CompareQuery),
    responses((status = 200, body = api::Comparison), (status = "default", body = Problem)),
)]
async fn compared(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(query): Asked<CompareQuery>,
) -> Answer<Json<api::Comparison>> {
    caller.require(Scope::Read, query.namespace.as_ref())?;
    Ok(Json(beside(move || comparison(&state, &caller, &query)).await?))
}

fn comparison(state: &State, caller: &Principal, query: &CompareQuery) -> Result<api::Comparison, Problem> {
    let rules = Rules::default();
    if query.before.is_some() || query.after.is_some() {
        let one = |field: &'static str, text: &Option<String>| {
            let text = text.as_ref().ok_or_else(|| {
                invalid(field, format!("{field} is not given: a trace is compared with another one"))
            })?;
            let id = traces::spelling::trace_id(text).map_err(|error| invalid(field, error))?;
            let trace = visible(state, caller, id)?;
            Ok::<_, Problem>(Profile::of(&trace, &CriticalPath::of(&trace, &rules)))
        };
        let (before, after) = (one("before", &query.before)?, one("after", &query.after)?);
        return Ok(view::comparison(&compare(&before, &after), (false, false)));
    }
    let (before, after) = sides(query)?;
    let (before, more_before) = profile(state, caller, before, &rules);
    let (after, more_after) = profile(state, caller, after, &rules);
    Ok(view::comparison(&compare(&before, &after), (more_before, more_after)))
}

/// The two sets that are asked for; they have to differ in something.
fn sides(query: &CompareQuery) -> Result<(Side, Side), Problem> {
    let limit = query.limit.unwrap_or(TRACES);
    if !(1..=TRACES_MAX).contains(&limit) {
        return Err(invalid("limit", format!("limit \"{limit}\" is not valid: 1 to {TRACES_MAX}")));
    }
    let wall = |field: &'static str, text: &Option<String>| {
        let parsed = text.as_ref().map(|text| text.parse::<Wall>()).transpose();
        parsed.map_err(|error| invalid(field, error))
    };
    let side = |version: &Option<String>, start, end| Side {
        query: Query {
            namespace: query.namespace.as_ref().map(|namespace| namespace.as_str().into()),
            service: query.service.as_deref().map(Into::into),
            operation: query.operation.as_deref().map(Into::into),
            start,
            end,
            ..Query::default()
        },
        version: version.clone(),
        limit,
    };
    let before = (wall("before_start", &query.before_start)?, wall("before_end", &query.before_end)?);
    let after = (wall("after_start", &query.after_start)?, wall("after_end", &query.after_end)?);
    if before == after && query.before_version == query.after_version {
        let rule = "the two sets are the same: give before and after (ids of traces), before_version and \
                    after_version, or before_end and after_start";
        return Err(invalid("before", rule));
    }
    if query.service.is_none() && (query.before_version.is_some() || query.after_version.is_some()) {
        return Err(invalid("service", "service is not given: a version is that of a service"));
    }
    Ok((side(&query.before_version, before.0, before.1), side(&query.after_version, after.0, after.1)))
}

/// The profile of a set's newest traces, and whether there are more.
fn profile(state: &State, caller: &Principal, mut side: Side, rules: &Rules) -> (Profile, bool) {
    let mut profile = Profile::default();
    let mut examined = 0;
    side.query.limit = side.limit.min(TRACES);
    loop {
        let page = state.spans.search(&side.query);
        for summary in &page.traces {
            if profile.traces() == side.limit as u64 {
                return (profile, true);
            }
            examined += 1;
            let Ok(trace) = visible(state, caller, summary.trace_id) else { continue };
            if side.version.as_ref().is_none_or(|version| has_version(&trace, &side.query, version)) {
                profile.add(&trace, &CriticalPath::of(&trace, rules));
            }
        }
        side.query.page = page.next;
        if side.query.page.is_none() {
            return (profile, false);
        }
        if examined >= EXAMINED {
            return (profile, true);
        }
    }
}

/// Whether a span of the service is of this version.
fn has_version(trace: &Trace, query: &Query, version: &str) -> bool {
    trace.nodes().iter().any(|node| {
        Some(node.span.service()) == query.service.as_deref()
            && node.span.resource.attributes.get_str("service.version") == Some(version)
    })
}

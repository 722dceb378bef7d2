//! Where the time of a call went.

use axum::{Extension, Json, extract::State as Of};
use identity::{SpanId, duration};
use serde::Deserialize;
use traces::{CriticalPath, Rules};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{api, problem::Problem};

use super::{
    Caller, Shared, beside,
    extract::{Answer, Asked, Named, invalid},
    traces::{AnyTraceId, visible},
};
use crate::{state::State, view};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(show))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct PathQuery {
    /// The root that is to be explained, of a trace that has several; the earliest where it is not given.
    #[param(value_type = Option<String>)]
    root: Option<SpanId>,
    /// Spans that would have to be moved further than this to correct their host's clock are left where they
    /// are; 1h where it is not given, 0s corrects nothing.
    #[param(example = "1s")]
    max_skew: Option<String>,
    /// Siblings that overlap by at most this many hundredths of the shorter one count as one after the other; 0
    /// where it is not given, up to 100.
    #[param(maximum = 100)]
    sibling_overlap_percent: Option<u8>,
}

/// The critical path of a trace: which service its caller waited for, when, and for how long.
#[utoipa::path(
    get, path = "/bellwether/v1/traces/{trace_id}/critical-path", tag = "traces",
    params(("trace_id" = String, Path, example = "0af7651916cd43dd8448eb211c80319c"), PathQuery),
    responses((status = 200, body = api::CriticalPath), (status = "default", body = Problem)),
)]
async fn show(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(AnyTraceId(id)): Named<AnyTraceId>,
    Asked(query): Asked<PathQuery>,
) -> Answer<Json<api::CriticalPath>> {
    let rules = rules(&query)?;
    let path = beside(move || {
        let trace = visible(&state, &caller, id)?;
        let root = match query.root {
            None => trace.main_root(),
            Some(span) => root_of(&trace, span)?,
        };
        Ok(view::critical_path(&trace, &CriticalPath::of_root(&trace, root, &rules)))
    });
    Ok(Json(path.await?))
}

fn rules(query: &PathQuery) -> Result<Rules, Problem> {
    let mut rules = Rules::default();
    if let Some(text) = &query.max_skew {
        let period = duration::parse(text).map_err(|error| invalid("max_skew", error))?;
        rules.max_skew_ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
    }
    if let Some(percent) = query.sibling_overlap_percent {
        if percent > 100 {
            let rule = format!("sibling_overlap_percent \"{percent}\" is not valid: 0 to 100");
            return Err(invalid("sibling_overlap_percent", rule));
        }
        rules.sibling_overlap_percent = percent;
    }
    Ok(rules)
}

fn root_of(trace: &traces::Trace, span: SpanId) -> Result<usize, Problem> {
    let named = |at: &usize| trace.nodes()[*at].span.span_id == span;
    trace.roots().iter().copied().find(named).ok_or_else(|| {
        let roots: Vec<String> =
            trace.roots().iter().take(3).map(|at| trace.nodes()[*at].span.span_id.to_string()).collect();
        let rule =
            format!("root \"{span}\" is not valid: a root of this trace, such as {}", roots.join(", "));
        invalid("root", rule)
    })
}

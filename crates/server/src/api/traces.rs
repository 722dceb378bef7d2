//! Where calls went.

use axum::{Extension, Json, extract::State as Of};
use identity::{Invalid, Namespace, TraceId, Wall, duration};
use serde::Deserialize;
use storage_catalog::Scope;
use storage_spans::Query;
use traces::query::Expression;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{
    api,
    problem::{Code, Problem},
};

use super::{
    Caller, Shared, beside,
    extract::{Answer, Asked, Named, invalid},
    pages,
};
use crate::{access::Principal, pins, state::State, view};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(search)).routes(routes!(show))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchQuery {
    /// Only traces with a span of this namespace.
    #[param(value_type = Option<String>)]
    pub(super) namespace: Option<Namespace>,
    /// Only traces with a span of this service.
    pub(super) service: Option<String>,
    /// … that did this.
    pub(super) operation: Option<String>,
    /// Only traces that took at least so long.
    #[param(example = "250ms")]
    pub(super) min_duration: Option<String>,
    /// Only traces that took at most so long.
    pub(super) max_duration: Option<String>,
    /// Only traces in which something failed.
    #[serde(default)]
    pub(super) errors: bool,
    /// Only traces that began at this time or later.
    pub(super) start: Option<String>,
    /// Only traces that began before this time.
    pub(super) end: Option<String>,
    /// Only traces with a span of which this holds: a text that stands in its names, status message or values of
    /// attributes; comparisons such as `service=shop`, `duration>250ms` or `http.route=~"/orders/.*"`;
    /// `exists(key)`; joined by `AND`, `OR`, `NOT` and parentheses.
    #[param(example = "service=shop AND (duration>250ms OR error=true)")]
    pub(super) q: Option<String>,
    /// Traces of a page, 1 to 1000; 100 where it is not given.
    pub(super) limit: Option<usize>,
    /// The token of a page, from `next` of the one before.
    pub(super) page: Option<String>,
}

/// Traces that fulfil every condition, newest first.
#[utoipa::path(
    get, path = "/bellwether/v1/traces", tag = "traces", params(SearchQuery),
    responses((status = 200, body = api::Traces), (status = "default", body = Problem)),
)]
async fn search(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(params): Asked<SearchQuery>,
) -> Answer<Json<api::Traces>> {
    caller.require(Scope::Read, params.namespace.as_ref())?;
    let expression = expression(params.q.as_deref())?;
    let query = query(params)?;
    let found = move || match expression {
        None => state.spans.search(&query),
        Some(expression) => {
            state.spans.search_where(&query, &expression, &|namespace| may_see_namespace(&caller, namespace))
        }
    };
    let page = beside(|| Ok(found())).await?;
    let traces = page.traces.iter().map(view::summary).collect();
    Ok(Json(api::Traces { traces, next: page.next.map(|token| token.to_string()) }))
}

/// What `q` says, if it says anything.
pub(super) fn expression(q: Option<&str>) -> Result<Option<Expression>, Problem> {
    let expression = q.filter(|q| !q.trim().is_empty()).map(Expression::parse).transpose();
    expression.map_err(|error| invalid("q", error))
}

pub(super) fn query(params: SearchQuery) -> Result<Query, Problem> {
    let nanos = |field: &'static str, text: Option<String>| {
        let period =
            text.map(|text| duration::parse(&text)).transpose().map_err(|error| invalid(field, error))?;
        Ok::<_, Problem>(period.map(|period| u64::try_from(period.as_nanos()).unwrap_or(u64::MAX)))
    };
    let wall = |field: &'static str, text: Option<String>| {
        text.map(|text| text.parse::<Wall>()).transpose().map_err(|error| invalid(field, error))
    };
    let page = params.page.map(|token| token.parse()).transpose();
    Ok(Query {
        namespace: params.namespace.map(|namespace| namespace.as_str().into()),
        service: params.service.map(Into::into),
        operation: params.operation.map(Into::into),
        min_duration_ns: nanos("min_duration", params.min_duration)?,
        max_duration_ns: nanos("max_duration", params.max_duration)?,
        errors_only: params.errors,
        start: wall("start", params.start)?,
        end: wall("end", params.end)?,
        text: None,
        attributes: Vec::new(),
        limit: pages::limit(params.limit)?,
        page: page.map_err(|error: identity::Invalid| {
            Problem::new(Code::InvalidPageToken, error.to_string()).at("page")
        })?,
    })
}

/// A trace with all its spans. Its id may be spelt in either case, without leading zeros, and with
/// dashes.
#[utoipa::path(
    get, path = "/bellwether/v1/traces/{trace_id}", tag = "traces",
    params(("trace_id" = String, Path, example = "0af7651916cd43dd8448eb211c80319c")),
    responses((status = 200, body = api::Trace), (status = "default", body = Problem)),
)]
async fn show(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(AnyTraceId(id)): Named<AnyTraceId>,
) -> Answer<Json<api::Trace>> {
    let shown = move || {
        let trace = view::trace(&visible(&state, &caller, id)?);
        Ok(api::Trace { pinned: state.pins.get(id).map(|pin| pin.shown(id)), ..trace })
    };
    Ok(Json(beside(shown).await?))
}

/// The id of a trace in any spelling.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct AnyTraceId(pub(super) TraceId);

impl TryFrom<String> for AnyTraceId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        traces::spelling::trace_id(&text).map(Self)
    }
}

/// The part of a trace that somebody may see.
pub(super) fn visible(state: &State, caller: &Principal, id: TraceId) -> Result<traces::Trace, Problem> {
    let spans = pins::spans(state, id);
    let trace = traces::Trace::assemble(spans.into_iter().filter(|span| may_see(caller, span)));
    trace.ok_or_else(|| Problem::new(Code::NoSuchTrace, format!("there is no trace {id}, or not any more")))
}

/// Whether somebody may know of a span: who may not read the namespace of a trace must not learn that it exists.
pub(super) fn may_see(caller: &Principal, span: &traces::Span) -> bool {
    may_see_namespace(caller, span.resource.namespace())
}

/// Whether the caller may see the spans of a namespace's services.
pub(super) fn may_see_namespace(caller: &Principal, namespace: &str) -> bool {
    caller.require(Scope::Read, namespace.parse::<Namespace>().ok().as_ref()).is_ok()
}

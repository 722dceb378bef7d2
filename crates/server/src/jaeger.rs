//! The HTTP API of Jaeger's query service, so that what reads traces from it reads them here.
//!
//! It finds spans: service, operation, tags and duration have to be those of one and the same span.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{Path, Query as Asked, State as Of},
    response::{IntoResponse, Response},
    routing::get,
};
use http::StatusCode;
use identity::Wall;
use storage_spans::Query;
use wire::{
    jaeger::{self, Answer, Conditions, Dependency, Operation},
    native::problem::Problem,
};

use crate::{
    access::Principal,
    api::beside,
    consumers::{self, Given, Parameters, bad},
    state::State,
};

/// Traces of an answer where nobody says how many, as Jaeger has it.
const LIMIT: usize = 20;
/// The most traces of an answer.
const MAX_LIMIT: usize = 1_500;
/// How long before the first span that is asked for its trace may have begun.
const BEGUN_BEFORE: Duration = Duration::from_secs(3_600);

/// The routes.
pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/api/services", get(services))
        .route("/api/services/{service}/operations", get(operations_of))
        .route("/api/operations", get(operations))
        .route("/api/traces", get(search))
        .route("/api/traces/{id}", get(trace))
        .route("/api/dependencies", get(dependencies))
}

/// A problem in the dialect's own shape.
struct Refused(Problem);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(Answer::<()>::failure(self.0.status(), self.0.to_string()))).into_response()
    }
}

type Answered<T> = Result<Json<Answer<T>>, Refused>;
type Shared = Of<Arc<State>>;
type Caller = Extension<Principal>;

async fn services(Of(state): Shared, Extension(caller): Caller) -> Answered<String> {
    Ok(Json(Answer::of(consumers::services(&state, &caller).into_iter().collect())))
}

async fn operations_of(
    Of(state): Shared,
    Extension(caller): Caller,
    Path(service): Path<String>,
) -> Answered<String> {
    Ok(Json(Answer::of(consumers::operations(&state, &caller, &service).into_iter().collect())))
}

async fn operations(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(given): Given,
) -> Answered<Operation> {
    let names = consumers::operations(&state, &caller, &given.needed("service")?);
    let operation = |name| Operation { name, span_kind: String::new() };
    Ok(Json(Answer::of(names.into_iter().map(operation).collect())))
}

async fn trace(
    Of(state): Shared,
    Extension(caller): Caller,
    Path(id): Path<String>,
) -> Answered<jaeger::Trace> {
    let id = consumers::id(&id)?;
    let found = beside(move || Ok(jaeger::trace(&consumers::shown(&state, &caller, id)))).await?;
    let found = found.ok_or_else(|| consumers::no_such_trace(id))?;
    Ok(Json(Answer::of(vec![found])))
}

async fn search(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(given): Given,
) -> Answered<jaeger::Trace> {
    Ok(Json(Answer::of(beside(move || found(&state, &caller, &given)).await?)))
}

fn found(state: &State, caller: &Principal, given: &Parameters) -> Result<Vec<jaeger::Trace>, Problem> {
    if given.one("traceID").is_some() {
        let ids: Result<Vec<_>, _> = given.all("traceID").take(MAX_LIMIT).map(consumers::id).collect();
        let shown = ids?.into_iter().filter_map(|id| jaeger::trace(&consumers::shown(state, caller, id)));
        return Ok(shown.collect());
    }
    let conditions = conditions(given)?;
    let query = Query {
        service: Some(conditions.service.as_str().into()),
        operation: conditions.operation.as_deref().map(Into::into),
        start: conditions.start.map(|start| Wall(start) - BEGUN_BEFORE),
        end: conditions.end.map(|end| Wall(end.saturating_add(1))),
        ..Query::default()
    };
    let limit = given.limit(LIMIT, MAX_LIMIT)?;
    let holds = |spans: &[Arc<traces::Span>]| spans.iter().any(|span| conditions.hold(span));
    let found = consumers::found(state, caller, query, limit, holds);
    Ok(found.iter().filter_map(|spans| jaeger::trace(spans)).collect())
}

fn conditions(given: &Parameters) -> Result<Conditions, Problem> {
    let micros = |name| Ok::<_, Problem>(given.number(name)?.map(|at| at.saturating_mul(1_000)));
    let duration = |name: &'static str| match given.one(name) {
        None => Ok(None),
        Some(text) => {
            jaeger::nanos(text).map(Some).ok_or_else(|| bad(name, "a duration such as 1.2s or 100ms"))
        }
    };
    let mut tags: Vec<(String, String)> = Vec::new();
    for text in given.all("tags") {
        let wrong = |_| bad("tags", "a JSON object of texts, such as {\"error\":\"true\"}");
        let map: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).map_err(wrong)?;
        tags.extend(map.into_iter().map(|(key, value)| match value {
            serde_json::Value::String(text) => (key, text),
            other => (key, other.to_string()),
        }));
    }
    for text in given.all("tag") {
        let pair =
            text.split_once(':').ok_or_else(|| bad("tag", "a key and a value with a colon between them"))?;
        tags.push((pair.0.to_owned(), pair.1.to_owned()));
    }
    Ok(Conditions {
        service: given.needed("service")?,
        operation: given.one("operation").map(str::to_owned),
        tags,
        start: micros("start")?,
        end: micros("end")?,
        min_duration: duration("minDuration")?,
        max_duration: duration("maxDuration")?,
    })
}

async fn dependencies(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(given): Given,
) -> Answered<Dependency> {
    let calls = consumers::dependencies(&state, &caller, &given)?.into_iter();
    let dependency = |((parent, child), (call_count, _))| Dependency { parent, child, call_count };
    Ok(Json(Answer::of(calls.map(dependency).collect())))
}

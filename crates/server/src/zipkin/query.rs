//! Zipkin's query API, so that its console and its other consumers read from here.
//!
//! It finds traces: each condition may be met by another span, but of the service that is asked for. Names are
//! lower-case in Zipkin and here as their senders wrote them, so that a name is looked for in any case.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Extension, Json, Router,
    extract::{Path, Query as Asked, State as Of},
    routing::get,
};
use storage_spans::Query;
use wire::{
    native::problem::Problem,
    zipkin::{self, Conditions, Dependency, Shown},
};

use crate::{
    access::Principal,
    api::beside,
    consumers::{self, Given, Parameters},
    listener::Refusal,
    state::State,
};

/// Traces of an answer where nobody says how many, as Zipkin has it.
const LIMIT: usize = 10;
/// The most traces of an answer.
const MAX_LIMIT: usize = 1_000;
/// Traces that are looked at to know whom a service calls.
const RECENT: usize = 200;

type Shared = Of<Arc<State>>;
type Caller = Extension<Principal>;
type Answered<T> = Result<Json<T>, Refusal>;

/// The routes.
pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/api/v2/services", get(services))
        .route("/api/v2/spans", get(names))
        .route("/api/v2/remoteServices", get(remotes))
        .route("/api/v2/traces", get(traces))
        .route("/api/v2/trace/{id}", get(trace))
        .route("/api/v2/traceMany", get(many))
        .route("/api/v2/dependencies", get(dependencies))
        .route("/api/v2/autocompleteKeys", get(keys))
        .route("/api/v2/autocompleteValues", get(values))
}

async fn services(Of(state): Shared, Extension(caller): Caller) -> Json<BTreeSet<String>> {
    Json(consumers::services(&state, &caller))
}

/// The services whose name is this one in some case.
fn spelt(state: &State, caller: &Principal, service: &str) -> BTreeSet<String> {
    let mut services = consumers::services(state, caller);
    services.retain(|name| name.to_lowercase() == service.to_lowercase());
    services
}

async fn names(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(given): Given,
) -> Answered<BTreeSet<String>> {
    let services = spelt(&state, &caller, &given.needed("serviceName")?).into_iter();
    Ok(Json(services.flat_map(|service| consumers::operations(&state, &caller, &service)).collect()))
}

async fn remotes(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(given): Given,
) -> Answered<BTreeSet<String>> {
    let service = given.needed("serviceName")?;
    let remotes = move || {
        let mut found = BTreeSet::new();
        for service in spelt(&state, &caller, &service) {
            let query = Query { service: Some(service.as_str().into()), ..Query::default() };
            for spans in consumers::found(&state, &caller, query, RECENT, |_| true) {
                let of_service = spans.iter().filter(|span| span.service() == service);
                found.extend(of_service.filter_map(|span| zipkin::peer(span).map(str::to_owned)));
            }
        }
        Ok(found)
    };
    Ok(Json(beside(remotes).await?))
}

async fn traces(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(given): Given,
) -> Answered<Vec<Vec<Shown>>> {
    Ok(Json(beside(move || found(&state, &caller, &given)).await?))
}

fn found(state: &State, caller: &Principal, given: &Parameters) -> Result<Vec<Vec<Shown>>, Problem> {
    let named = |name: &str| given.one(name).filter(|text| *text != "all").map(str::to_owned);
    let conditions = Conditions {
        service: named("serviceName"),
        name: named("spanName"),
        remote: named("remoteServiceName"),
        annotations: given.one("annotationQuery").map(Conditions::annotations).unwrap_or_default(),
        min_duration: given.number("minDuration")?,
        max_duration: given.number("maxDuration")?,
    };
    let limit = given.limit(LIMIT, MAX_LIMIT)?;
    let (start, end) = given.range()?;
    let mut query = Query {
        start: Some(start),
        end: Some(identity::Wall(end.0.saturating_add(1_000_000))),
        // A trace takes at least as long as each of its spans.
        min_duration_ns: conditions.min_duration.map(|micros| micros.saturating_mul(1_000)),
        ..Query::default()
    };
    if let Some(service) = &conditions.service {
        let spelt = spelt(state, caller, service);
        match spelt.len() {
            0 => return Ok(Vec::new()),
            1 => query.service = spelt.first().map(|service| service.as_str().into()),
            _ => {}
        }
    }
    let holds = |spans: &[Arc<::traces::Span>]| conditions.hold(spans.iter().map(|span| &**span));
    let found = consumers::found(state, caller, query, limit, holds);
    Ok(found.iter().map(|spans| shown(spans)).collect())
}

fn shown(spans: &[Arc<::traces::Span>]) -> Vec<Shown> {
    spans.iter().map(|span| zipkin::show(span)).collect()
}

async fn trace(Of(state): Shared, Extension(caller): Caller, Path(id): Path<String>) -> Answered<Vec<Shown>> {
    let id = consumers::id(&id)?;
    let spans = beside(move || Ok(consumers::shown(&state, &caller, id))).await?;
    if spans.is_empty() {
        return Err(consumers::no_such_trace(id).into());
    }
    Ok(Json(shown(&spans)))
}

async fn many(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(given): Given,
) -> Answered<Vec<Vec<Shown>>> {
    let ids = given.needed("traceIds")?;
    let ids: Result<Vec<_>, _> = ids.split(',').take(MAX_LIMIT).map(consumers::id).collect();
    let ids = ids?;
    let traces = move || {
        let found = ids.into_iter().map(|id| shown(&consumers::shown(&state, &caller, id)));
        Ok(found.filter(|spans| !spans.is_empty()).collect())
    };
    Ok(Json(beside(traces).await?))
}

async fn dependencies(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(given): Given,
) -> Answered<Vec<Dependency>> {
    given.needed("endTs")?;
    let calls = consumers::dependencies(&state, &caller, &given)?.into_iter();
    let dependency =
        |((parent, child), (call_count, error_count))| Dependency { parent, child, call_count, error_count };
    Ok(Json(calls.map(dependency).collect()))
}

async fn keys(Of(state): Shared, Extension(caller): Caller) -> Answered<BTreeSet<String>> {
    Ok(Json(consumers::keys(&state, &caller)?.into_iter().map(|key| key.key.into()).collect()))
}

async fn values(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(given): Given,
) -> Answered<BTreeSet<String>> {
    let key = given.needed("key")?;
    let values = beside(move || Ok(consumers::values(&state, &caller, Query::default(), &key))).await?;
    Ok(Json(values.into_keys().collect()))
}

//! What became of services and instances, and why an instance is what it is.

use axum::{Extension, Json, extract::State as Of};
use identity::{InstanceId, Namespace, ServiceName};
use registry::Target;
use serde::Deserialize;
use storage_events::{Kind, Order, Query};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{api, problem::Problem};

use super::{
    Caller, Shared,
    extract::{Answer, Asked, Named},
    may_read, pages, services,
};
use crate::{chronicle, clock, problems, state::State, view};

/// Changes that an explanation ends with.
const LAST: usize = 10;

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new()
        .routes(routes!(history_of_service))
        .routes(routes!(history_of_instance))
        .routes(routes!(why))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    /// Changes of a page, 1 to 1000; 100 where it is not given.
    limit: Option<usize>,
    /// Only what was recorded before this event: `next` of the page before.
    before: Option<u64>,
}

/// What became of the instances of a service, newest first; also of those that are gone.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/history", tag = "discovery",
    params(("namespace" = String, Path), ("service" = String, Path), HistoryQuery),
    responses((status = 200, body = api::History), (status = "default", body = Problem)),
)]
async fn history_of_service(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service)): Named<(Namespace, ServiceName)>,
    Asked(query): Asked<HistoryQuery>,
) -> Answer<Json<api::History>> {
    may_read(&caller, &namespace)?;
    let history = read(&state, &namespace, &service, None, &query).await?;
    let is_first = query.before.is_none();
    if is_first && history.changes.is_empty() {
        let registry = state.roll.read();
        if registry.service(&namespace, &service).is_none() {
            return Err(services::unknown(&registry, &namespace, &service).into());
        }
    }
    Ok(Json(history))
}

/// What became of an instance, newest first; also where it is gone.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/instances/{instance}/history",
    tag = "discovery",
    params(("namespace" = String, Path), ("service" = String, Path), ("instance" = String, Path), HistoryQuery),
    responses((status = 200, body = api::History), (status = "default", body = Problem)),
)]
async fn history_of_instance(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service, instance)): Named<(Namespace, ServiceName, InstanceId)>,
    Asked(query): Asked<HistoryQuery>,
) -> Answer<Json<api::History>> {
    may_read(&caller, &namespace)?;
    let history = read(&state, &namespace, &service, Some(&instance), &query).await?;
    let target = Target { namespace, service, instance };
    let is_first = query.before.is_none();
    if is_first && history.changes.is_empty() && state.roll.read().instance(&target).is_none() {
        return Err(problems::registry(registry::Error::NotFound(target)).into());
    }
    Ok(Json(history))
}

/// Why an instance is what it is: what speaks against it, its lease, its checks, how proxies see it, and
/// what happened to it last.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/instances/{instance}/why",
    tag = "discovery",
    params(("namespace" = String, Path), ("service" = String, Path), ("instance" = String, Path)),
    responses((status = 200, body = api::Why), (status = "default", body = Problem)),
)]
async fn why(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service, instance)): Named<(Namespace, ServiceName, InstanceId)>,
) -> Answer<Json<api::Why>> {
    may_read(&caller, &namespace)?;
    let query = HistoryQuery { limit: Some(LAST), before: None };
    // What is known now can be told without what was.
    let changes = match read(&state, &namespace, &service, Some(&instance), &query).await {
        Ok(history) => history.changes,
        Err(problem) => {
            tracing::warn!(error = %problem, "an explanation goes without its history");
            Vec::new()
        }
    };
    let target = Target { namespace, service, instance };
    let found = {
        let registry = state.roll.read();
        registry.instance(&target).map(|instance| view::why(&registry, clock::now(), &target, instance))
    };
    let mut why = found.ok_or_else(|| problems::registry(registry::Error::NotFound(target.clone())))?;
    why.proxies = state.live.seen(&target);
    why.changes = changes;
    Ok(Json(why))
}

async fn read(
    state: &State,
    namespace: &Namespace,
    service: &ServiceName,
    instance: Option<&InstanceId>,
    asked: &HistoryQuery,
) -> Result<api::History, Problem> {
    let limit = pages::limit(asked.limit)?;
    chronicle::until_told(state).await;
    let registry_revision = chronicle::told_up_to(state);
    let query = Query {
        kind: Some(Kind::Instance),
        namespace: Some(namespace.clone()),
        service: Some(service.clone()),
        instance: instance.cloned(),
        before: asked.before,
        // One more than is shown tells whether there is another page.
        limit: limit + 1,
        order: Order::NewestFirst,
        ..Query::default()
    };
    let events = chronicle::read(&state.events, query).await?;
    let shown = events.get(..limit).unwrap_or(&events);
    let next = shown.last().filter(|_| events.len() > limit).map(|last| last.revision);
    Ok(api::History {
        namespace: namespace.to_string(),
        service: service.to_string(),
        changes: shown.iter().map(view::recorded).collect(),
        next,
        registry_revision,
    })
}

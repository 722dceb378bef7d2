//! Breakers, endpoints and proxies, as the proxies reported them last.

use axum::{Extension, Json, extract::State as Of};
use identity::{Namespace, ProxyId, ServiceName};
use resilience::Counts;
use serde::Deserialize;
use storage_catalog::Scope;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{
    api,
    channel::{BreakerRow, EndpointRow},
    problem::Problem,
};

use super::{
    Caller, Shared,
    extract::{Answer, Asked},
};
use crate::{live::ProxyState, state::State};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(breakers)).routes(routes!(proxies))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct BreakerQuery {
    /// Only this namespace.
    #[param(value_type = Option<String>)]
    namespace: Option<Namespace>,
    /// Only this service.
    #[param(value_type = Option<String>)]
    service: Option<ServiceName>,
}

/// Every breaker and every endpoint of every proxy.
#[utoipa::path(
    get, path = "/bellwether/v1/breakers", tag = "resilience", params(BreakerQuery),
    responses((status = 200, body = api::Breakers), (status = "default", body = Problem)),
)]
async fn breakers(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(query): Asked<BreakerQuery>,
) -> Answer<Json<api::Breakers>> {
    caller.require(Scope::Read, query.namespace.as_ref())?;
    let wanted = |namespace: &Namespace, service: &ServiceName| {
        query.namespace.as_ref().is_none_or(|of| of == namespace)
            && query.service.as_ref().is_none_or(|of| of == service)
    };
    let (mut breakers, mut endpoints) = (Vec::new(), Vec::new());
    for (proxy, state) in state.live.proxies() {
        let rows = state.breakers.iter().filter(|row| wanted(&row.namespace, &row.service));
        breakers.extend(rows.map(|row| breaker(&proxy, row)));
        let rows = state.endpoints.iter().filter(|row| wanted(&row.namespace, &row.service));
        endpoints.extend(rows.map(|row| endpoint(&proxy, row)));
    }
    Ok(Json(api::Breakers { breakers, endpoints }))
}

fn breaker(proxy: &ProxyId, row: &BreakerRow) -> api::Breaker {
    api::Breaker {
        namespace: row.namespace.to_string(),
        service: row.service.to_string(),
        proxy: proxy.to_string(),
        caller: row.caller.to_string(),
        route: row.route.to_string(),
        state: row.state.to_string(),
        reason: row.reason.clone(),
        since: row.since.to_string(),
        counts: counts(&row.counts),
    }
}

fn counts(counts: &Counts) -> api::BreakerCounts {
    api::BreakerCounts {
        successes: counts.successes,
        failures: counts.failures,
        slow: counts.slow,
        refused: counts.refused,
        consecutive_failures: counts.consecutive_failures,
    }
}

fn endpoint(proxy: &ProxyId, row: &EndpointRow) -> api::Endpoint {
    api::Endpoint {
        namespace: row.namespace.to_string(),
        service: row.service.to_string(),
        instance: row.instance.to_string(),
        proxy: proxy.to_string(),
        in_flight: row.in_flight,
        state: row.state.to_string(),
        ejected: row.ejected.clone(),
        counts: counts(&row.counts),
    }
}

/// Every data plane that is known, and whether it routes by what the registry says now.
#[utoipa::path(
    get, path = "/bellwether/v1/proxies", tag = "resilience",
    responses((status = 200, body = api::Proxies), (status = "default", body = Problem)),
)]
async fn proxies(Of(state): Shared, Extension(caller): Caller) -> Answer<Json<api::Proxies>> {
    caller.require(Scope::Read, None)?;
    let current = state.roll.read().revision();
    let mut known = state.live.proxies();
    // Those that were not heard since the start are known all the same.
    for silent in state.subscribers.known() {
        if let Err(at) = known.binary_search_by(|(proxy, _)| proxy.cmp(&silent.id)) {
            known.insert(at, (silent.id, ProxyState::default()));
        }
    }
    let proxies = known.into_iter().map(|(proxy, of)| api::Proxy {
        proxy: proxy.to_string(),
        version: of.version,
        connected: of.watches > 0,
        revision: of.revision,
        state: if of.revision == current { "synced" } else { "stale" }.to_owned(),
        reported_at: of.reported_at.map(|at| at.to_string()),
    });
    Ok(Json(api::Proxies { proxies: proxies.collect() }))
}

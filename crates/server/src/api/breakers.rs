//! Breakers, endpoints and proxies, as the proxies reported them last.

use std::time::Duration;

use axum::{Extension, Json, extract::State as Of};
use identity::{Namespace, ProxyId, ServiceName, Wall, duration};
use registry::{Registry, Since};
use resilience::Counts;
use serde::Deserialize;
use storage_catalog::Scope;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{
    api,
    channel::{BreakerRow, EndpointRow},
    problem::{Code, Problem},
};

use super::{
    Caller, DIALECT, Shared,
    extract::{Answer, Asked, Named, Sent, invalid},
};
use crate::{
    clock,
    forced::{self, Action, LASTS_MAX, LASTS_MIN, REASON_MAX, WORDS_MAX, Word},
    live::ProxyState,
    problems,
    state::State,
};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(breakers)).routes(routes!(force)).routes(routes!(proxies))
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
    let words = state.forced.words(clock::now().wall);
    let words = words.iter().filter(|((namespace, service), _)| wanted(namespace, service));
    let overrides = words.map(|(of, word)| said(of, word)).collect();
    Ok(Json(api::Breakers { breakers, endpoints, overrides }))
}

/// Says what the breaker of a service does in every proxy, whatever its calls say: `force_open` refuses
/// all of them, `force_close` lets them pass, `disable` does not even count them, for a time; `reset` ends
/// that, and holds nothing against it. It outlives restarts, and proxies that come later follow it too.
#[utoipa::path(
    post, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/breaker", tag = "resilience",
    params(("namespace" = String, Path), ("service" = String, Path)),
    request_body = api::BreakerCommand,
    responses((status = 200, body = api::BreakerOverride), (status = "default", body = Problem)),
)]
async fn force(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service)): Named<(Namespace, ServiceName)>,
    Sent(body): Sent<api::BreakerCommand>,
) -> Answer<Json<api::BreakerOverride>> {
    caller.require(Scope::Admin, Some(&namespace))?;
    let (action, lasts) = read(&body)?;
    let (of, now) = ((namespace, service), clock::now().wall);
    let number = state.forced.next_number(&of, now).ok_or_else(|| {
        let detail = format!("the breakers of {WORDS_MAX} services are forced already");
        Problem::new(Code::TooManyRequests, detail)
            .next("reset some of them, or wait until their time is over")
    })?;
    let until = Wall(now.0.saturating_add(u64::try_from(lasts.as_nanos()).unwrap_or(u64::MAX)));
    let actor = caller.actor(DIALECT).name.to_string();
    let word = Word { number, action, since: now, until, actor, reason: body.reason.trim().to_owned() };
    // Durable before it is answered, and before any proxy hears of it.
    state.events.record_one(forced::event(&of, &word)).await.map_err(problems::accept)?;
    let answer = said(&of, &word);
    state.forced.hold(of, word);
    state.touch();
    Ok(Json(answer))
}

fn read(body: &api::BreakerCommand) -> Result<(Action, Duration), Problem> {
    let known = Action::ALL.map(Action::as_str).join(", ");
    let action = Action::find(&body.action);
    let action = action.ok_or_else(|| invalid("/action", format!("{:?} is none of {known}", body.action)))?;
    let reason = body.reason.trim();
    if reason.is_empty() {
        return Err(invalid("/reason", "a reason is needed: people will ask why"));
    }
    if reason.chars().count() > REASON_MAX || reason.chars().any(char::is_control) {
        let rule = format!("at most {REASON_MAX} characters, without control characters");
        return Err(invalid("/reason", rule));
    }
    let lasts = body.lasts.as_deref().map(duration::parse).transpose();
    match (action, lasts.map_err(|error| invalid("/for", error))?) {
        (Action::Reset, None) => Ok((action, LASTS_MAX)),
        (Action::Reset, Some(_)) => Err(invalid("/for", "a reset has no duration; leave it out")),
        (_, Some(lasts)) if (LASTS_MIN..=LASTS_MAX).contains(&lasts) => Ok((action, lasts)),
        _ => Err(invalid("/for", "say for how long, from 1s to 1d, such as 5m")),
    }
}

fn said((namespace, service): &(Namespace, ServiceName), word: &Word) -> api::BreakerOverride {
    api::BreakerOverride {
        namespace: namespace.to_string(),
        service: service.to_string(),
        action: word.action.as_str().to_owned(),
        since: word.since.to_string(),
        until: (word.action != Action::Reset).then(|| word.until.to_string()),
        actor: word.actor.clone(),
        reason: word.reason.clone(),
    }
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

/// How long what a proxy routes by has not been what holds; `None` where that is not known.
fn age(registry: &Registry, of: &ProxyState, now: Wall) -> Option<u64> {
    let since = match registry.since(of.revision, &registry::Scope::All) {
        _ if of.watches == 0 => of.heard_at,
        Since::Changes(lacking) => lacking.first().map_or(now, |change| change.at),
        Since::Resync => of.heard_at,
    };
    (since.0 > 0).then(|| now.0.saturating_sub(since.0))
}

/// Every data plane that is known, and whether it routes by what the registry says now.
#[utoipa::path(
    get, path = "/bellwether/v1/proxies", tag = "resilience",
    responses((status = 200, body = api::Proxies), (status = "default", body = Problem)),
)]
async fn proxies(Of(state): Shared, Extension(caller): Caller) -> Answer<Json<api::Proxies>> {
    caller.require(Scope::Read, None)?;
    let mut known = state.live.proxies();
    // Those that were not heard since the start are known all the same.
    for silent in state.subscribers.known() {
        if let Err(at) = known.binary_search_by(|(proxy, _)| proxy.cmp(&silent.id)) {
            known.insert(at, (silent.id, ProxyState::default()));
        }
    }
    let registry = state.roll.read();
    let (current, policies) = (registry.revision(), registry.policies());
    let word = |is_synced| if is_synced { "synced" } else { "stale" }.to_owned();
    let now = clock::now().wall;
    let proxies = known.into_iter().map(|(proxy, of)| api::Proxy {
        snapshot_age_ns: age(&registry, &of, now),
        client_connections: of.connections.clients + of.connections.upgraded,
        endpoint_connections: of.connections.endpoints,
        proxy: proxy.to_string(),
        version: of.version,
        connected: of.watches > 0,
        revision: of.revision,
        state: word(of.revision == current),
        policy_revision: policies.revision_at(of.revision),
        policy_state: word(of.revision >= policies.revision()),
        reported_at: of.reported_at.map(|at| at.to_string()),
    });
    Ok(Json(api::Proxies { proxies: proxies.collect() }))
}

//! Data planes that are known, one by one.

use axum::{Extension, Json, extract::State as Of};
use http::StatusCode;
use identity::{Namespace, ProxyId, ServiceName, Wall};
use serde::Deserialize;
use storage_catalog::Scope;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{
    api, nearest,
    problem::{Code, Problem},
};

use super::{
    Caller, Shared,
    extract::{Answer, Asked, Named, invalid},
    may_read,
};
use crate::{
    clock, hindsight,
    state::State,
    subscribers::{self, Forgetting},
};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(forget)).routes(routes!(saw))
}

/// Forgets a proxy that will not come back, so that drains do not wait for it. It must not be connected.
#[utoipa::path(
    delete, path = "/bellwether/v1/proxies/{proxy}", tag = "resilience", params(("proxy" = String, Path)),
    operation_id = "forget_proxy",
    responses(
        (status = 204, description = "it counts no more, until it comes back"),
        (status = 409, description = "it is connected", body = Problem),
        (status = "default", body = Problem),
    ),
)]
async fn forget(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(proxy): Named<ProxyId>,
) -> Answer<StatusCode> {
    caller.require(Scope::Admin, None)?;
    match state.subscribers.forget(&proxy) {
        Forgetting::Done => {}
        Forgetting::Unknown => return Err(unknown(&state, &proxy).into()),
        Forgetting::Connected => {
            let detail = format!("proxy \"{proxy}\" follows the registry right now");
            return Err(Problem::new(Code::ProxyConnected, detail).into());
        }
    }
    state.subscribers.keep(&state.roll).await?;
    let reason = "an operator says that it will not come back".to_owned();
    subscribers::gone(&state, &proxy, "forgotten", &caller.name, reason).await;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ViewQuery {
    /// The service that was looked at.
    #[param(value_type = String)]
    service: ServiceName,
    /// Its namespace; `default` where it is not given.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    namespace: Namespace,
    /// The moment; now where it is not given.
    #[param(example = "2026-01-31T14:03:00Z")]
    at: Option<String>,
}

/// What a proxy saw of a service at a moment: the revision that it routed by, and the instances as of that.
/// It is put together from events, so it reaches back as far as those are kept, and says where it does not.
#[utoipa::path(
    get, path = "/bellwether/v1/proxies/{proxy}/view", tag = "resilience",
    params(("proxy" = String, Path), ViewQuery), operation_id = "proxy_view",
    responses((status = 200, body = api::ProxyView), (status = "default", body = Problem)),
)]
async fn saw(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(proxy): Named<ProxyId>,
    Asked(query): Asked<ViewQuery>,
) -> Answer<Json<api::ProxyView>> {
    let ViewQuery { service, namespace, at } = query;
    may_read(&caller, &namespace)?;
    let now = clock::now().wall;
    let at = match at.as_deref().map(str::parse::<Wall>).transpose() {
        Ok(at) => at.unwrap_or(now),
        Err(error) => return Err(invalid("at", error).into()),
    };
    if at > now {
        return Err(invalid("at", format!("timestamp \"{at}\" is not valid: not in the future")).into());
    }
    let view = hindsight::view(&state, &proxy, (&namespace, &service), at).await?;
    Ok(Json(view.ok_or_else(|| unknown(&state, &proxy))?))
}

/// The problem of a proxy that nobody knows.
fn unknown(state: &State, proxy: &ProxyId) -> Problem {
    let problem = Problem::new(Code::NoSuchProxy, format!("no proxy \"{proxy}\" is known"));
    let known = state.subscribers.known();
    match nearest(proxy.as_str(), known.iter().map(|known| known.id.as_str())) {
        Some(meant) => problem.next(format!("did you mean \"{meant}\"?")),
        None => problem,
    }
}

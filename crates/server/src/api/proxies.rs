//! Data planes that are known, one by one.

use axum::{Extension, extract::State as Of};
use http::StatusCode;
use identity::ProxyId;
use storage_catalog::Scope;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{
    nearest,
    problem::{Code, Problem},
};

use super::{
    Caller, Shared,
    extract::{Answer, Named},
};
use crate::{
    state::State,
    subscribers::{self, Forgetting},
};

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(forget))
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

/// The problem of a proxy that nobody knows.
fn unknown(state: &State, proxy: &ProxyId) -> Problem {
    let problem = Problem::new(Code::NoSuchProxy, format!("no proxy \"{proxy}\" is known"));
    let known = state.subscribers.known();
    match nearest(proxy.as_str(), known.iter().map(|known| known.id.as_str())) {
        Some(meant) => problem.next(format!("did you mean \"{meant}\"?")),
        None => problem,
    }
}

//! The calls of a service as they go by, over server-sent events.
//!
//! `open` comes first and says who tells, then each `call`, and `left_out` with the number of calls that
//! matched and were not told: too many in a second, or a reader that is too slow.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::State as Of,
    response::{IntoResponse, sse::Event},
};
use identity::{Namespace, ProxyId, ServiceName};
use serde::Deserialize;
use storage_catalog::Scope;
use tokio::time::{Interval, interval};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{
    api,
    channel::{StatusFilter, TappedCall},
    problem::{Code, Problem},
};

use super::{
    Caller, Shared,
    extract::{Answer, Asked, Named, invalid},
    services, stream,
};
use crate::{
    clock,
    state::State,
    taps::{Listening, TAPS_MAX, Wanted},
};

/// Calls a second that each proxy tells at most, where nobody says.
const PER_SECOND: u32 = 100;
/// The most that can be asked for: some megabytes a second for each reader.
const PER_SECOND_MAX: u32 = 1_000;
/// How often it is said how many calls were left out.
const TOLD_EVERY: Duration = Duration::from_secs(1);

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(follow))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct TapQuery {
    /// Only calls whose clients were told this: a class such as `5xx`, or a status such as `503`.
    #[param(example = "5xx")]
    status: Option<String>,
    /// How many calls a second each proxy tells at most, 1 to 1000; 100 where it is not given. Those beyond
    /// are counted in `left_out`.
    per_second: Option<u32>,
    /// The stream ends after this many calls.
    limit: Option<u64>,
}

/// Follows the calls of a service as they go by: server-sent events `open`, `call` and `left_out`.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/tap", tag = "calls",
    params(("namespace" = String, Path), ("service" = String, Path), TapQuery),
    responses(
        (status = 200, description = "a stream that ends with the server", body = api::TappedCall, content_type = "text/event-stream"),
        (status = "default", body = Problem),
    ),
)]
async fn follow(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service)): Named<(Namespace, ServiceName)>,
    Asked(query): Asked<TapQuery>,
) -> Answer<impl IntoResponse> {
    caller.require(Scope::Read, Some(&namespace))?;
    let status = query.status.as_deref().map(str::parse::<StatusFilter>).transpose();
    let status = status.map_err(|error| invalid("status", error))?;
    let per_second = query.per_second.unwrap_or(PER_SECOND);
    if !(1..=PER_SECOND_MAX).contains(&per_second) {
        return Err(invalid("per_second", format!("a number from 1 to {PER_SECOND_MAX}")).into());
    }
    if query.limit == Some(0) {
        return Err(invalid("limit", "at least 1").into());
    }
    {
        let registry = state.roll.read();
        if registry.service(&namespace, &service).is_none() {
            return Err(services::unknown(&registry, &namespace, &service).into());
        }
    }
    let proxies = state.live.proxies().into_iter().filter(|(_, of)| of.watches > 0);
    let proxies = proxies.map(|(proxy, _)| proxy.to_string()).collect();
    let wanted = Wanted { namespace, service, status, per_second };
    let listening = Listening::open(&state, wanted, clock::now().wall).ok_or_else(|| {
        Problem::new(Code::TooManyRequests, format!("{TAPS_MAX} taps are open already"))
            .next("end one of them, or try again later")
    })?;
    Ok(stream::answer(Follower {
        listening,
        state,
        first: Some(api::TapOpen { proxies, per_second }),
        left: query.limit,
        told: 0,
        left_out: 0,
        tell: interval(TOLD_EVERY),
    }))
}

struct Follower {
    listening: Listening,
    state: Arc<State>,
    /// What is said at the beginning.
    first: Option<api::TapOpen>,
    /// Calls until the end.
    left: Option<u64>,
    /// Events so far, which number them.
    told: u64,
    left_out: u64,
    tell: Interval,
}

impl stream::Follower for Follower {
    async fn next(&mut self) -> Option<Event> {
        self.told += 1;
        if let Some(open) = self.first.take() {
            return Some(stream::event("open", self.told, &open));
        }
        loop {
            if self.left == Some(0) {
                return None;
            }
            tokio::select! {
                call = self.listening.next() => {
                    let (proxy, call) = call?;
                    self.left = self.left.map(|left| left - 1);
                    return Some(stream::event("call", self.told, &shown(&proxy, &call)));
                }
                _ = self.tell.tick() => {
                    let more = self.listening.take_left_out();
                    if more > 0 {
                        self.left_out += more;
                        let body = api::LeftOut { calls: more, total: self.left_out };
                        return Some(stream::event("left_out", self.told, &body));
                    }
                }
                () = self.state.stopping.cancelled() => return None,
            }
        }
    }
}

fn shown(proxy: &ProxyId, call: &TappedCall) -> api::TappedCall {
    let (instance, address) = match &call.endpoint {
        Some((instance, address)) => (Some(instance.to_string()), Some(address.to_string())),
        None => (None, None),
    };
    api::TappedCall {
        at: call.at.to_string(),
        proxy: proxy.to_string(),
        caller: call.caller.to_string(),
        method: call.method.to_string(),
        path: call.path.to_string(),
        status: (call.status > 0).then_some(call.status),
        outcome: call.outcome.as_str().to_owned(),
        duration_ns: call.duration_ns,
        instance,
        address,
        attempts: call.attempts,
        refused: (!call.refused.is_empty()).then(|| call.refused.to_string()),
        detail: call.detail.to_string(),
        trace_id: call.trace_id.to_string(),
    }
}

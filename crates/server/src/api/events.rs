//! Who did what, when and why; as pages and as a feed.

use std::{collections::VecDeque, sync::Arc};

use axum::{
    Extension, Json,
    extract::State as Of,
    response::{IntoResponse, sse::Event as SseEvent},
};
use http::HeaderMap;
use identity::{Namespace, ServiceName};
use serde::Deserialize;
use storage_catalog::Scope;
use storage_events::{Event, Kind, Order, Query};
use tokio::sync::watch;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{api, nearest, problem::Problem};

use super::{
    Caller, Shared,
    extract::{Answer, Asked, invalid},
    pages, stream,
};
use crate::{access::Principal, chronicle, diary, state::State, view};

/// Events that a feed reads at a time.
const FEED_PAGE: usize = 256;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(feed))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct EventQuery {
    /// Only events of this kind: instance, breaker, policy, token, proxy or server.
    kind: Option<String>,
    /// Only this namespace.
    #[param(value_type = Option<String>)]
    namespace: Option<Namespace>,
    /// Only this service.
    #[param(value_type = Option<String>)]
    service: Option<ServiceName>,
    /// Only events after this revision.
    since: Option<u64>,
    /// Events of a page, 1 to 1000; 100 where it is not given.
    limit: Option<usize>,
}

/// Events, newest first.
#[utoipa::path(
    get, path = "/bellwether/v1/events", tag = "operation", params(EventQuery),
    responses((status = 200, body = api::Events), (status = "default", body = Problem)),
)]
async fn list(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(params): Asked<EventQuery>,
) -> Answer<Json<api::Events>> {
    caller.require(Scope::Read, params.namespace.as_ref())?;
    let query = query(&params, Order::NewestFirst, pages::limit(params.limit)?)?;
    chronicle::until_told(&state).await;
    let events = chronicle::read(&state.events, query).await?;
    let events = events.iter().filter(|event| may_see(&caller, event)).map(view::event).collect();
    Ok(Json(api::Events { events, revision: state.events.revision() }))
}

/// The feed of events as they happen: server-sent events `event`, from `since` (or `Last-Event-ID`) on.
#[utoipa::path(
    get, path = "/bellwether/v1/events/stream", tag = "operation",
    params(EventQuery, ("Last-Event-ID" = Option<u64>, Header)),
    responses(
        (status = 200, description = "a stream that ends with the server", body = api::Event, content_type = "text/event-stream"),
        (status = "default", body = Problem),
    ),
)]
async fn feed(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(params): Asked<EventQuery>,
    headers: HeaderMap,
) -> Answer<impl IntoResponse> {
    caller.require(Scope::Read, params.namespace.as_ref())?;
    let last = match headers.get("last-event-id") {
        Some(id) => Some(
            id.to_str()
                .ok()
                .and_then(|id| id.parse().ok())
                .ok_or_else(|| invalid("Last-Event-ID", "Last-Event-ID is a revision, a number"))?,
        ),
        None => params.since,
    };
    let mut query = query(&params, Order::OldestFirst, FEED_PAGE)?;
    query.since = Some(last.unwrap_or_else(|| state.events.revision()));
    let feed = Feed { revisions: state.events.revisions(), state, caller, query, ready: VecDeque::new() };
    Ok(stream::answer(feed))
}

struct Feed {
    state: Arc<State>,
    revisions: watch::Receiver<u64>,
    caller: Principal,
    query: Query,
    ready: VecDeque<SseEvent>,
}

impl stream::Follower for Feed {
    async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            // Marked as seen before the events are read, so that none falls between the two.
            self.revisions.borrow_and_update();
            let events = match chronicle::read(&self.state.events, self.query.clone()).await {
                Ok(events) => events,
                // The client comes back with the last revision that it has.
                Err(problem) => {
                    tracing::error!(error = %problem, "a feed of events ended");
                    return None;
                }
            };
            if let Some(last) = events.last() {
                self.query.since = Some(last.revision);
                let visible = events.iter().filter(|event| may_see(&self.caller, event));
                self.ready.extend(visible.map(|of| stream::event("event", of.revision, &view::event(of))));
                continue;
            }
            tokio::select! {
                changed = self.revisions.changed() => changed.ok()?,
                () = self.state.stopping.cancelled() => return None,
            }
        }
    }
}

/// Events of tokens name people and their scopes, which concern operators alone.
pub(super) fn may_see(caller: &Principal, event: &Event) -> bool {
    event.kind != Kind::Token || caller.require(Scope::Admin, None).is_ok()
}

fn query(params: &EventQuery, order: Order, limit: usize) -> Result<Query, Problem> {
    let kind = params.kind.as_deref().map(kind).transpose()?;
    Ok(Query {
        kind,
        // What proxies follow is much, and of interest to whoever asks for proxies.
        without: kind.is_none().then_some(diary::ACTION),
        namespace: params.namespace.clone(),
        service: params.service.clone(),
        since: params.since,
        limit,
        order,
        ..Query::default()
    })
}

fn kind(text: &str) -> Result<Kind, Problem> {
    text.parse().map_err(|error: identity::Invalid| {
        let problem = invalid("kind", error);
        match nearest(text, Kind::ALL.iter().map(|kind| kind.as_str())) {
            Some(meant) => problem.next(format!("did you mean \"{meant}\"?")),
            None => problem,
        }
    })
}

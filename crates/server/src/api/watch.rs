//! Following the registry over server-sent events.
//!
//! A watcher gets a `snapshot` first, or, with `since` (or `Last-Event-ID`), the `change`s after that
//! revision; `resync` with a full snapshot where those are no longer known. Each event's id is the
//! revision that it leads to, so that a client that reconnects goes on without a gap or a repetition.

use std::{collections::VecDeque, sync::Arc};

use axum::{
    Extension,
    extract::State as Of,
    response::{IntoResponse, sse::Event},
};
use http::HeaderMap;
use identity::{Namespace, ServiceName};
use registry::{Registry, Scope, Since};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{api, problem::Problem};

use super::{
    Caller, Shared,
    extract::{Answer, Asked, Named, invalid, is_our_own},
    may_read, stream, subscriber,
};
use crate::{clock, state::State, subscribers::Watching, view, watchers::Woken};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(follow))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct WatchQuery {
    /// Only this service.
    #[param(value_type = Option<String>)]
    service: Option<ServiceName>,
    /// The revision that the caller knows already; `Last-Event-ID` says the same.
    since: Option<u64>,
}

/// Follows a namespace or a service: server-sent events `snapshot`, `change` and `resync`.
#[utoipa::path(
    get, path = "/bellwether/v1/namespaces/{namespace}/watch", tag = "discovery",
    params(("namespace" = String, Path), WatchQuery, ("Last-Event-ID" = Option<u64>, Header)),
    responses(
        (status = 200, description = "a stream that ends with the server", body = api::Change, content_type = "text/event-stream"),
        (status = "default", body = Problem),
    ),
)]
async fn follow(
    Of(state): Shared,
    Extension(caller): Caller,
    Named(namespace): Named<Namespace>,
    Asked(query): Asked<WatchQuery>,
    headers: HeaderMap,
) -> Answer<impl IntoResponse> {
    may_read(&caller, &namespace)?;
    let seen = match headers.get("last-event-id") {
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            Some(id.ok_or_else(|| invalid("Last-Event-ID", "Last-Event-ID is a revision, a number"))?)
        }
        None => query.since,
    };
    let scope = match &query.service {
        Some(service) => Scope::Service(namespace.clone(), service.clone()),
        None => Scope::Namespace(namespace.clone()),
    };
    let watching =
        (!is_our_own(&headers)).then(|| Watching::begin(&state, &subscriber(&caller), vec![scope.clone()]));
    let follower = Follower {
        _watching: watching,
        revisions: state.roll.follow(scope.clone()),
        state,
        scope,
        namespace,
        service: query.service,
        seen,
        ready: VecDeque::new(),
    };
    Ok(stream::answer(follower))
}

struct Follower {
    /// Counts it among those who may send calls.
    _watching: Option<Watching>,
    state: Arc<State>,
    revisions: Woken,
    scope: Scope,
    namespace: Namespace,
    service: Option<ServiceName>,
    seen: Option<u64>,
    ready: VecDeque<Event>,
}

impl stream::Follower for Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            // Marked as seen before the registry is read, so that no change falls between the two.
            self.revisions.borrow_and_update();
            self.collect();
            if self.ready.is_empty() {
                tokio::select! {
                    changed = self.revisions.changed() => changed.ok()?,
                    () = self.state.stopping.cancelled() => return None,
                }
            }
        }
    }
}

impl Follower {
    fn collect(&mut self) {
        let registry = self.state.roll.read();
        let revision = registry.revision();
        let Some(seen) = self.seen else {
            self.ready.push_back(self.snapshot(&registry, "snapshot"));
            self.seen = Some(revision);
            return;
        };
        match registry.since(seen, &self.scope) {
            Since::Changes(changes) => {
                let now = clock::now();
                let events = changes.iter().map(|change| {
                    stream::event("change", change.revision, &view::change(&registry, now, change))
                });
                self.ready.extend(events);
            }
            Since::Resync => self.ready.push_back(self.snapshot(&registry, "resync")),
        }
        self.seen = Some(revision);
    }

    fn snapshot(&self, registry: &Registry, name: &str) -> Event {
        let names: Vec<&ServiceName> = match &self.service {
            Some(service) => vec![service],
            None => registry.services(&self.namespace).collect(),
        };
        let services = names.into_iter().filter_map(|name| {
            let view = registry.service(&self.namespace, name)?;
            Some(view::service(registry, clock::now(), &self.namespace, name, &view, |_| true))
        });
        let revision = registry.revision();
        stream::event(name, revision, &api::WatchSnapshot { revision, services: services.collect() })
    }
}

//! The native API, `/bellwether/v1`, and what stands beside it on the same address.
//!
//! Each module is a noun: its handlers, and their routes with the documentation from which the OpenAPI
//! document is made. A handler reads a request, asks the registry or a store, and shapes the answer;
//! it decides nothing.

use std::sync::Arc;

use axum::{Extension, Router, routing::get};
use http::HeaderMap;
use identity::{Namespace, ServiceName};
use storage_catalog::Scope;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use wire::native::problem::{Code, Problem};

use crate::{access::Principal, clock, listener::Refusal, state::State};

mod attributes;
mod backup;
mod breakers;
mod bulk;
mod compare;
mod critical_path;
mod demo;
mod document;
mod drain;
mod events;
mod export;
mod extract;
mod graph;
mod health;
mod history;
mod http_sd;
mod instances;
mod ledger;
mod metrics;
mod overrides;
mod overview;
mod owners;
mod pages;
mod pins;
mod policies;
mod prometheus;
mod proxies;
mod red;
mod registration;
mod services;
mod shortcut;
mod storage;
mod stream;
mod tap;
mod tokens;
mod traces;
mod watch;

pub(crate) use export::EXPORTS_AT_ONCE;
pub(crate) use http_sd::group as scrape_target;
pub(crate) use prometheus::QUERIES_AT_ONCE;
pub(crate) use shortcut::Shortcut;
pub(crate) use tokens::read as token_spec;

/// Where a change came from, in its record.
const DIALECT: &str = "http";

/// The state as handlers are given it.
type Shared = axum::extract::State<Arc<State>>;
/// Who asks.
type Caller = Extension<Principal>;

/// Does what waits for the disk or computes for long beside the runtime's threads, which have other things to do.
pub(crate) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Problem::new(Code::Internal, format!("the work ended early: {error}"))))
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bellwether",
        description = "Registration and discovery, call-chain tracing, fault tolerance and performance monitoring. \
                       Errors are RFC 9457 problem documents with a stable code.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "this server")),
    tags(
        (name = "registration", description = "Instances come, stay and go."),
        (name = "discovery", description = "Who is there, and who owns a key."),
        (name = "calls", description = "Rates, errors and durations."),
        (name = "traces", description = "Where calls went."),
        (name = "resilience", description = "Policies, breakers and proxies."),
        (name = "operation", description = "Events, accounts, tokens, health."),
    ),
)]
struct Document;

/// Everything under `/bellwether/v1`, and its description.
pub(crate) fn router(state: Arc<State>) -> Router {
    let (routes, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .merge(services::routes())
        .merge(owners::routes())
        .merge(history::routes())
        .merge(http_sd::routes())
        .merge(instances::routes())
        .merge(bulk::routes())
        .merge(drain::routes())
        .merge(demo::routes())
        .merge(backup::routes())
        .merge(proxies::routes())
        .merge(overrides::routes())
        .merge(policies::routes())
        .merge(watch::routes())
        .merge(red::routes())
        .merge(tap::routes())
        .merge(traces::routes())
        .merge(attributes::routes())
        .merge(export::routes())
        .merge(pins::routes())
        .merge(compare::routes())
        .merge(critical_path::routes())
        .merge(graph::routes())
        .merge(events::routes())
        .merge(breakers::routes())
        .merge(ledger::routes())
        .merge(storage::routes())
        .merge(overview::routes())
        .merge(tokens::routes())
        .merge(health::routes())
        .merge(metrics::routes())
        .split_for_parts();
    document::complete(&mut document);
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let text: Arc<str> = document.to_json().unwrap_or_default().into();
    let openapi = move || {
        let text = text.clone();
        async move { ([(http::header::CONTENT_TYPE, "application/json")], text.to_string()) }
    };
    routes
        .route("/bellwether/v1/openapi.json", get(openapi))
        .merge(prometheus::routes())
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

async fn method_not_allowed(method: http::Method, uri: http::Uri) -> Refusal {
    Refusal(Problem::new(Code::MethodNotAllowed, format!("{} does not take {method}", uri.path())))
}

/// A path under the API that nobody knows.
pub(crate) fn no_such_path(path: &str) -> Problem {
    Problem::new(Code::NoSuchPath, format!("there is nothing at {path}"))
        .next("GET /bellwether/v1/openapi.json lists every path")
}

/// Reads need the scope `read` of the namespace.
fn may_read(caller: &Principal, namespace: &Namespace) -> Result<(), Problem> {
    caller.require(Scope::Read, Some(namespace))
}

/// Counts somebody who asks for a service's instances, or for those of a namespace, among those who may send
/// calls to them.
fn polled(
    state: &State,
    caller: &Principal,
    headers: &HeaderMap,
    namespace: &Namespace,
    service: Option<&ServiceName>,
) {
    if extract::is_our_own(headers) {
        return;
    }
    let from = caller.peer.map(|peer| format!("@{}", peer.ip())).unwrap_or_default();
    let by = format!("{}{from}", caller.name);
    state.subscribers.polled((namespace, service), &by, clock::now());
}

/// How a client that follows a service is called among those who may send calls to it.
pub(crate) fn subscriber(caller: &Principal) -> String {
    match caller.peer {
        Some(peer) => format!("{}@{peer}", caller.name),
        None => caller.name.to_string(),
    }
}

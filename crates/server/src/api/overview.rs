//! The first page of the console in one answer, and as a stream that follows it.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::State as Of,
    response::{IntoResponse, sse::Event as SseEvent},
};
use identity::Namespace;
use monitoring::{By, RedRow};
use resilience::State as BreakerState;
use serde::Deserialize;
use storage_events::{Order, Query as EventQuery};
use storage_spans::Query as SpanQuery;
use tokio::sync::watch;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{api, channel::BreakerRow, problem::Problem};

use super::{
    Caller, Shared, beside,
    events::may_see,
    extract::{Answer, Asked},
    ledger, may_read,
    red::{rows, window},
    stream,
};
use crate::{access::Principal, chronicle, clock, diary, findings::findings, state::State, view};

/// Traces and events on the page.
const RECENT: usize = 20;
/// The stream says something at most this often …
const PACE: Duration = Duration::from_millis(500);
/// … with pauses of this many times what a page costs, so that a page of many series takes at most a
/// tenth of a core …
const PAUSE_PER_COST: u32 = 9;
/// … and at least this often, because rates fall while nothing happens.
const REFRESH: Duration = Duration::from_secs(5);

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(follow))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct OverviewQuery {
    /// Of which namespace; `default` where it is not given.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    namespace: Namespace,
    /// The window of its figures, up to 1h; 5m where it is not given.
    window: Option<String>,
}

/// Services, edges, the newest traces and events, and the accounts.
#[utoipa::path(
    get, path = "/bellwether/v1/overview", tag = "operation", params(OverviewQuery),
    responses((status = 200, body = api::Overview), (status = "default", body = Problem)),
)]
async fn show(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(query): Asked<OverviewQuery>,
) -> Answer<Json<api::Overview>> {
    may_read(&caller, &query.namespace)?;
    let window = window(query.window.as_deref())?;
    Ok(Json(overview(&state, &caller, &query.namespace, window).await?))
}

/// The same as server-sent events `overview`, whenever something changed, at most twice a second.
#[utoipa::path(
    get, path = "/bellwether/v1/overview/stream", tag = "operation", params(OverviewQuery),
    responses(
        (status = 200, description = "a stream that ends with the server", body = api::Overview, content_type = "text/event-stream"),
        (status = "default", body = Problem),
    ),
)]
async fn follow(
    Of(state): Shared,
    Extension(caller): Caller,
    Asked(query): Asked<OverviewQuery>,
) -> Answer<impl IntoResponse> {
    may_read(&caller, &query.namespace)?;
    let window = window(query.window.as_deref())?;
    let page = Page {
        activity: state.activity.subscribe(),
        state,
        caller,
        namespace: query.namespace,
        window,
        sent: 0,
        cost: Duration::ZERO,
    };
    Ok(stream::answer(page))
}

struct Page {
    state: Arc<State>,
    caller: Principal,
    activity: watch::Receiver<u64>,
    namespace: Namespace,
    window: Duration,
    sent: u64,
    /// How long the last page took to make.
    cost: Duration,
}

impl stream::Follower for Page {
    async fn next(&mut self) -> Option<SseEvent> {
        if self.sent > 0 {
            let stopping = self.state.stopping.clone();
            let pause = PACE.max(self.cost * PAUSE_PER_COST);
            let paced = async {
                tokio::time::sleep(pause).await;
                let _ = tokio::time::timeout(REFRESH.saturating_sub(pause), self.activity.changed()).await;
            };
            tokio::select! {
                () = paced => {}
                () = stopping.cancelled() => return None,
            }
        }
        self.activity.borrow_and_update();
        self.sent += 1;
        let begun = clock::mono();
        let page = overview(&self.state, &self.caller, &self.namespace, self.window).await;
        self.cost = clock::mono().since(begun);
        match page {
            Ok(page) => Some(stream::event("overview", self.sent, &page)),
            Err(problem) => {
                tracing::error!(error = %problem, "a stream of overviews ended");
                None
            }
        }
    }
}

async fn overview(
    state: &Arc<State>,
    caller: &Principal,
    namespace: &Namespace,
    window: Duration,
) -> Result<api::Overview, Problem> {
    let events = recent_events(state, caller, namespace).await?;
    let recent =
        SpanQuery { namespace: Some(namespace.as_str().into()), limit: RECENT, ..SpanQuery::default() };
    let store = Arc::clone(state);
    let traces = beside(move || Ok(store.spans.search(&recent).traces)).await?;
    let (revision, services) = services(state, namespace, window);
    let edges = edges(state, namespace, window);
    let by_instance = || rows(state, Some(namespace), window, By::Instance);
    Ok(api::Overview {
        at: clock::now().wall.to_string(),
        namespace: namespace.to_string(),
        window_ns: window.as_nanos() as u64,
        revision,
        findings: findings(state, namespace, &services, &edges, by_instance),
        services,
        edges,
        traces: traces.iter().map(view::summary).collect(),
        events,
        ledger: ledger::ledgers(state),
        server: api::Server {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: state.started.to_string(),
            open_access: state.access.is_open(),
            failing: state
                .failing()
                .map(|(store, why)| api::FailingStore { store: store.to_owned(), why })
                .collect(),
        },
    })
}

async fn recent_events(
    state: &State,
    caller: &Principal,
    namespace: &Namespace,
) -> Result<Vec<api::Event>, Problem> {
    let query = EventQuery {
        without: Some(diary::ACTION),
        namespace: Some(namespace.clone()),
        limit: RECENT,
        order: Order::NewestFirst,
        ..EventQuery::default()
    };
    let events = chronicle::read(&state.events, query).await?;
    Ok(events.iter().filter(|event| may_see(caller, event)).map(view::event).collect())
}

/// The registered services, and those that were called though nobody is registered for them.
fn services(state: &State, namespace: &Namespace, window: Duration) -> (u64, Vec<api::OverviewService>) {
    let rows = rows(state, Some(namespace), window, By::Service);
    let red =
        |name: &str| rows.iter().find(|row| &*row.service == name).map_or_else(view::no_calls, view::red);
    let registry = state.roll.read();
    let registered = registry.services(namespace).filter_map(|name| {
        let view = registry.service(namespace, name)?;
        let service = name.to_string();
        Some(api::OverviewService { red: red(&service), instances: view::counts(&view), service })
    });
    let mut services: Vec<api::OverviewService> = registered.collect();
    let unknown =
        rows.iter().filter(|row| registry.services(namespace).all(|name| name.as_str() != &*row.service));
    let gone: Vec<api::OverviewService> = unknown
        .map(|row| api::OverviewService {
            service: row.service.to_string(),
            instances: api::InstanceCounts::default(),
            red: view::red(row),
        })
        .collect();
    services.extend(gone);
    (registry.revision(), services)
}

fn edges(state: &State, namespace: &Namespace, window: Duration) -> Vec<api::OverviewEdge> {
    let proxies = state.live.proxies();
    let breakers: Vec<&BreakerRow> = proxies.iter().flat_map(|(_, proxy)| &proxy.breakers).collect();
    let edge = |row: &RedRow| {
        let caller = row.caller.as_deref().unwrap_or_default();
        let on_edge = breakers.iter().filter(|of| {
            of.namespace == *namespace && of.service.as_str() == &*row.service && of.caller.as_str() == caller
        });
        let breaker = on_edge.max_by_key(|of| (severity(of.state), of.since)).map(|of| api::BreakerState {
            state: of.state.to_string(),
            since: of.since.to_string(),
            reason: of.reason.clone(),
        });
        api::OverviewEdge {
            caller: caller.to_owned(),
            service: row.service.to_string(),
            red: view::red(row),
            breaker,
        }
    };
    rows(state, Some(namespace), window, By::Edge).iter().map(edge).collect()
}

/// Which of several breakers on an edge is shown: the one that stops the most.
fn severity(state: BreakerState) -> u8 {
    match state {
        BreakerState::ForcedOpen => 5,
        BreakerState::Open => 4,
        BreakerState::HalfOpen => 3,
        BreakerState::Ramp => 2,
        BreakerState::Shadow | BreakerState::ForcedClosed | BreakerState::Disabled => 1,
        BreakerState::Closed => 0,
    }
}

//! What each store takes of disk and memory, of how much, and how far back it goes.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Json, extract::State as Of};
use identity::Wall;
use monitoring::{SLOT, SLOTS};
use storage_catalog::Scope;
use storage_events::{Order, Query};
use storage_samples::SeriesSettings;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{
    api,
    problem::{Code, Problem},
};

use super::{Caller, Shared, extract::Answer};
use crate::{Budget, Budgets, chronicle, clock, state::State};

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The stores: their sizes and budgets, the age of the oldest that they keep, and how long they keep it.
///
/// What is beyond a budget, or older than it may be, goes oldest first and is counted as `expired`. The
/// catalog has no budget: it is bounded by the number of instances, and the reserve of disk is kept for it.
#[utoipa::path(
    get, path = "/bellwether/v1/storage", tag = "operation",
    responses((status = 200, body = api::Storage), (status = "default", body = Problem)),
)]
async fn show(Of(state): Shared, Extension(caller): Caller) -> Answer<Json<api::Storage>> {
    caller.require(Scope::Read, None)?;
    let first = Query { limit: 1, order: Order::OldestFirst, ..Query::default() };
    let first_event = chronicle::read(&state.events, first).await?.first().map(|event| event.at);
    let measured = state.clone();
    let look = move || (stores(&measured, first_event), measured.place.free_bytes());
    let looked = tokio::task::spawn_blocking(look).await;
    let (stores, free_bytes) = looked.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    Ok(Json(api::Storage { free_bytes, reserve_bytes: state.place.budgets.reserve_bytes, stores }))
}

/// What a store has, before its budget is written beside it.
struct Size {
    disk_bytes: u64,
    memory_bytes: Option<u64>,
    entries: u64,
    oldest: Option<Wall>,
}

fn nanos(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}

fn stores(state: &State, first_event: Option<Wall>) -> Vec<api::StoreUse> {
    let now = clock::now().wall;
    let use_of = |store: &str, size: Size, budget: Option<Budget>, max_age: Option<Duration>| api::StoreUse {
        store: store.to_owned(),
        disk_bytes: size.disk_bytes,
        disk_budget_bytes: budget.map(|budget| budget.disk_bytes),
        memory_bytes: size.memory_bytes,
        memory_budget_bytes: budget.map(|budget| budget.memory_bytes),
        entries: size.entries,
        oldest: size.oldest.map(|at| at.to_string()),
        age_ns: size.oldest.map(|at| nanos(now.since(at))),
        max_age_ns: max_age.map(nanos),
    };
    let size = |disk_bytes, memory_bytes, entries, oldest| Size {
        disk_bytes,
        memory_bytes: Some(memory_bytes),
        entries,
        oldest,
    };
    let (events, spans) = (state.events.stats(), state.spans.stats());
    let (samples, series) = (state.samples.stats(), state.series.stats());
    let catalog = Size {
        disk_bytes: state.roll.disk_bytes(),
        memory_bytes: None,
        entries: state.roll.read().instance_count() as u64,
        oldest: None,
    };
    let events = size(events.disk_bytes, events.memory_bytes, events.events, first_event);
    let spans = size(spans.disk_bytes, spans.memory_bytes, spans.spans, spans.oldest);
    let samples = size(samples.disk_bytes, samples.memory_bytes, samples.series, None);
    let series = size(series.disk_bytes, series.memory_bytes, series.sealed_samples, series.oldest);
    let Budgets { spans: for_spans, samples: for_samples, events: for_events, .. } = state.place.budgets;
    let Budgets { spans_max_age, events_max_age, .. } = state.place.budgets;
    vec![
        use_of("catalog", catalog, None, None),
        use_of("events", events, Some(for_events), Some(events_max_age)),
        use_of("spans", spans, Some(for_spans), Some(spans_max_age)),
        use_of("samples", samples, Some(for_samples), Some(SLOT * SLOTS as u32)),
        use_of("series", series, Some(for_samples), Some(SeriesSettings::default().max_age)),
    ]
}

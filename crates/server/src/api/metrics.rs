//! `/metrics`: the calls that the proxies counted, and Bellwether itself.

use axum::{Extension, extract::State as Of, response::IntoResponse};
use http::header;
use monitoring::{
    Ledger,
    exposition::{CONTENT_TYPE, DURATION_BOUNDS, Exposition, Type},
};
use storage_catalog::Scope;
use traces::sampling::Verdict;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::problem::Problem;

use super::{Caller, Shared, extract::Answer};
use crate::{listener::Reason, state::State};

mod data_plane;

pub(super) fn routes() -> OpenApiRouter<std::sync::Arc<State>> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Everything in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses((status = 200, body = String, content_type = "text/plain"), (status = "default", body = Problem)),
)]
async fn metrics(Of(state): Shared, Extension(caller): Caller) -> Answer<impl IntoResponse> {
    caller.require(Scope::Read, None)?;
    let mut text = Exposition::new();
    calls(&mut text, &state);
    registry(&mut text, &state);
    data_plane::expose(&mut text, &state);
    state.probes.expose(&mut text);
    state.targets.expose(&mut text);
    ledger(&mut text, &state);
    senders(&mut text, &state);
    tail(&mut text, &state);
    storage(&mut text, &state);
    listener(&mut text, &state);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text.into_string()))
}

fn calls(text: &mut Exposition, state: &State) {
    let totals = state.samples.totals();
    let mut family = text.family(
        "bellwether_call_duration_seconds",
        "How long calls took, as the proxies saw them.",
        Type::Histogram,
    );
    for (key, total) in &totals {
        family.histogram(&key.labels(), total.histogram(), &DURATION_BOUNDS, total.sum_ns() as f64 / 1e9);
    }
    let mut family = text.family("bellwether_calls_total", "Calls, as the proxies saw them.", Type::Counter);
    for (key, total) in &totals {
        family.count(&key.labels(), total.calls());
    }
}

fn registry(text: &mut Exposition, state: &State) {
    let registry = state.roll.read();
    let (instances, revision) = (registry.instance_count(), registry.revision());
    drop(registry);
    text.family("bellwether_registry_instances", "Registered instances.", Type::Gauge)
        .sample(&[], instances as f64);
    text.family("bellwether_registry_revision", "The registry's revision.", Type::Gauge)
        .sample(&[], revision as f64);
    let (safe, others) = state.subscribers.receipts();
    let help = "Acknowledgements of proxies that are not kept, for want of room.";
    text.family("bellwether_diary_left_out_total", help, Type::Counter).count(&[], state.diary.left_out());
    let help = "Receipts of drains, by whether they said that it is safe.";
    let mut family = text.family("bellwether_drain_receipts_total", help, Type::Counter);
    family.count(&[("safe", "true")], safe);
    family.count(&[("safe", "false")], others);
}

fn ledger(text: &mut Exposition, state: &State) {
    let (spans, samples) = state.ledgers();
    let accounts = [("spans", &spans), ("samples", &samples)];
    let mut each = |name: &str, help: &str, figure: &dyn Fn(&Ledger) -> u64| {
        let mut family = text.family(name, help, Type::Counter);
        for (signal, ledger) in &accounts {
            family.count(&[("signal", signal)], figure(ledger));
        }
    };
    each("bellwether_telemetry_received_total", "What came in.", &|ledger| ledger.received);
    each("bellwether_telemetry_stored_total", "What was stored.", &|ledger| ledger.stored);
    each("bellwether_telemetry_sampled_out_total", "What sampling left out.", &|ledger| ledger.sampled_out);
    each("bellwether_telemetry_expired_total", "What retention removed again.", &|ledger| ledger.expired);
    let mut family =
        text.family("bellwether_telemetry_dropped_total", "What was lost, by reason.", Type::Counter);
    for (signal, ledger) in &accounts {
        for (reason, count) in &ledger.dropped {
            family.count(&[("signal", signal), ("reason", reason)], *count);
        }
    }
}

fn senders(text: &mut Exposition, state: &State) {
    let help = "Requests with spans that were refused as a whole, by reason; their senders send them again.";
    let mut family = text.family("bellwether_span_requests_refused_total", help, Type::Counter);
    for (reason, count) in state.senders.refused() {
        family.count(&[("reason", reason)], count);
    }
    let help = "Texts and bytes in spans that were longer than is kept, and were cut.";
    text.family("bellwether_span_values_cut_total", help, Type::Counter).count(&[], state.senders.cut());
}

/// What became of traces when they were over.
fn tail(text: &mut Exposition, state: &State) {
    let counts = state.spans.tail();
    let help = "Traces that tail sampling decided about, by the reason why they are kept, or sampled_out.";
    let mut family = text.family("bellwether_tail_sampling_traces_total", help, Type::Counter);
    for (verdict, count) in Verdict::ALL.iter().zip(counts.decided) {
        family.count(&[("verdict", verdict.as_str())], count);
    }
    let others = [
        (
            "incomplete_traces",
            "Traces that were decided about before their root had come.",
            counts.incomplete,
        ),
        ("hurried_traces", "Traces that were decided about early, because too much waited.", counts.hurried),
        ("late_spans", "Spans that followed the decision about their trace.", counts.late),
        ("forgotten_traces", "Decisions that were forgotten to make room for others.", counts.forgotten),
    ];
    for (name, help, count) in others {
        text.family(&format!("bellwether_tail_sampling_{name}_total"), help, Type::Counter).count(&[], count);
    }
    text.family("bellwether_tail_sampling_waiting_spans", "Spans of traces that are not over.", Type::Gauge)
        .sample(&[], counts.waiting_spans as f64);
}

fn storage(text: &mut Exposition, state: &State) {
    let stores = [
        ("spans", state.spans.stats().memory_bytes, state.spans.stats().disk_bytes),
        ("samples", state.samples.stats().memory_bytes, state.samples.stats().disk_bytes),
        ("series", state.series.stats().memory_bytes, state.series.stats().disk_bytes),
        ("events", state.events.stats().memory_bytes, state.events.stats().disk_bytes),
    ];
    let mut family = text.family("bellwether_storage_disk_bytes", "Bytes on disk, by store.", Type::Gauge);
    for (store, _, disk) in stores {
        family.sample(&[("store", store)], disk as f64);
    }
    let mut family =
        text.family("bellwether_storage_memory_bytes", "Bytes held in memory, by store.", Type::Gauge);
    for (store, memory, _) in stores {
        family.sample(&[("store", store)], memory as f64);
    }
    let series = state.series.stats();
    text.family(
        "bellwether_series_active",
        "Series of others with samples that are not sealed.",
        Type::Gauge,
    )
    .sample(&[], series.active_series as f64);
    text.family("bellwether_exemplars_dropped_total", "Exemplars beyond those that are kept.", Type::Counter)
        .count(&[], series.exemplars_dropped);
    let journals = state.journals();
    let mut family = text.family(
        "bellwether_storage_failing",
        "1 where the disk refused the last write of a store, else 0.",
        Type::Gauge,
    );
    for (store, journal) in &journals {
        family.sample(&[("store", store)], f64::from(u8::from(journal.failing.is_some())));
    }
    let mut family =
        text.family("bellwether_storage_failures_total", "Writes that the disk refused.", Type::Counter);
    for (store, journal) in &journals {
        family.count(&[("store", store)], journal.failures);
    }
}

fn listener(text: &mut Exposition, state: &State) {
    let stats = &state.listener;
    text.family("bellwether_listener_connections_accepted_total", "Connections accepted.", Type::Counter)
        .count(&[], stats.accepted());
    text.family("bellwether_listener_connections_active", "Connections open.", Type::Gauge)
        .sample(&[], stats.active() as f64);
    text.family("bellwether_listener_requests_total", "Requests.", Type::Counter)
        .count(&[], stats.requests());
    let mut family = text.family(
        "bellwether_listener_refused_total",
        "Connections and requests refused by a limit or a rule of the listener.",
        Type::Counter,
    );
    for reason in Reason::ALL {
        family.count(&[("reason", reason.label())], stats.refused(*reason));
    }
}

//! A proxy's report into the stores.
//!
//! The three stores have journals of their own, and a report is acknowledged when all three hold it. If
//! one of them refuses, the proxy sends the whole report again, and those that have it already know it
//! by its epoch and sequence.

use std::sync::Arc;

use monitoring::Origin;

use wire::native::{
    channel::{Intake, Report},
    problem::{Code, Problem},
};

use crate::{chronicle, clock, problems, state::State, subscribers};

/// Spans of the largest report.
const SPANS_MAX: usize = 16_384;
/// Rows of the largest report, of each kind.
const ROWS_MAX: usize = 65_536;

/// Takes a report.
pub(crate) async fn accept(state: &Arc<State>, report: Report) -> Result<(), Problem> {
    check(&report)?;
    let now = clock::now();
    // What it proves does not wait for the disks of the telemetry.
    state.subscribers.reported(&report, now);
    let origin =
        Origin { source: report.proxy.as_str().into(), epoch: report.epoch, sequence: report.sequence };
    let transitions = chronicle::transitions(&report);

    let mut kept = report.spans.clone();
    kept.retain(|span| state.keeps(span.trace_id));
    let left_out = (report.spans.len() - kept.len()) as u64;
    let spans = storage_spans::Batch {
        origin: Some(origin.clone()),
        received_at: now.wall,
        received: report.spans_intake.received,
        sampled_out: report.spans_intake.sampled_out + left_out,
        dropped: dropped(&report.spans_intake),
        spans: kept,
    };
    let samples = storage_samples::Batch {
        origin: Some(origin.clone()),
        received_at: now.wall,
        received: report.calls_intake.received,
        dropped: dropped(&report.calls_intake),
        rows: report.calls.clone(),
    };
    let told = async {
        if transitions.is_empty() {
            return Ok(());
        }
        state.events.record(storage_events::Batch::of(Some(origin), &transitions)).await.map(drop)
    };
    let (spans, samples, told) = tokio::join!(state.spans.accept(spans), state.samples.accept(samples), told);
    if spans.as_ref().is_ok_and(|receipt| !receipt.is_duplicate) {
        state.graph.observe(&report.spans, now.wall);
    }
    for accepted in [spans.map(drop), samples.map(drop), told] {
        accepted.map_err(problems::accept)?;
    }
    if report.leaving {
        subscribers::farewell(state, &report.proxy).await;
    } else {
        state.live.reported(&report, now.wall);
    }
    state.touch();
    Ok(())
}

fn dropped(intake: &Intake) -> Vec<(Box<str>, u64)> {
    intake.dropped.iter().map(|(reason, count)| (reason.as_str().into(), *count)).collect()
}

/// An account that does not add up would break the ledger for good, so it is refused at the door.
fn check(report: &Report) -> Result<(), Problem> {
    let adds_up = |field: &str, intake: &Intake, sent: usize| {
        let mut counts =
            intake.dropped.iter().map(|(_, count)| *count).chain([intake.sampled_out, sent as u64]);
        let sum = counts.try_fold(0_u64, u64::checked_add);
        if sum == Some(intake.received) {
            return Ok(());
        }
        let detail =
            format!("{field}.received is {}, but sent + sampled_out + dropped is not", intake.received);
        Err(Problem::new(Code::TelemetryMalformed, detail).at(field))
    };
    let rows = [report.calls.len(), report.transitions.len(), report.breakers.len(), report.endpoints.len()];
    if report.spans.len() > SPANS_MAX || rows.into_iter().any(|rows| rows > ROWS_MAX) {
        let detail = format!("a report holds at most {SPANS_MAX} spans and {ROWS_MAX} rows");
        return Err(Problem::new(Code::TelemetryTooLarge, detail));
    }
    adds_up("spans_intake", &report.spans_intake, report.spans.len())?;
    adds_up("calls_intake", &report.calls_intake, report.calls.len())
}

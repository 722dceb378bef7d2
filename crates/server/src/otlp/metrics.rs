//! Metrics of OpenTelemetry on their way into the store of series.
//!
//! A request is a batch: it is answered when its samples are durable. A point that breaks a rule is counted in the
//! ledger as one sample that was dropped, and named in the answer.

use std::sync::Arc;

use storage_catalog::Scope;
use storage_samples::{SampleAccount, SampleWriter};
use tokio::sync::OwnedSemaphorePermit;
use wire::{
    native::problem::{Code, Problem},
    otlp::metrics::{Sink, decode},
};

use crate::{
    access::Principal,
    clock, problems,
    senders::{Held, Rewrite},
    state::State,
};

/// How many points were refused, and why.
type Rejected = (u64, String);

/// Takes in the points of a request.
pub(super) async fn take_in(
    state: &Arc<State>,
    caller: &Principal,
    held: Held,
    rewrite: Rewrite,
) -> Result<Rejected, Problem> {
    caller.require(Scope::Write, None)?;
    taken(state, held, rewrite).await.inspect_err(|problem| state.senders.count(problem))
}

async fn taken(state: &Arc<State>, held: Held, rewrite: Rewrite) -> Result<Rejected, Problem> {
    let room = state.senders.room(held.inflated())?;
    let core = state.senders.core().await?;
    let of = state.clone();
    // Decoding megabytes takes milliseconds, in which the runtime's threads have other things to do.
    let work = tokio::task::spawn_blocking(move || {
        let _room = room;
        store(&of, held, rewrite, core)
    });
    let rejected = work.await.map_err(|error| Problem::new(Code::Internal, error.to_string()))??;
    state.touch();
    Ok(rejected)
}

/// Decodes a request and stores it. `core` is given back before the disk is waited for.
fn store(
    state: &State,
    mut held: Held,
    rewrite: Rewrite,
    core: OwnedSemaphorePermit,
) -> Result<Rejected, Problem> {
    let request = held.whole(rewrite)?;
    let mut into = Into { state, writer: state.series.writer() };
    let counted = decode(&request, &state.deltas, &mut into)
        .map_err(|error| Problem::new(Code::TelemetryMalformed, error.to_string()))?;
    let rejected = counted.rejected();
    let received = counted.samples + rejected.0;
    if received == 0 {
        return Ok(rejected);
    }
    let dropped = counted.refused.iter().map(|(reason, count)| (reason.as_str().into(), *count));
    let account = SampleAccount { received_at: clock::now().wall, received, dropped: dropped.collect() };
    let accept = state.series.accept(account, into.writer);
    drop(core);
    accept.wait().map_err(problems::accept)?;
    Ok(rejected)
}

/// Samples on their way from a request into the store.
struct Into<'a> {
    state: &'a State,
    writer: SampleWriter<'a>,
}

impl Sink for Into<'_> {
    fn series(&mut self, labels: &[(&str, &str)]) {
        self.writer.series(labels.iter().copied());
    }

    fn sample(&mut self, time: i64, value: f64) {
        self.writer.sample(time, value);
    }

    fn exemplar(&mut self, time: i64, value: f64, labels: &[(&str, &str)]) {
        self.writer.exemplar(time, value, labels.iter().copied());
    }

    fn family(&mut self, name: &str, kind: &'static str, help: &str, unit: &str) {
        self.state.families.describe(name, Some(kind), Some(help), Some(unit));
    }
}

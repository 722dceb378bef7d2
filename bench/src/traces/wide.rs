//! A trace of a hundred thousand spans, as a batch job makes one: stored, found and shown.

use std::sync::Arc;

use identity::{SpanId, TraceId, Wall};
use storage_spans::{AcceptError, Batch, Query, Spans};
use traces::{CriticalPath, Resource, Rules, Span};

use super::generator::BEGIN;
use crate::{
    Failure, clock,
    report::{Figure, Report, Row, progress},
    round::millis,
};

const SPANS: u64 = 100_000;
/// Spans of a batch.
const BATCH: u64 = 5_000;
const SERVICE: &str = "nightly-export";

fn span(number: u64, id: TraceId, resource: &Arc<Resource>) -> Option<Span> {
    let start = Wall(BEGIN + number * 1_000);
    let name = if number == 1 { "export" } else { "export a row" };
    let mut span = Span::new(id, SpanId::new(number)?, name, start, Arc::clone(resource));
    // Each has eight children, so that it is deep as well as wide.
    span.parent_span_id = SpanId::new((number + 6) / 8).filter(|_| number > 1);
    span.duration_ns = (SPANS + 1 - number) * 2_000;
    span.attributes.push("row.number", number as i64);
    Some(span)
}

/// Adds how long each step takes.
pub(super) fn measure(report: &mut Report, store: &Spans) -> Result<(), Failure> {
    progress("a trace of 100,000 spans");
    let id = TraceId::new(1 << 100 | 1).ok_or("no id")?;
    let mut attributes = traces::Attributes::new();
    attributes.push("service.name", SERVICE);
    let resource = Arc::new(Resource::new(attributes));
    let begin = clock::now();
    for first in (1..=SPANS).step_by(BATCH as usize) {
        let spans: Vec<Span> =
            (first..first + BATCH).filter_map(|number| span(number, id, &resource)).collect();
        let batch =
            Batch { received: spans.len() as u64, received_at: Wall(BEGIN), spans, ..Batch::default() };
        while let Err(error) = store.accept(batch.clone()).wait() {
            match error {
                AcceptError::Busy => clock::pause(std::time::Duration::from_millis(20)),
                error => return Err(error.into()),
            }
        }
    }
    store.seal()?;
    let stored = begin.elapsed();
    let begin = clock::now();
    let found = store.search(&Query { service: Some(SERVICE.into()), ..Query::default() });
    let searched = begin.elapsed();
    if found.traces.len() != 1 || found.traces[0].spans != SPANS {
        return Err(format!("the wide trace was found as {:?}", found.traces).into());
    }
    let begin = clock::now();
    let tree = store.tree(id).ok_or("the wide trace is not there")?;
    let path = CriticalPath::of(&tree, &Rules::default());
    let shown = begin.elapsed();
    if tree.nodes().len() as u64 != SPANS || path.services(&tree).is_empty() {
        return Err("the wide trace is not whole".into());
    }
    for (step, time) in
        [("stored and sealed", stored), ("found", searched), ("read, with its critical path", shown)]
    {
        let figures = Figure::of("ms", [millis(time)]).into_iter().collect();
        report.row(Row { subject: "a trace of 100,000 spans", load: step.to_owned(), figures });
    }
    Ok(())
}

//! Spans over a disk that fails.

mod budget;
mod edges;
mod expressions;
mod faults;
mod ledger;
mod lookup;
mod record;
mod sampling;
mod search;

use std::{path::Path, sync::Arc, time::Duration};

use identity::{SpanId, TraceId, Wall};
use monitoring::Origin;
use storage_disk::FaultyDisk;
use traces::{Attributes, Resource, Span};

use crate::{Batch, Settings, Spans};

const FOLDER: &str = "/data/spans";

fn settings() -> Settings {
    Settings { reserve_bytes: 0, max_age: Duration::MAX, ..Settings::default() }
}

fn open_with(disk: &FaultyDisk, settings: Settings) -> Spans {
    Spans::open(Arc::new(disk.clone()), Path::new(FOLDER), settings).unwrap().0
}

fn open(disk: &FaultyDisk) -> Spans {
    open_with(disk, settings())
}

fn trace_id(number: u128) -> TraceId {
    TraceId::new(number).unwrap()
}

fn resource(namespace: &str, service: &str) -> Arc<Resource> {
    let mut attributes = Attributes::new();
    attributes.push("service.namespace", namespace);
    attributes.push("service.name", service);
    Arc::new(Resource::new(attributes))
}

/// A span of a trace, with the trace's number as its start.
fn span(trace: u128, id: u64, service: &str, operation: &str) -> Span {
    let id = SpanId::new(id).unwrap();
    let mut span =
        Span::new(trace_id(trace), id, operation, Wall(trace as u64), resource("default", service));
    span.duration_ns = 1_000;
    span
}

/// Batch `sequence` of a source: one trace of three spans, one more sampled out and one dropped.
fn batch(sequence: u64) -> Batch {
    let trace = u128::from(sequence) + 1;
    Batch {
        origin: Some(Origin { source: "proxy".into(), epoch: 1, sequence }),
        received_at: Wall(sequence + 1),
        received: 5,
        sampled_out: 1,
        dropped: vec![("queue_full".into(), 1)],
        spans: (1..=3).map(|id| span(trace, id, "shop", "GET /orders")).collect(),
    }
}

/// A batch of spans alone, from nobody in particular.
fn plain(spans: Vec<Span>) -> Batch {
    Batch { received: spans.len() as u64, spans, ..Batch::default() }
}

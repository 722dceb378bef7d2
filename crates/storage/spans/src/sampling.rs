//! Tail sampling, where the spans are.
//!
//! A trace is decided about when it is over, and what was decided takes effect when the block is sealed that the
//! trace would have been in. Until then everything can be read, and counts as stored; from the moment at which the
//! block is there, what it was not given counts as sampled out. The block's own record has these counters, so that
//! there is no moment at which a crash could find spans counted twice or not at all: without the block, the
//! journal still has everything, and is decided about once more.
//!
//! Traces that are not over when a block is begun are *carried*: their spans are written to the journal once more,
//! behind the place where the block ends, and are in memory as if they had come just now. Where that would be more
//! than half of what came, the oldest are decided early; where the disk refuses it, they stay in the block.
//!
//! A span of a trace that is in a block already is kept, since half a trace is worth little. What was decided about
//! the others is remembered within a bound, and after a restart not at all.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use identity::{Mono, TraceId, Wall};
use monitoring::Ledger;
use traces::{
    Span,
    sampling::{Decided, Glimpse, Tail, TailCounts, TailPolicy, Verdict},
};

use crate::{
    SpanWriter,
    chunk::Chunk,
    memory::Memory,
    record::{self, Batch},
    store::{Durable, Part},
    write_all,
};

/// Spans of one record of those that are carried.
const SPANS_AT_ONCE: usize = 4_096;

/// What a block is not given.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Traces that are not kept.
    pub(crate) out: Vec<TraceId>,
    /// Traces that the next block is to have, …
    pub(crate) carried: Vec<TraceId>,
    /// … and their spans, as they stand in the journal now.
    pub(crate) batches: Vec<Batch>,
    /// The number under which they stand there; zero for none.
    pub(crate) number: u64,
}

/// Decides about the traces in memory.
#[derive(Debug)]
pub(crate) struct Sampling {
    tail: Tail,
    /// Operations by chunk are looked up by their numbers.
    operations: HashMap<(u32, u32), u64>,
}

impl Sampling {
    /// Begins with what is in memory.
    pub(crate) fn new(policy: TailPolicy, durable: &mut Durable, now: Wall) -> Self {
        let mut sampling = Self { tail: Tail::new(policy), operations: HashMap::new() };
        let chunks = durable.active.memory.chunks().to_vec();
        for chunk in &chunks {
            for decided in sampling.observe(chunk, now) {
                durable.active.memory.decide(decided.trace_id, decided.verdict);
            }
        }
        sampling
    }

    /// Has a trace kept, or treated as any other again.
    pub(crate) fn pin(&mut self, id: TraceId, is_pinned: bool) {
        if is_pinned {
            let _ = self.tail.pin(id);
        } else {
            self.tail.unpin(id);
        }
    }

    /// What was counted.
    pub(crate) fn counts(&self) -> TailCounts {
        self.tail.counts()
    }

    /// Takes in spans that are durable, and gives what is decided by that.
    pub(crate) fn observe(&mut self, chunk: &Chunk, now: Wall) -> Vec<Decided> {
        self.operations.clear();
        let mut decided = Vec::new();
        for span in 0..chunk.len() as u32 {
            let Some(head) = chunk.head(span) else { continue };
            let operation = self.operations.entry((head.resource, head.name)).or_insert_with(|| {
                let mut hasher = DefaultHasher::new();
                chunk.resource(head.resource).map(|of| (of.namespace(), of.service())).hash(&mut hasher);
                chunk.text(head.name).hash(&mut hasher);
                hasher.finish()
            });
            let glimpse = Glimpse {
                trace_id: head.trace_id,
                is_root: head.parent.is_none(),
                is_error: head.is_error(),
                duration_ns: head.duration_ns,
                operation: *operation,
            };
            decided.extend(self.tail.observe(&glimpse, mono(now)));
        }
        decided
    }

    /// Lets time pass, and gives what is decided.
    pub(crate) fn advance(&mut self, now: Wall) -> Vec<Decided> {
        self.tail.advance(mono(now))
    }

    /// Decides early what is too much to be carried.
    pub(crate) fn hurry(&mut self, spans: usize, now: Wall) -> Vec<Decided> {
        self.tail.hurry(spans as u64 / 2, mono(now))
    }

    /// Which traces of a part are left out for good, and which are left to the next one.
    pub(crate) fn left(&self, part: &Part) -> (Vec<TraceId>, Vec<TraceId>) {
        let (mut out, mut carried) = (Vec::new(), Vec::new());
        for (id, entry) in part.memory.traces() {
            match entry.verdict {
                _ if part.earlier.contains_key(id) => {}
                Some(Verdict::SampledOut) if !self.tail.is_pinned(*id) => out.push(*id),
                None => carried.push(*id),
                Some(_) => {}
            }
        }
        // In an order that does not change from run to run.
        out.sort_unstable();
        carried.sort_unstable();
        (out, carried)
    }
}

/// Time as the applier hears of it: it never goes back, and nothing but differences is looked at.
fn mono(now: Wall) -> Mono {
    Mono(now.0)
}

/// The spans of traces as batches, and as records for the journal.
pub(crate) fn carry(part: &Part, ids: &[TraceId], block: u64, at: Wall) -> Vec<(Vec<u8>, Batch)> {
    let mut spans = ids.iter().flat_map(|id| part.memory.spans_of(*id));
    let mut parts = Vec::new();
    loop {
        let some: Vec<Span> =
            spans.by_ref().take(SPANS_AT_ONCE).filter_map(|(chunk, span)| chunk.owned(span)).collect();
        if some.is_empty() {
            return parts;
        }
        let mut writer = SpanWriter::default();
        write_all(&mut writer, &some);
        let count = writer.len() as u64;
        let ledger = Ledger { received: count, stored: count, ..Ledger::default() };
        let (chunk, bytes) = writer.finish(at);
        let record = record::carry(block, at, &ledger, &bytes);
        parts.push((record, Batch { origin: None, ledger, chunk: chunk.into() }));
    }
}

/// Takes what is left out of a part, and gives what is left out for good.
pub(crate) fn leave(part: &mut Part, left: Left, next: &mut Part) -> Memory {
    for id in &left.carried {
        part.memory.take(*id);
    }
    for batch in left.batches {
        let count = batch.ledger.stored;
        let ledger = &mut part.memory.ledger;
        (ledger.received, ledger.stored) = (ledger.received - count, ledger.stored - count);
        next.memory.add(batch.chunk, &batch.ledger, |_| {});
    }
    part.memory.split_off(&left.out)
}

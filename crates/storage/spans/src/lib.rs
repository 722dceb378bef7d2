//! Traces: spans that survive, and how they are found.
//!
//! Spans come in batches. A batch is a record of the journal, with its own counters in it, and is answered when
//! it is durable; until then nobody sees it. What the journal holds is in memory as well, in the form in which it
//! came, and when enough has come, a thread sorts it by trace, writes it as a Parquet file (a *block*) that any
//! tool can open, and drops the journal's part of it. A search looks at what is in memory and at blocks alike;
//! of a block, little is in memory, and what is remembered of all of them has a budget, so that memory does not
//! grow with what is stored. Retention removes whole blocks. A batch that is sent again is acknowledged again
//! and not counted again.
//!
//! **Promises:** acknowledged means durable; nothing is readable that is not durable; and the [`Ledger`]
//! balances at every moment, across every crash. A damaged segment or block costs its own spans, loudly, and no
//! others.
//!
//! **Absent on purpose:** no wire formats, no clock
//! (batches say when they were received, and [`Spans::advance`] what time it is), no async runtime.

mod applier;
mod block;
mod cache;
mod chunk;
mod edges;
mod export;
mod memory;
mod names;
mod record;
mod recovery;
mod retention;
mod sampling;
mod seal;
mod search;
mod settings;
mod store;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use identity::{TraceId, Wall};
use monitoring::{Ledger, Origin};
use storage_disk::Disk;
use storage_intake::Intake;
use storage_journal::{Journal, OpenError, Recovery};
use traces::{
    Attributes, Span, Trace, Value,
    borrowed::{SpanRef, SpanSink, borrow},
    query::Expression,
    sampling::TailCounts,
};

pub use chunk::Writer as SpanWriter;
pub use edges::{Edges, Kept};
pub use export::parquet;
pub use names::{AttributeKey, KeyType, Operation, ServiceKey};
pub use search::{AttributeCondition, Page, PageToken, Query};
pub use settings::Settings;
pub use storage_intake::{Accept, AcceptError, Receipt};

use applier::{Job, SpanApplier};
use block::Block;
use chunk::MAX_VALUE_DEPTH;
use seal::Outcome;
use store::Store;

#[cfg(test)]
mod tests;

/// Spans with the counters of those that were not kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Where it comes from, so that it may be sent again; `None` for a sender that does not number its
    /// batches.
    pub origin: Option<Origin>,
    /// When it was received.
    pub received_at: Wall,
    /// How many spans its sender saw, which is the sum of all that follows.
    pub received: u64,
    /// How many a sampling decision left out.
    pub sampled_out: u64,
    /// How many were left out for other reasons.
    pub dropped: Vec<(Box<str>, u64)>,
    /// The others.
    pub spans: Vec<Span>,
}

/// What is said of the spans that a [`SpanWriter`] has: a [`Batch`] without them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// As [`Batch::origin`].
    pub origin: Option<Origin>,
    /// As [`Batch::received_at`].
    pub received_at: Wall,
    /// As [`Batch::received`]; the spans that the writer was given are a part of it, also those that it left
    /// out because their values are nested too deep.
    pub received: u64,
    /// As [`Batch::sampled_out`].
    pub sampled_out: u64,
    /// As [`Batch::dropped`].
    pub dropped: Vec<(Box<str>, u64)>,
}

/// The size of what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Spans.
    pub spans: u64,
    /// Traces that they belong to; one that has spans in several blocks counts in each.
    pub traces: u64,
    /// Memory for them, as the budget counts it.
    pub memory_bytes: u64,
    /// Disk for them.
    pub disk_bytes: u64,
    /// When the oldest was received, by the clock that retention goes by: of a sealed block, the newest of
    /// its spans.
    pub oldest: Option<Wall>,
    /// Segments of the journal.
    pub segments: u64,
    /// Sealed blocks.
    pub blocks: u64,
    /// Those of them that were found damaged and are left out.
    pub damaged_blocks: u64,
    /// What the journal counts.
    pub journal: storage_journal::Stats,
}

/// Why a block could not be sealed; its spans stay where they were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the block could not be sealed: {0}; it is tried again when there is room")]
pub struct SealError(String);

/// The reason under which spans are dropped whose attributes are nested deeper than
/// sixteen arrays or maps.
pub const TOO_DEEP: &str = "value_too_deep";

/// The span store. All methods may be called from any thread at the same time; dropping it finishes what
/// is on its way.
#[derive(Debug)]
pub struct Spans {
    // Dropped first: its thread uses the journal.
    intake: Intake<SpanApplier>,
    journal: Arc<Journal>,
    store: Arc<Store>,
    memory_bytes: u64,
    max_batch_bytes: u64,
    compressors: record::Compressors,
    /// Blocks that could not be read when the store was opened.
    damaged_blocks: u64,
}

impl Spans {
    /// Opens the store in this folder, or begins one, and says what recovery found. The caller sees to it
    /// that the folder has one owner.
    ///
    /// Blocks the thread while it reads everything.
    ///
    /// # Errors
    /// The disk fails, or a later version wrote the folder, which is left as it is then.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        settings: Settings,
    ) -> Result<(Self, Recovery), OpenError> {
        recovery::open(disk, folder, settings)
    }

    /// Takes in a batch. It resolves when the batch is durable and readable; dropping the answer changes
    /// nothing.
    ///
    /// A source sends its batches one after the other, the same one again until it is taken in.
    pub fn accept(&self, batch: Batch) -> Accept {
        let Batch { origin, received_at, received, sampled_out, dropped, spans } = batch;
        let mut writer = SpanWriter::default();
        write_all(&mut writer, &spans);
        self.accept_written(Account { origin, received_at, received, sampled_out, dropped }, writer)
    }

    /// Takes in the spans that were written, as [`Spans::accept`] does, without a copy of each on the way: what
    /// a decoder is given that walks over a request.
    pub fn accept_written(&self, account: Account, spans: SpanWriter) -> Accept {
        let Account { origin, received_at, received, sampled_out, dropped } = account;
        let given = spans.len() + spans.too_deep as usize;
        let mut ledger = match storage_intake::account(received, given, sampled_out, &dropped) {
            Ok(ledger) => ledger,
            Err(error) => return Accept::refused(error),
        };
        ledger.drop_for(TOO_DEEP, spans.too_deep);
        ledger.stored = spans.len() as u64;
        // Sealing is behind, or the disk refuses it.
        if self.store.read().memory_bytes() as u64 > self.memory_bytes / 2 {
            return Accept::refused(AcceptError::Busy);
        }
        let (chunk, bytes) = spans.finish(received_at);
        if bytes.len() as u64 > self.max_batch_bytes {
            let (bytes, limit) = (bytes.len() as u64, self.max_batch_bytes);
            return Accept::refused(AcceptError::TooLarge { bytes, limit });
        }
        let record = record::pack(&self.compressors, origin.as_ref(), received_at, &ledger, &bytes);
        drop(bytes);
        let batch = record::Batch { origin: origin.clone(), ledger, chunk: Arc::new(chunk) };
        let waiting = (record.len() + batch.chunk.bytes()) as u64;
        self.intake.submit(origin, waiting, || (record, batch))
    }

    /// Seals what was taken in before this call, whatever its size, and waits for it. Nothing has to be sealed
    /// to be safe or to be found; other tools see only what is. With tail sampling, traces that are not decided
    /// about yet wait for the next block.
    ///
    /// # Errors
    /// The disk refuses it, and it stays as it was.
    pub fn seal(&self) -> Result<(), SealError> {
        // The first round may be for what was being sealed already.
        for _ in 0..2 {
            let (told, outcome) = mpsc::channel();
            self.intake.queue(Job::Seal(told));
            match outcome.recv() {
                Ok(Outcome::Sealed) => {}
                Ok(Outcome::Nothing) => break,
                Ok(Outcome::Failed(why)) => return Err(SealError(why)),
                Err(_) => return Err(SealError("the store is closed".to_owned())),
            }
        }
        Ok(())
    }

    /// The files of all sealed blocks, the oldest first. Each is a Parquet file, until retention removes it.
    pub fn blocks(&self) -> Vec<PathBuf> {
        self.store.read().blocks.iter().map(|block| block.path().to_path_buf()).collect()
    }

    /// Has a trace kept whatever tail sampling makes of it; with `false`, lets it be judged as any other again.
    /// What is in a block already stays there, and what was left out stays out.
    pub fn pin(&self, id: TraceId, is_pinned: bool) {
        self.intake.queue(Job::Pin(id, is_pinned));
    }

    /// What tail sampling has decided since the store was opened.
    pub fn tail(&self) -> TailCounts {
        self.store.read().tail
    }

    /// Lets time pass: what has become too old goes.
    pub fn advance(&self, now: Wall) {
        self.intake.queue(applier::Job::Advance(now));
    }

    /// The spans of a trace, wherever they are, in no particular order. Blocks the thread for the disk.
    pub fn trace(&self, id: TraceId) -> Option<Vec<Arc<Span>>> {
        let spans = spans_of(&self.store, id);
        (!spans.is_empty()).then_some(spans)
    }

    /// The spans of a trace as the tree that they make.
    pub fn tree(&self, id: TraceId) -> Option<Trace> {
        Trace::assemble(self.trace(id)?)
    }

    /// Finds traces, newest first. Blocks the thread for the disk.
    pub fn search(&self, query: &Query) -> Page {
        search::search(&self.store, query, None)
    }

    /// Finds traces that fulfil the query and have a span of which the expression holds, among the spans of the
    /// namespaces that `may_see` names; newest first. Blocks the thread for the disk.
    pub fn search_where(
        &self,
        query: &Query,
        expression: &Expression,
        may_see: &(dyn Fn(&str) -> bool + Sync),
    ) -> Page {
        search::search(&self.store, query, Some(block::Criterion { expression, may_see }))
    }

    /// Gives every span that began at `from` or later to `visit`, until it breaks: those in memory, then those
    /// of the newest block, and so on back, in no particular order within each. Blocks the thread for the disk.
    pub fn scan(&self, from: Wall, visit: &mut dyn FnMut(Span) -> ControlFlow<()>) {
        let (in_memory, blocks) = {
            let durable = self.store.read();
            let in_memory: Vec<_> = durable.memories().flat_map(|part| part.memory.all()).collect();
            (in_memory, Arc::clone(&durable.blocks))
        };
        let spans = in_memory.iter().filter_map(|(chunk, at)| chunk.owned(*at));
        for span in spans.filter(|span| span.start >= from) {
            if visit(span).is_break() {
                return;
            }
        }
        for block in blocks.iter().rev().filter(|block| block.header.last_end >= from) {
            if block.look(|block| block.scan(from, visit)).is_some_and(|flow| flow.is_break()) {
                return;
            }
        }
    }

    /// The services that spans belong to, in the order of their names.
    pub fn services(&self) -> Vec<ServiceKey> {
        let durable = self.store.read();
        let place = |place: &names::Place| place.service();
        let active = durable.active.memory.names.places.iter().map(place);
        let all: BTreeSet<ServiceKey> = durable.directory.services().cloned().chain(active).collect();
        all.into_iter().collect()
    }

    /// The operations of a service, in the order of their names.
    pub fn operations(&self, namespace: &str, service: &str) -> Vec<Operation> {
        let key = ServiceKey { namespace: namespace.into(), service: service.into() };
        let durable = self.store.read();
        let mut operations: BTreeMap<Arc<str>, u64> =
            durable.directory.operations(&key).into_iter().map(|of| (of.name, of.spans)).collect();
        let names = &durable.active.memory.names;
        for (place, (spans, _)) in names.places.iter().zip(&names.counts) {
            if *place.namespace == *namespace && *place.service == *service {
                *operations.entry(Arc::clone(&place.operation)).or_default() += spans;
            }
        }
        operations.into_iter().map(|(name, spans)| Operation { name, spans }).collect()
    }

    /// The keys of span attributes with the types of their values, in the order of the keys.
    pub fn attribute_keys(&self) -> Vec<AttributeKey> {
        let durable = self.store.read();
        let mut all = durable.directory.key_counts().clone();
        for (key, counts) in &durable.active.memory.names.keys {
            let sums = all.entry(key.clone()).or_default();
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        all.iter().map(|(key, counts)| AttributeKey::of(key, counts)).collect()
    }

    /// What became of all that was ever received.
    pub fn ledger(&self) -> Ledger {
        self.store.read().ledger()
    }

    /// The size of what is kept.
    pub fn stats(&self) -> Stats {
        let durable = self.store.read();
        let count = |of: fn(&Block) -> u64| durable.blocks.iter().map(|block| of(block)).sum::<u64>();
        let in_memory = |of: fn(&memory::Memory) -> usize| {
            durable.memories().map(|part| of(&part.memory)).sum::<usize>() as u64
        };
        Stats {
            spans: count(|block| block.header.spans) + in_memory(memory::Memory::spans),
            traces: count(|block| block.header.traces) + in_memory(|memory| memory.traces().len()),
            memory_bytes: (durable.memory_bytes() + self.store.cache.bytes()) as u64,
            disk_bytes: self.journal.bytes() + count(|block| block.header.file_bytes),
            oldest: durable.blocks.first().map(|block| Wall(block.record.newest)).or_else(|| {
                durable.memories().filter_map(|part| part.memory.received).map(|(oldest, _)| oldest).min()
            }),
            segments: self.journal.segments().len() as u64,
            blocks: durable.blocks.len() as u64,
            damaged_blocks: self.damaged_blocks + count(|block| u64::from(block.is_damaged())),
            journal: self.journal.stats(),
        }
    }
}

/// The spans of a trace, wherever they are.
pub(crate) fn spans_of(store: &Store, id: TraceId) -> Vec<Arc<Span>> {
    let (active, frozen, blocks) = {
        let durable = store.read();
        (durable.active.memory.spans_of(id), durable.frozen.clone(), Arc::clone(&durable.blocks))
    };
    let frozen = frozen.map(|frozen| frozen.spans_of(id)).unwrap_or_default();
    let mut spans = Vec::new();
    for block in blocks.iter() {
        let found = block.look(|block| block.trace(id));
        spans.extend(found.unwrap_or_default().into_iter().map(Arc::new));
    }
    spans.extend(memory::owned(&frozen));
    spans.extend(memory::owned(&active));
    spans
}

/// Whether arrays and maps are nested no deeper than [`MAX_VALUE_DEPTH`] anywhere in a span.
fn is_shallow(span: &Span) -> bool {
    fn fits(value: &Value, depth: usize) -> bool {
        match value {
            Value::Array(values) => depth > 0 && values.iter().all(|value| fits(value, depth - 1)),
            Value::Map(map) => depth > 0 && map.iter().all(|(_, value)| fits(value, depth - 1)),
            _ => true,
        }
    }
    let shallow = |attributes: &Attributes| attributes.iter().all(|(_, value)| fits(value, MAX_VALUE_DEPTH));
    shallow(&span.attributes)
        && shallow(&span.resource.attributes)
        && shallow(&span.scope.attributes)
        && span.events.iter().all(|event| shallow(&event.attributes))
        && span.links.iter().all(|link| shallow(&link.attributes))
}

/// Writes owned spans, of which neighbours mostly share their resource and their scope.
fn write_all(into: &mut SpanWriter, spans: &[Span]) {
    let mut last: Option<&Span> = None;
    for span in spans {
        // Looked at before it is borrowed, which is recursive.
        if !is_shallow(span) {
            into.too_deep += 1;
            continue;
        }
        let is_new = last.is_none_or(|last| !Arc::ptr_eq(&last.resource, &span.resource));
        if is_new {
            into.resource(&borrow(&span.resource.attributes));
        }
        if is_new || last.is_none_or(|last| !Arc::ptr_eq(&last.scope, &span.scope)) {
            let scope = &*span.scope;
            into.scope(&scope.name, &scope.version, &borrow(&scope.attributes));
        }
        into.span(&SpanRef::from(span));
        last = Some(span);
    }
}

//! Traces: spans that survive, and how they are found.
//!
//! Spans come in batches. A batch is a record of the journal, with its own counters in it, and is
//! answered when it is durable; what is in memory is what the journal holds, block by segment, so that a
//! restart finds exactly what was acknowledged, and retention drops a segment with all that is in memory
//! of it. A batch that is sent again is acknowledged again and not counted again.
//!
//! **Promises:** acknowledged means durable; nothing is readable that is not durable; and the
//! [`Ledger`] balances at every moment, across every crash. A damaged segment costs its own spans, loudly,
//! and no others.
//!
//! **Absent on purpose:** no decisions about sampling (they were made before), no wire formats, no clock
//! (batches say when they were received, and [`Spans::advance`] what time it is), no async runtime.

mod applier;
mod index;
mod record;
mod retention;
mod search;
mod settings;
mod store;

use std::{path::Path, sync::Arc};

use identity::{TraceId, Wall};
use monitoring::{Ledger, Origin, Sources};
use prost::Message;
use storage_disk::Disk;
use storage_intake::Intake;
use storage_journal::{Journal, OpenError, Recovery};
use traces::{Span, Trace};

pub use index::ServiceKey;
pub use search::{Page, PageToken, Query};
pub use settings::Settings;
pub use storage_intake::{Accept, AcceptError, Receipt};

use applier::SpanApplier;
use retention::Gone;
use store::{Durable, Store};

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

/// The size of what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Spans.
    pub spans: u64,
    /// Traces that they belong to.
    pub traces: u64,
    /// Memory for them, as the budget counts it.
    pub memory_bytes: u64,
    /// Disk for them.
    pub disk_bytes: u64,
    /// Segments of the journal.
    pub segments: u64,
    /// What the journal counts.
    pub journal: storage_journal::Stats,
}

/// An operation of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The name of its spans.
    pub name: Arc<str>,
    /// How many spans there are.
    pub spans: u64,
}

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
        let (mut durable, mut sources, mut gone) = (Durable::default(), Sources::default(), Gone::default());
        let mut replay = |at, kind, payload: &[u8]| {
            let storage_journal::Origin::Segment(segment) = at else {
                return Err("a snapshot, which this store does not write".to_owned());
            };
            match kind {
                record::BATCH => {
                    let batch = record::decode(payload).map_err(|error| error.to_string())?;
                    // Twice in the journal: the first answer was an error, but the record was there.
                    if batch.origin.as_ref().is_none_or(|origin| sources.take_in(origin)) {
                        durable.index.add(segment, batch);
                        gone.make_room(&mut durable, settings.memory_bytes);
                    }
                }
                record::REMOVED => {
                    let record = record::RemovedRecord::decode(payload).map_err(|error| error.to_string())?;
                    for origin in &record.sources {
                        sources.take_in(&origin.clone().into());
                    }
                    gone.note(record);
                }
                _ => return Err(format!("kind {kind} is unknown")),
            }
            Ok(())
        };
        let (journal, recovery) = Journal::open(disk, folder, settings.journal(), &mut replay)?;
        let (before, record) = gone.settle(&mut durable, sources.iter());
        // What cannot be written now is found out again at the next opening.
        if record.is_none_or(|record| journal.append(record::REMOVED, record).wait().is_ok()) {
            journal.remove_before(before);
        }
        let (journal, store) = (Arc::new(journal), Arc::new(Store::new(durable)));
        let applier = SpanApplier::new(Arc::clone(&journal), Arc::clone(&store), &settings);
        let intake = Intake::start(folder, Arc::clone(&journal), sources, settings.queue_bytes, applier)?;
        Ok((Self { intake, journal, store }, recovery))
    }

    /// Takes in a batch. It resolves when the batch is durable and readable; dropping the answer changes
    /// nothing.
    ///
    /// A source sends its batches one after the other, the same one again until it is taken in.
    pub fn accept(&self, batch: Batch) -> Accept {
        let Batch { origin, received_at, received, sampled_out, dropped, mut spans } = batch;
        let mut ledger = match storage_intake::account(received, spans.len(), sampled_out, &dropped) {
            Ok(ledger) => ledger,
            Err(error) => return Accept::refused(error),
        };
        spans.retain(record::is_shallow);
        ledger.drop_for(TOO_DEEP, ledger.stored - spans.len() as u64);
        ledger.stored = spans.len() as u64;
        let encoded = record::encode(origin.as_ref(), received_at, &ledger, &spans);
        drop(spans);
        // What is kept in memory is what a restart would find, with everything shared that can be.
        match record::decode(&encoded) {
            Ok(batch) => {
                let bytes = (encoded.len() + batch.bytes) as u64;
                self.intake.submit(origin, bytes, || (encoded, batch))
            }
            Err(_) => Accept::refused(AcceptError::Closed),
        }
    }

    /// Lets time pass: what has become too old goes.
    pub fn advance(&self, now: Wall) {
        self.intake.queue(applier::Job::Advance(now));
    }

    /// The spans of a trace in the order in which they came.
    pub fn trace(&self, id: TraceId) -> Option<Vec<Arc<Span>>> {
        self.store.read().index.trace(id).map(|entry| entry.spans().cloned().collect())
    }

    /// The spans of a trace as the tree that they make.
    pub fn tree(&self, id: TraceId) -> Option<Trace> {
        Trace::assemble(self.trace(id)?)
    }

    /// Finds traces, newest first.
    pub fn search(&self, query: &Query) -> Page {
        search::search(|look| look(&self.store.read().index), query)
    }

    /// The services that spans belong to, in the order of their names.
    pub fn services(&self) -> Vec<ServiceKey> {
        self.store.read().index.services().cloned().collect()
    }

    /// The operations of a service, in the order of their names.
    pub fn operations(&self, namespace: &str, service: &str) -> Vec<Operation> {
        let key = ServiceKey { namespace: namespace.into(), service: service.into() };
        let durable = self.store.read();
        let operation =
            |(name, spans): (&Arc<str>, usize)| Operation { name: Arc::clone(name), spans: spans as u64 };
        durable.index.operations(&key).map(operation).collect()
    }

    /// What became of all that was ever received.
    pub fn ledger(&self) -> Ledger {
        self.store.read().ledger()
    }

    /// The size of what is kept.
    pub fn stats(&self) -> Stats {
        let durable = self.store.read();
        Stats {
            spans: durable.index.spans() as u64,
            traces: durable.index.traces() as u64,
            memory_bytes: durable.index.bytes() as u64,
            disk_bytes: self.journal.bytes(),
            segments: self.journal.segments().len() as u64,
            journal: self.journal.stats(),
        }
    }
}

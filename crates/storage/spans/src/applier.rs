//! What is done with batches that are durable, by the thread of the intake.

use std::sync::{Arc, mpsc::Sender};

use identity::{TraceId, Wall};
use monitoring::Origin;
use prost::Message;
use storage_intake::{Applier, Arrivals, record::OriginRecord};
use storage_journal::{Append, AppendError, Journal, Position};
use traces::sampling::Decided;

use crate::{
    Settings,
    block::Earlier,
    record::{self, BlockRecord},
    retention::Retention,
    sampling::{self, Left, Sampling},
    seal::{Outcome, Sealing},
    store::{Durable, Frozen, Part, Store},
};

/// What is done beside batches.
#[derive(Debug)]
pub(crate) enum Job {
    /// It is this late.
    Advance(Wall),
    /// All before this segment has been applied, and is to be sealed.
    Rotated(Append),
    /// Everything is to be sealed now.
    Seal(Sender<Outcome>),
    /// A trace is to be kept whatever it is, or is like any other again.
    Pin(TraceId, bool),
}

/// Adds batches, has them sealed, and keeps the budgets.
#[derive(Debug)]
pub(crate) struct SpanApplier {
    journal: Arc<Journal>,
    store: Arc<Store>,
    sealing: Sealing,
    retention: Retention,
    settings: Settings,
    /// Where not all traces are kept.
    sampling: Option<Sampling>,
    /// A new segment has been asked for.
    is_rotating: bool,
    /// Who waits for what is sealed next.
    told: Vec<Sender<Outcome>>,
    /// The time as last heard of.
    now: Wall,
}

impl SpanApplier {
    pub(crate) fn new(
        journal: Arc<Journal>,
        store: Arc<Store>,
        sealing: Sealing,
        retention: Retention,
        settings: Settings,
    ) -> Self {
        let mut durable = store.write();
        // As late as it was when the last of them came.
        let now = durable.active.memory.received.unwrap_or_default().1;
        let sampling = settings.tail.clone().map(|policy| Sampling::new(policy, &mut durable, now));
        drop(durable);
        let told = Vec::new();
        Self { journal, store, sealing, retention, settings, sampling, is_rotating: false, told, now }
    }

    /// Takes note of what was decided.
    fn decided(&self, decided: &[Decided]) {
        let Some(sampling) = &self.sampling else { return };
        let counts = sampling.counts();
        if decided.is_empty() && self.store.read().tail == counts {
            return;
        }
        let mut durable = self.store.write();
        decided.iter().for_each(|of| durable.active.memory.decide(of.trace_id, of.verdict));
        durable.tail = counts;
    }

    /// What the block of this number is not given; what the next one is to have is durable then.
    fn leave(&mut self, number: u64) -> Left {
        let Some(sampling) = &mut self.sampling else { return Left::default() };
        let hurried = sampling.hurry(self.store.read().active.memory.spans(), self.now);
        self.decided(&hurried);
        let Some(sampling) = &self.sampling else { return Left::default() };
        let durable = self.store.read();
        let (out, carried) = sampling.left(&durable.active);
        let parts = sampling::carry(&durable.active, &carried, number, self.now);
        drop(durable);
        let append = |(record, batch): (Vec<u8>, record::Batch)| {
            self.journal.append(record::CARRIED, record).wait().map(|_| batch)
        };
        match parts.into_iter().map(append).collect::<Result<Vec<_>, AppendError>>() {
            Ok(batches) if batches.is_empty() => Left { out, ..Left::default() },
            Ok(batches) => Left { out, carried, batches, number },
            // Nobody says that they hold, so they stay where they are: kept, though not decided about.
            Err(_) => Left { out, ..Left::default() },
        }
    }

    fn is_due(&self) -> bool {
        let durable = self.store.read();
        durable.frozen.is_none() && is_due(&durable.active, &self.settings, self.journal.bytes(), self.now)
    }

    /// Begins to seal what is in memory, where it is time.
    fn begin_to_seal(&mut self, arrivals: &Arrivals<Self>) {
        if !self.is_rotating && self.is_due() {
            self.rotate(arrivals);
        }
    }

    fn rotated(&mut self, rotated: Append, sources: Vec<Origin>) {
        self.is_rotating = false;
        let tell = std::mem::take(&mut self.told);
        let position = match rotated.wait() {
            Ok(position) => position,
            // It is asked again with the next batch.
            Err(error) => {
                tell.iter().for_each(|told| drop(told.send(Outcome::Failed(error.to_string()))));
                return;
            }
        };
        let has_room = self.store.read().frozen.is_none();
        if !has_room || self.has_nothing() {
            tell.iter().for_each(|told| drop(told.send(Outcome::Nothing)));
            return;
        }
        let left = self.leave(position.segment);
        let frozen = freeze(&mut self.store.write(), position.segment, &sources, left);
        self.sealing.begin(Some(frozen), tell);
    }

    /// Whether there is nothing that a block could be given.
    fn has_nothing(&self) -> bool {
        let durable = self.store.read();
        let memory = &durable.active.memory;
        let waits = |sampling: &Sampling| {
            // Not even a count.
            memory.ledger.received == memory.spans() as u64
                && sampling.left(&durable.active).1.len() == memory.traces().len()
        };
        memory.is_empty() || self.sampling.as_ref().is_some_and(waits)
    }

    /// Seals everything, and tells when that is done.
    fn seal(&mut self, told: Sender<Outcome>, arrivals: &Arrivals<Self>) {
        let frozen = self.store.read().frozen.clone();
        match frozen {
            Some(frozen) => {
                let again = Some(frozen).filter(|_| self.sealing.is_idle());
                self.sealing.begin(again, vec![told]);
            }
            None if self.has_nothing() => drop(told.send(Outcome::Nothing)),
            None => {
                self.told.push(told);
                self.rotate(arrivals);
            }
        }
    }

    fn rotate(&mut self, arrivals: &Arrivals<Self>) {
        if !self.is_rotating {
            self.is_rotating = true;
            let journal = Arc::clone(&self.journal);
            arrivals.queue(|| Some(Job::Rotated(journal.rotate())));
        }
    }
}

/// Whether it is time to seal.
pub(crate) fn is_due(active: &Part, settings: &Settings, journal_bytes: u64, now: Wall) -> bool {
    let memory = &active.memory;
    let Some((oldest, newest)) = memory.received else { return false };
    memory.spans() as u64 >= settings.block_spans
        || memory.bytes() as u64 >= settings.active_bytes()
        || journal_bytes >= settings.disk_bytes / 4
        || oldest + settings.block_age() < now.max(newest)
}

/// Takes what is in memory away from where batches are added to, to be sealed under this number, all but what is
/// left.
pub(crate) fn freeze(durable: &mut Durable, number: u64, sources: &[Origin], left: Left) -> Frozen {
    let mut part = std::mem::take(&mut durable.active);
    let carried = left.number;
    let memory = sampling::leave(&mut part, left, &mut durable.active);
    let leaving = Part { memory, earlier: Earlier::new() };
    durable.directory.add(&part.memory.names);
    let mut total = durable.sealed.clone();
    total.add(&part.memory.ledger);
    total.sample_out(leaving.memory.spans() as u64);
    let record = BlockRecord {
        total: Some((&total).into()),
        newest: part.memory.received.unwrap_or_default().1.0,
        sources: sources.iter().map(OriginRecord::from).collect(),
        removed: durable.removed,
        carried,
    };
    let frozen = Frozen {
        part: Arc::new(part),
        number,
        record: record.encode_to_vec().into(),
        leaving: Arc::new(leaving),
    };
    durable.frozen = Some(frozen.clone());
    frozen
}

impl Applier for SpanApplier {
    const NAME: &'static str = "spans";
    const KIND: u8 = record::PACKED;
    type Batch = record::Batch;
    type Job = Job;

    fn apply(&mut self, _: Position, batch: record::Batch) -> u64 {
        self.now = self.now.max(batch.chunk.received_at);
        self.store.add(&batch);
        let now = self.now;
        let decided = self.sampling.as_mut().map(|sampling| sampling.observe(&batch.chunk, now));
        self.decided(&decided.unwrap_or_default());
        batch.ledger.stored
    }

    fn settle(&mut self, arrivals: &Arrivals<Self>) {
        let now = self.now;
        let decided = self.sampling.as_mut().map(|sampling| sampling.advance(now));
        self.decided(&decided.unwrap_or_default());
        self.begin_to_seal(arrivals);
        self.retention.enforce(self.now, || arrivals.origins());
    }

    fn run(&mut self, job: Job, arrivals: &Arrivals<Self>) {
        match job {
            Job::Advance(now) => {
                self.now = self.now.max(now);
                // What the disk refused to take is tried again.
                let frozen = self.store.read().frozen.clone();
                if let Some(frozen) = frozen.filter(|_| self.sealing.is_idle()) {
                    self.sealing.begin(Some(frozen), Vec::new());
                }
            }
            Job::Pin(id, is_pinned) => {
                if let Some(sampling) = &mut self.sampling {
                    sampling.pin(id, is_pinned);
                }
            }
            Job::Seal(told) => self.seal(told, arrivals),
            Job::Rotated(rotated) => self.rotated(rotated, arrivals.origins()),
        }
        self.settle(arrivals);
    }
}

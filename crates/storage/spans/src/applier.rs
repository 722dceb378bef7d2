//! What is done with batches that are durable, by the thread of the intake.

use std::sync::{Arc, mpsc::Sender};

use identity::Wall;
use monitoring::Origin;
use prost::Message;
use storage_intake::{Applier, Arrivals, record::OriginRecord};
use storage_journal::{Append, Journal, Position};

use crate::{
    Settings,
    record::{self, BlockRecord},
    retention::Retention,
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
}

/// Adds batches, has them sealed, and keeps the budgets.
#[derive(Debug)]
pub(crate) struct SpanApplier {
    journal: Arc<Journal>,
    store: Arc<Store>,
    sealing: Sealing,
    retention: Retention,
    settings: Settings,
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
        Self {
            journal,
            store,
            sealing,
            retention,
            settings,
            is_rotating: false,
            told: Vec::new(),
            now: Wall::default(),
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
        let mut durable = self.store.write();
        if durable.frozen.is_none() && !durable.active.memory.is_empty() {
            let frozen = freeze(&mut durable, position.segment, &sources);
            drop(durable);
            self.sealing.begin(Some(frozen), tell);
        }
    }

    /// Seals everything, and tells when that is done.
    fn seal(&mut self, told: Sender<Outcome>, arrivals: &Arrivals<Self>) {
        let (frozen, is_empty) = {
            let durable = self.store.read();
            (durable.frozen.clone(), durable.active.memory.is_empty())
        };
        match frozen {
            Some(frozen) => {
                let again = Some(frozen).filter(|_| self.sealing.is_idle());
                self.sealing.begin(again, vec![told]);
            }
            None if is_empty => drop(told.send(Outcome::Nothing)),
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

/// Takes what is in memory away from where batches are added to, to be sealed under this number.
pub(crate) fn freeze(durable: &mut Durable, number: u64, sources: &[Origin]) -> Frozen {
    let part = std::mem::take(&mut durable.active);
    durable.directory.add(&part.memory.names);
    let mut total = durable.sealed.clone();
    total.add(&part.memory.ledger);
    let record = BlockRecord {
        total: Some((&total).into()),
        newest: part.memory.received.unwrap_or_default().1.0,
        sources: sources.iter().map(OriginRecord::from).collect(),
        removed: durable.removed,
    };
    let frozen = Frozen { part: Arc::new(part), number, record: record.encode_to_vec().into() };
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
        batch.ledger.stored
    }

    fn settle(&mut self, arrivals: &Arrivals<Self>) {
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
            Job::Seal(told) => self.seal(told, arrivals),
            Job::Rotated(rotated) => self.rotated(rotated, arrivals.origins()),
        }
        self.settle(arrivals);
    }
}

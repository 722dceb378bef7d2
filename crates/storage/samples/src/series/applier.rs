//! What is done with batches that are durable, by the thread of the intake: they are added to the active head, heads
//! are frozen to be sealed, and the budgets are kept.
//!
//! **When a head is frozen** has to be the same when the journal is replayed, since duplicates are found within a
//! head. So each batch says its epoch, and a batch of a later one freezes what was before it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
    mpsc::Sender,
};

use identity::Wall;
use prost::Message;
use storage_disk::Disk;
use storage_intake::{Applier, Arrivals, record::LedgerRecord};
use storage_journal::{Append, Journal, Position};

use super::{
    SeriesSettings,
    admission::Admission,
    cache::Cache,
    head::Head,
    part::Part,
    record::{Batch, REMOVED, RemovedRecord},
    seal::{Outcome, Sealing},
    store::Store,
};

/// What is done beside batches.
#[derive(Debug)]
pub(crate) enum Job {
    /// It is this late.
    Advance(Wall),
    /// All before this segment has been applied, and is to be sealed; the next epoch has begun.
    Rotated(Append, u64),
    /// Everything is to be sealed now.
    Seal(Sender<Outcome>),
}

/// What all parts of a store share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) journal: Arc<Journal>,
    pub(crate) store: Arc<Store>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) cache: Arc<Cache>,
    /// The folder of parts.
    pub(crate) folder: std::path::PathBuf,
    /// Memory for what is not sealed, as of the last batch.
    pub(crate) memory_bytes: Arc<AtomicU64>,
    /// Exemplars that were left out since the store was opened.
    pub(crate) exemplars_dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
pub(crate) struct SeriesApplier {
    shared: Shared,
    sealing: Sealing,
    settings: SeriesSettings,
    is_rotating: bool,
    told: Vec<Sender<Outcome>>,
    now: Wall,
}

impl SeriesApplier {
    pub(crate) fn new(shared: Shared, sealing: Sealing, settings: SeriesSettings) -> Self {
        Self { shared, sealing, settings, is_rotating: false, told: Vec::new(), now: Wall::default() }
    }

    fn is_due(&self) -> bool {
        let durable = self.shared.store.read();
        let (journal, settings) = (self.shared.journal.bytes(), &self.settings);
        durable.frozen.is_empty() && is_due(&durable.active, settings, journal, self.now)
    }

    /// Begins the next epoch. Nothing is admitted meanwhile, so that the batches of the old one stand before the
    /// new segment and those of the new one behind it.
    fn rotate(&mut self, arrivals: &Arrivals<Self>) {
        if !std::mem::replace(&mut self.is_rotating, true) {
            let shared = &self.shared;
            // First, since who holds numbers may wait for the queue.
            let mut spelled = shared.admission.spellings.turn();
            arrivals
                .queue(|| Some(Job::Rotated(shared.journal.rotate(), shared.admission.next(&mut spelled))));
        }
    }

    fn rotated(&mut self, rotated: Append, epoch: u64) {
        self.is_rotating = false;
        let told = std::mem::take(&mut self.told);
        match rotated.wait() {
            Ok(position) => {
                let mut durable = self.shared.store.write();
                if durable.active.epoch < epoch {
                    durable.freeze(position.segment, epoch);
                }
                drop(durable);
                self.sealing.begin(told);
            }
            // The next batch freezes what is there.
            Err(error) => told.iter().for_each(|told| drop(told.send(Outcome::Failed(error.to_string())))),
        }
    }

    /// Removes the oldest parts, as far as they are beyond the budgets.
    fn enforce(&self) {
        let Some((gone, removed, record)) = self.beyond() else { return };
        if self.shared.journal.append_from_reserve(REMOVED, record.encode_to_vec()).wait().is_err() {
            return; // The journal counts and reports it.
        }
        {
            let mut durable = self.shared.store.write();
            let kept = durable.parts.iter().filter(|part| part.number > removed).cloned().collect();
            durable.parts = Arc::new(kept);
            durable.removed = removed;
            durable.sealed.expired = record.ledger.map_or(0, |ledger| ledger.expired);
        }
        for part in &gone {
            self.shared.cache.forget(part.number);
            // What stays is found and removed at the next opening.
            let _ = self.shared.disk.remove(&part.path);
        }
        let _ = self.shared.disk.sync_folder(&self.shared.folder);
    }

    fn beyond(&self) -> Option<(Vec<Arc<Part>>, u64, RemovedRecord)> {
        let durable = self.shared.store.read();
        let parts: u64 = durable.parts.iter().map(|part| part.file_bytes).sum();
        let mut disk = self.shared.journal.bytes() + parts;
        let mut sealed = durable.sealed.clone();
        let mut gone = Vec::new();
        for part in durable.parts.iter() {
            let last = u64::try_from(part.record.last).unwrap_or(0).saturating_mul(1_000_000);
            let is_old = Wall(last) + self.settings.max_age < self.now;
            if disk <= self.settings.disk_bytes && !is_old {
                break;
            }
            disk = disk.saturating_sub(part.file_bytes);
            sealed.expired = sealed.expired.saturating_add(part.record.samples);
            gone.push(Arc::clone(part));
        }
        let last = gone.last()?;
        let (before, epoch) = (last.number, last.record.epoch);
        let record = RemovedRecord { before, epoch, ledger: Some(LedgerRecord::from(&sealed)) };
        Some((gone, before, record))
    }
}

/// Whether it is time to seal.
pub(crate) fn is_due(active: &Head, settings: &SeriesSettings, journal_bytes: u64, now: Wall) -> bool {
    let Some((oldest, newest)) = active.received else { return false };
    active.bytes() as u64 >= settings.memory_bytes / 4
        || journal_bytes >= settings.disk_bytes / 4
        || oldest + settings.part_age < now.max(newest)
}

impl Applier for SeriesApplier {
    const NAME: &'static str = "series";
    type Batch = Batch;
    type Job = Job;

    fn apply(&mut self, position: Position, batch: Batch) -> u64 {
        self.now = self.now.max(batch.received_at);
        let mut durable = self.shared.store.write();
        if durable.active.epoch < batch.epoch {
            durable.freeze(position.segment, batch.epoch);
        }
        let dropped = durable.active.cases.dropped;
        let stored = durable.active.add(&batch);
        self.shared.exemplars_dropped.fetch_add(durable.active.cases.dropped - dropped, Relaxed);
        self.shared.memory_bytes.store(durable.memory_bytes(), Relaxed);
        drop(durable);
        self.shared.admission.know(&batch);
        stored
    }

    fn settle(&mut self, arrivals: &Arrivals<Self>) {
        if !self.is_rotating && self.is_due() {
            self.rotate(arrivals);
        }
        self.enforce();
    }

    fn run(&mut self, job: Job, arrivals: &Arrivals<Self>) {
        match job {
            Job::Advance(now) => {
                self.now = self.now.max(now);
                // What the disk refused to take is tried again.
                if !self.shared.store.read().frozen.is_empty() && self.sealing.is_idle() {
                    self.sealing.begin(Vec::new());
                }
                self.settle(arrivals);
            }
            Job::Seal(told) => {
                if self.shared.store.read().active.is_empty() {
                    self.sealing.begin(vec![told]);
                } else {
                    self.told.push(told);
                    self.rotate(arrivals);
                }
            }
            // Not asked again at once where the disk refused it.
            Job::Rotated(rotated, epoch) => self.rotated(rotated, epoch),
        }
    }
}

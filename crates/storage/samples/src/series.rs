//! Series of any origin: the samples that others measure.
//!
//! A batch of samples is a record of the journal and is answered when it is durable. From there it goes into a *head*:
//! chunks in memory, found by label. Every two hours, or when memory or journal have grown, the head is frozen and
//! written as a *part*: a file of columns that is never changed. A question is answered from parts and heads together;
//! parts may overlap, since late samples are taken in for as long as samples are kept.
//!
//! **Promises:** acknowledged means durable; every value comes back bit by bit, whatever the order in which samples
//! came and wherever they are now; of two samples of a series at the same time the first holds; and the [`Ledger`]
//! balances at every moment, across every crash: a sample that is there already is counted as dropped.
//!
//! **What it cannot do:** tell a duplicate of what is sealed already. It is counted as stored, and read once.
//!
//! **Absent on purpose:** no wire formats, no clock (batches say when they were received), no async runtime.

mod admission;
mod applier;
mod budget;
mod cache;
mod column;
mod exemplar;
mod family;
mod head;
mod index;
mod key;
mod part;
mod record;
mod recovery;
mod seal;
mod settings;
mod spelling;
mod store;
mod varint;
mod writer;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed, mpsc},
};

use identity::Wall;
use monitoring::{
    Ledger,
    promql::{Selected, Storage, StorageError},
    series::{Labels, Matcher},
};
use storage_disk::Disk;
use storage_intake::{Accept, AcceptError, Intake};
use storage_journal::{OpenError, Recovery};

pub use budget::{OVERFLOW, OverBudget};
pub use exemplar::Exemplar;
pub use settings::SeriesSettings;
pub use spelling::Spelling;
pub use writer::{SampleWriter, SeriesRef};

use applier::{Job, SeriesApplier, Shared};
use record::Batch;
use seal::Outcome;

#[cfg(test)]
mod tests;

/// The reasons for which samples are dropped before they are journaled.
const TOO_OLD: &str = "too_old";
const TOO_NEW: &str = "too_new";

/// The counters of a batch, beside its samples.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SampleAccount {
    /// When it was received, which says what is too old and too new.
    pub received_at: Wall,
    /// How many samples its sender had: those that were written, and those that were dropped.
    pub received: u64,
    /// How many were left out, by reason.
    pub dropped: Vec<(Box<str>, u64)>,
}

/// The size of what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesStats {
    /// Series with samples that are not sealed.
    pub active_series: u64,
    /// Samples in parts.
    pub sealed_samples: u64,
    /// Parts.
    pub parts: u64,
    /// Memory for what is not sealed, and for indexes of parts.
    pub memory_bytes: u64,
    /// Disk for journal and parts.
    pub disk_bytes: u64,
    /// The time of the oldest sample in parts.
    pub oldest: Option<Wall>,
    /// Disk for parts alone.
    pub part_bytes: u64,
    /// Exemplars that were left out since the store was opened, beyond how many are kept.
    pub exemplars_dropped: u64,
    /// What the journal counts.
    pub journal: storage_journal::Stats,
}

/// The store of series. All methods may be called from any thread at the same time; dropping it finishes what is on
/// its way.
#[derive(Debug)]
pub struct SeriesStore {
    // Dropped first: its thread uses the journal.
    intake: Intake<SeriesApplier>,
    shared: Shared,
    settings: SeriesSettings,
}

impl SeriesStore {
    /// Opens the store in this folder, or begins one, and says what recovery found. The caller sees to it that the
    /// folder has one owner.
    ///
    /// Blocks the thread while it reads the journal.
    ///
    /// # Errors
    /// The disk fails, or a later version wrote the folder, which is left as it is then.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        settings: SeriesSettings,
    ) -> Result<(Self, Recovery), OpenError> {
        recovery::open(disk, folder, settings)
    }

    /// Begins a batch.
    pub fn writer(&self) -> SampleWriter<'_> {
        SampleWriter::new(self.shared.admission.spellings.read())
    }

    /// Takes in samples. It resolves when they are durable and readable; dropping the answer changes nothing. The
    /// receipt says how many are new.
    pub fn accept(&self, account: SampleAccount, mut writer: SampleWriter<'_>) -> Accept {
        let SampleAccount { received_at, received, dropped } = account;
        let mut ledger = match storage_intake::account(received, writer.len(), 0, &dropped) {
            Ok(ledger) => ledger,
            Err(error) => return Accept::refused(error),
        };
        if self.shared.memory_bytes.load(Relaxed) >= self.settings.memory_bytes {
            return Accept::refused(AcceptError::Busy);
        }
        let millis = |wall: Wall| i64::try_from(wall.0 / 1_000_000).unwrap_or(i64::MAX);
        let span = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let now = millis(received_at);
        let (oldest, newest) =
            (now.saturating_sub(span(self.settings.max_age)), now.saturating_add(span(self.settings.ahead)));
        let (old, new) = writer.keep(oldest, newest);
        let dropped = writer.keep_exemplars(oldest, newest);
        self.shared.exemplars_dropped.fetch_add(dropped, Relaxed);
        ledger.drop_for(TOO_OLD, old);
        ledger.drop_for(TOO_NEW, new);
        // What is stored is known when it is applied.
        ledger.stored = 0;
        let batch = Batch { received_at, ledger, ..Batch::default() };
        self.intake.submit(None, writer.bytes(), || {
            let batch = self.shared.admission.admit(&mut writer, batch);
            (record::encode(&batch), batch)
        })
    }

    /// Hears of the time, so that what is old is sealed and goes also while nothing comes in.
    pub fn advance(&self, now: Wall) {
        self.intake.queue(Job::Advance(now));
    }

    /// Seals everything that was accepted before, and blocks the thread until that is done.
    ///
    /// # Errors
    /// Why the disk refused it. Nothing is lost, and it is tried again.
    pub fn seal(&self) -> Result<(), String> {
        let (tell, told) = mpsc::channel();
        self.intake.queue(Job::Seal(tell));
        match told.recv() {
            Ok(Outcome::Sealed) => Ok(()),
            Ok(Outcome::Failed(error)) => Err(error),
            Err(_) => Err("the store is closed".to_owned()),
        }
    }

    /// What became of all that was ever received.
    pub fn ledger(&self) -> Ledger {
        self.shared.store.read().ledger()
    }

    /// The exemplars of the series that all matchers mean, in a time, by series and in the order of their times.
    ///
    /// # Errors
    /// The disk fails.
    pub fn exemplars(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> Result<BTreeMap<Labels, Vec<Exemplar>>, StorageError> {
        self.shared.store.exemplars(matchers, from, to)
    }

    /// The services that have more series than they may have, by the names that [`OverBudget`] has.
    pub fn folding(&self) -> Vec<Box<str>> {
        self.shared.admission.over_budget().into_iter().map(|over| over.service).collect()
    }

    /// How many series a service may have.
    pub fn max_series_of_service(&self) -> usize {
        self.settings.max_series_of_service
    }

    /// The services that have more series than they may have, and the label of each that has the most values. Looks
    /// at the labels of all series.
    pub fn over_budget(&self) -> Vec<OverBudget> {
        let mut over = self.shared.admission.over_budget();
        let durable = self.shared.store.read();
        over.iter_mut().for_each(|over| durable.active.explain(over));
        over.sort_unstable_by(|one, other| one.service.cmp(&other.service));
        over
    }

    /// The size of what is kept.
    pub fn stats(&self) -> SeriesStats {
        let durable = self.shared.store.read();
        let part_bytes = durable.parts.iter().map(|part| part.file_bytes).sum();
        let first = durable.parts.iter().map(|part| part.record.first).min();
        SeriesStats {
            active_series: durable.active.len() as u64,
            sealed_samples: durable.parts.iter().map(|part| part.record.samples).sum(),
            parts: durable.parts.len() as u64,
            memory_bytes: durable.memory_bytes() + self.shared.cache.bytes() + self.shared.admission.bytes(),
            disk_bytes: self.shared.journal.bytes() + part_bytes,
            oldest: first.map(|millis| Wall(u64::try_from(millis).unwrap_or(0).saturating_mul(1_000_000))),
            part_bytes,
            exemplars_dropped: self.shared.exemplars_dropped.load(Relaxed),
            journal: self.shared.journal.stats(),
        }
    }
}

impl Storage for SeriesStore {
    fn select(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<Vec<Selected<'_>>, StorageError> {
        self.shared.store.select(matchers, from, to)
    }
}

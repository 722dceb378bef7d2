//! How calls went: counts and durations that survive.
//!
//! Rows, each the calls of one [`CallKey`] in one collection, come in batches. A batch is a record of the
//! journal, with its own counters in it, and is answered when it is durable. What is kept is their sum: an
//! hour in slots of ten seconds, and totals since ever, in a [`Rollup`](monitoring::Rollup). A snapshot of
//! it takes the place of the journal now and then, so that a restart replays little. A batch that is sent
//! again is acknowledged again and not counted again. For the [`Ledger`], a sample is a row.
//!
//! **Promises:** acknowledged means durable; nothing is readable that is not durable; and the [`Ledger`]
//! balances at every moment, across every crash. What a damaged segment held is lost, loudly. Nothing
//! expires here: what leaves the hour stays in the totals.
//!
//! **Absent on purpose:** no general series and no PromQL (these are for an engine of their own), no wire
//! formats, no clock (batches say when they were received), no async runtime.

mod applier;
mod history;
mod record;
mod series;
mod settings;
mod store;

use std::{path::Path, sync::Arc};

use identity::{Namespace, Wall};
use monitoring::{
    CallKey, ExponentialHistogram, Ledger, Origin, RedQuery, RedRow, Reporter, SeriesKey, Sources, Total,
};
use storage_disk::Disk;
use storage_intake::Intake;
use storage_journal::{Journal, OpenError, Recovery};

pub use history::{FAMILIES, History};
pub use series::{
    Exemplar, OVERFLOW, OverBudget, SampleAccount, SampleWriter, SeriesRef, SeriesSettings, SeriesStats,
    SeriesStore, Spelling,
};
pub use settings::Settings;
pub use storage_intake::{Accept, AcceptError, Receipt};

use applier::SampleApplier;
use store::{Durable, Store};

#[cfg(test)]
mod tests;

/// Rows with the counters of those that were not kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Where it comes from, so that it may be sent again; `None` for a sender that does not number its
    /// batches.
    pub origin: Option<Origin>,
    /// When it was received, which is the slot that its calls are counted in.
    pub received_at: Wall,
    /// How many rows its sender had, which is the sum of all that follows.
    pub received: u64,
    /// How many were left out.
    pub dropped: Vec<(Box<str>, u64)>,
    /// The others: what is counted, and the durations of its calls in seconds.
    pub rows: Vec<(CallKey, ExponentialHistogram)>,
}

/// The size of what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Series.
    pub series: u64,
    /// Rows that were counted in the overflow because there were too many series, since the start.
    pub folded: u64,
    /// Calls that came too late for the hour and are in the totals only, since the start.
    pub late: u64,
    /// Memory for the series.
    pub memory_bytes: u64,
    /// Disk for them.
    pub disk_bytes: u64,
    /// Segments of the journal.
    pub segments: u64,
    /// What the journal counts.
    pub journal: storage_journal::Stats,
}

/// The sample store. All methods may be called from any thread at the same time; dropping it finishes
/// what is on its way.
#[derive(Debug)]
pub struct Samples {
    // Dropped first: its thread uses the journal.
    intake: Intake<SampleApplier>,
    journal: Arc<Journal>,
    store: Arc<Store>,
}

impl Samples {
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
        let mut durable = Durable::new(settings.rollup());
        let mut sources = Sources::default();
        let mut replay = |kind, payload: &[u8]| {
            match kind {
                record::BATCH => {
                    let batch = record::decode(payload)?;
                    // Twice in the journal: the first answer was an error, but the record was there.
                    if batch.origin.as_ref().is_none_or(|origin| sources.take_in(origin)) {
                        durable.add(batch);
                    }
                }
                record::HEAD => {
                    let (ledger, origins) = record::decode_head(payload)?;
                    durable.ledger = ledger;
                    for origin in &origins {
                        sources.take_in(origin);
                    }
                }
                record::SERIES => durable.rollup.restore(record::decode_series(payload)?),
                _ => return Err(record::NotUnderstood::unknown_kind(kind)),
            }
            Ok(())
        };
        let (journal, recovery) =
            Journal::open(disk, folder, settings.journal(), &mut |_, kind, payload| {
                replay(kind, payload).map_err(|error| error.to_string())
            })?;
        let (journal, store) = (Arc::new(journal), Arc::new(Store::new(durable)));
        let applier =
            SampleApplier::new(Arc::clone(&journal), Arc::clone(&store), settings.snapshot_after_bytes);
        let intake = Intake::start(folder, Arc::clone(&journal), sources, settings.queue_bytes, applier)?;
        Ok((Self { intake, journal, store }, recovery))
    }

    /// Takes in a batch. It resolves when the batch is durable and readable; dropping the answer changes
    /// nothing.
    ///
    /// A source sends its batches one after the other, the same one again until it is taken in.
    pub fn accept(&self, batch: Batch) -> Accept {
        let Batch { origin, received_at, received, dropped, rows } = batch;
        let ledger = match storage_intake::account(received, rows.len(), 0, &dropped) {
            Ok(ledger) => ledger,
            Err(error) => return Accept::refused(error),
        };
        let batch = record::Batch { origin: origin.clone(), received_at, ledger, rows };
        let encoded = record::encode(&batch);
        self.intake.submit(origin, encoded.len() as u64, || (encoded, batch))
    }

    /// How the calls of a window up to `now` went.
    pub fn red(&self, query: &RedQuery, now: Wall) -> Vec<RedRow> {
        self.store.read().rollup.red(query, now)
    }

    /// Since when more than the share `above` of the calls to a service fails, as their callers see it; none
    /// where `recovered` calls have come since it was over.
    pub fn failing_since(
        &self,
        namespace: &Namespace,
        service: &str,
        above: f64,
        recovered: u64,
    ) -> Option<Wall> {
        let rollup = &self.store.read().rollup;
        rollup.failing_since(namespace, service, Reporter::Source, above, recovered)
    }

    /// All calls since ever by what they are counted under, in that order. A copy: some 2 KB a series.
    pub fn totals(&self) -> Vec<(SeriesKey, Total)> {
        let durable = self.store.read();
        let mut totals: Vec<_> =
            durable.rollup.totals().map(|(key, total)| (key.clone(), total.clone())).collect();
        drop(durable);
        totals.sort_by(|(left, _), (right, _)| left.cmp(right));
        totals
    }

    /// The calls of the last hour as series, as they are known at `now`, which PromQL can be asked over.
    pub fn history(&self, now: Wall) -> History<'_> {
        History::new(&self.store, now)
    }

    /// What became of all that was ever received.
    pub fn ledger(&self) -> Ledger {
        self.store.read().ledger.clone()
    }

    /// The size of what is kept. Walks all slots for their memory.
    pub fn stats(&self) -> Stats {
        let durable = self.store.read();
        Stats {
            series: durable.rollup.len() as u64,
            folded: durable.rollup.folded(),
            late: durable.rollup.late(),
            memory_bytes: durable.rollup.heap_bytes() as u64,
            disk_bytes: self.journal.bytes(),
            segments: self.journal.segments().len() as u64,
            journal: self.journal.stats(),
        }
    }
}

//! What is done with batches that are durable, by the thread of the intake.
//!
//! A snapshot is begun under the lock of the appends and queued like a batch; when its turn comes, the
//! rollup has exactly what was appended before it.

use std::sync::Arc;

use storage_intake::{Applier, Arrivals};
use storage_journal::{Journal, Position, Snapshot, SnapshotError};

use crate::{record, store::Store};

/// Adds batches to the rollup, and writes snapshots of it.
#[derive(Debug)]
pub(crate) struct SampleApplier {
    journal: Arc<Journal>,
    store: Arc<Store>,
    snapshot_after_bytes: u64,
    is_snapshot_queued: bool,
    /// How large the journal has to be for the next attempt after one that failed.
    retry_after_bytes: u64,
}

impl SampleApplier {
    pub(crate) fn new(journal: Arc<Journal>, store: Arc<Store>, snapshot_after_bytes: u64) -> Self {
        Self { journal, store, snapshot_after_bytes, is_snapshot_queued: false, retry_after_bytes: 0 }
    }

    fn is_snapshot_due(&self) -> bool {
        let segments = self.segment_bytes();
        let last_snapshot = self.journal.bytes().saturating_sub(segments);
        let due_after = self.snapshot_after_bytes.max(last_snapshot).max(self.retry_after_bytes);
        !self.is_snapshot_queued && segments > due_after
    }

    fn segment_bytes(&self) -> u64 {
        self.journal.segments().iter().map(|segment| segment.bytes).sum()
    }

    /// Writes all that has been added. Readers go on meanwhile; senders wait.
    fn write(&self, mut snapshot: Snapshot, arrivals: &Arrivals<Self>) -> Result<(), SnapshotError> {
        let durable = self.store.read();
        snapshot.write(record::HEAD, &record::encode_head(&durable.ledger, &arrivals.origins()))?;
        for state in durable.rollup.states() {
            snapshot.write(record::SERIES, &record::encode_series(&state))?;
        }
        snapshot.finish().map(drop)
    }
}

impl Applier for SampleApplier {
    const NAME: &'static str = "samples";
    type Batch = record::Batch;
    type Job = Snapshot;

    fn apply(&mut self, _: Position, batch: record::Batch) -> u64 {
        let stored = batch.ledger.stored;
        self.store.write().add(batch);
        stored
    }

    fn settle(&mut self, arrivals: &Arrivals<Self>) {
        if self.is_snapshot_due() {
            arrivals.queue(|| {
                let snapshot = self.journal.begin_snapshot().ok();
                self.is_snapshot_queued = snapshot.is_some();
                snapshot
            });
        }
    }

    fn run(&mut self, snapshot: Snapshot, arrivals: &Arrivals<Self>) {
        self.is_snapshot_queued = false;
        // Without it everything is as it was. The next attempt waits for as much again.
        let is_written = self.write(snapshot, arrivals).is_ok();
        self.retry_after_bytes =
            if is_written { 0 } else { self.segment_bytes() + self.snapshot_after_bytes };
    }
}

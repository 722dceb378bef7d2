//! What is done with batches that are durable, by the thread of the intake.

use std::sync::Arc;

use identity::Wall;
use storage_intake::{Applier, Arrivals};
use storage_journal::{Append, Journal, Position};

use crate::{Settings, record, retention::Retention, store::Store};

/// What is done beside batches.
#[derive(Debug)]
pub(crate) enum Job {
    /// It is this late.
    Advance(Wall),
    /// All before this segment has been applied.
    Rotated(Append),
}

/// Adds batches to the index, and keeps the budgets.
#[derive(Debug)]
pub(crate) struct SpanApplier {
    store: Arc<Store>,
    retention: Retention,
    /// The time as last heard of.
    now: Wall,
}

impl SpanApplier {
    pub(crate) fn new(journal: Arc<Journal>, store: Arc<Store>, settings: &Settings) -> Self {
        let retention = Retention::new(journal, Arc::clone(&store), settings);
        Self { store, retention, now: Wall::default() }
    }
}

impl Applier for SpanApplier {
    const NAME: &'static str = "spans";
    type Batch = record::Batch;
    type Job = Job;

    fn apply(&mut self, position: Position, batch: record::Batch) -> u64 {
        let stored = batch.ledger.stored;
        self.now = batch.received_at;
        self.store.write().index.add(position.segment, batch);
        self.retention.reached(position.segment);
        stored
    }

    fn settle(&mut self, arrivals: &Arrivals<Self>) {
        self.retention.enforce(self.now, || arrivals.origins());
    }

    fn run(&mut self, job: Job, arrivals: &Arrivals<Self>) {
        match job {
            Job::Advance(now) => {
                self.now = now;
                arrivals.queue(|| self.retention.end_old_segment(now).map(Job::Rotated));
            }
            Job::Rotated(rotated) => {
                // Otherwise the newest segment stays until the next attempt.
                if let Ok(position) = rotated.wait() {
                    self.retention.reached(position.segment);
                }
            }
        }
        self.settle(arrivals);
    }
}

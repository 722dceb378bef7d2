//! What is done with batches that are durable, by the thread of the intake.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use identity::Wall;
use prost::Message;
use storage_intake::{Applier, Arrivals};
use storage_journal::{Append, Journal, Position};
use tokio::sync::watch;

use crate::Settings;
use crate::batch::Page;
use crate::log::Store;
use crate::record::{REMOVED, RemovedRecord};

/// What is done beside batches.
#[derive(Debug)]
pub(crate) enum Job {
    /// It is this late.
    Advance(Wall),
    /// All before this segment has been applied.
    Rotated(Append),
}

/// Makes events readable, in the order of their revisions, and keeps the budgets.
#[derive(Debug)]
pub(crate) struct EventApplier {
    journal: Arc<Journal>,
    store: Arc<Store>,
    /// The last revision that is readable.
    readable: watch::Sender<u64>,
    /// The last revision that was given.
    given: Arc<AtomicU64>,
    disk_bytes: u64,
    max_age: Duration,
    /// The time as last heard of.
    now: Wall,
    /// All events before this segment are in the log. Its own, and those of later segments, may be durable
    /// and on their way here.
    reached: u64,
}

impl EventApplier {
    pub(crate) fn new(
        journal: Arc<Journal>,
        store: Arc<Store>,
        readable: watch::Sender<u64>,
        given: Arc<AtomicU64>,
        settings: &Settings,
    ) -> Self {
        let Settings { disk_bytes, max_age, .. } = *settings;
        // Recovery has added all that there was.
        let reached = journal.segments().last().map_or(0, |segment| segment.number);
        Self { journal, store, readable, given, disk_bytes, max_age, now: Wall::default(), reached }
    }

    /// Begins a new segment where all that there is is too old, so that the newest one can go as well.
    fn end_old_segment(&self, now: Wall) -> Option<Append> {
        let newest = self.store.read().chapters.values().next_back()?.newest;
        (newest + self.max_age < now).then(|| self.journal.rotate())
    }

    fn first_to_keep(&self) -> Option<u64> {
        let segments = self.journal.segments();
        let mut disk = self.journal.bytes();
        let log = self.store.read();
        let mut before = None;
        for pair in segments.windows(2).take_while(|pair| pair[1].number <= self.reached) {
            let chapter = log.chapters.get(&pair[0].number);
            // One without events holds nothing that could be too young.
            let is_old = chapter.is_none_or(|chapter| chapter.newest + self.max_age < self.now);
            if disk <= self.disk_bytes && !is_old {
                break;
            }
            disk -= pair[0].bytes;
            before = Some(pair[1].number);
        }
        before
    }
}

impl Applier for EventApplier {
    const NAME: &'static str = "events";
    type Batch = Arc<Page>;
    type Job = Job;

    fn apply(&mut self, position: Position, page: Arc<Page>) -> u64 {
        let (stored, last) = (page.len() as u64, page.last_revision());
        self.store.write().add(position.segment, page);
        self.reached = self.reached.max(position.segment);
        if stored > 0 {
            self.readable.send_replace(last);
        }
        stored
    }

    /// Removes what is beyond the budgets, and what is too old.
    ///
    /// First a record is made durable that keeps what must outlive the segments. If it cannot be
    /// written, everything stays as it is until the next attempt.
    fn settle(&mut self, arrivals: &Arrivals<Self>) {
        let Some(before) = self.first_to_keep() else { return };
        let record = {
            let log = self.store.read();
            let gone = log.chapters.range(..before).map(|(_, chapter)| chapter.events).sum::<u64>();
            RemovedRecord {
                before,
                revision: self.given.load(Ordering::Relaxed),
                sources: arrivals.origins().iter().map(Into::into).collect(),
                expired: log.expired + gone,
            }
        };
        if self.journal.append_from_reserve(REMOVED, record.encode_to_vec()).wait().is_err() {
            return; // The journal counts and reports it.
        }
        let mut log = self.store.write();
        log.expired += log.forget_before(before);
        drop(log);
        self.journal.remove_before(before);
    }

    fn run(&mut self, job: Job, arrivals: &Arrivals<Self>) {
        match job {
            Job::Advance(now) => {
                self.now = now;
                arrivals.queue(|| self.end_old_segment(now).map(Job::Rotated));
            }
            Job::Rotated(rotated) => {
                // Otherwise the newest segment stays until the next attempt.
                if let Ok(position) = rotated.wait() {
                    self.reached = self.reached.max(position.segment);
                }
            }
        }
        self.settle(arrivals);
    }
}

//! Who did what, when and why: the flight recorder.
//!
//! Events come in batches. A batch is a record of a journal and is answered when it is durable; its
//! events are readable from then on, in the order of their revisions. The newest are kept in memory,
//! older ones are read from the disk, and the oldest go by age and by bytes, a segment at a time.
//!
//! **Promises:** acknowledged means durable; nothing is readable that is not durable; a revision never
//! means two different events; a batch that is sent again is acknowledged again and recorded once. A
//! damaged journal is refused: an audit with holes in it is no audit.
//!
//! **Why a feed has no queue of its own:** a subscriber waits on [`Events::revisions`] and reads what
//! came since the last revision that it has seen. It cannot lag behind a bounded queue and lose
//! something; the slowest just reads larger pages.
//!
//! **Absent on purpose:** no clock (events say when they happened, and [`Events::advance`] what time it
//! is), no wire formats, no async runtime.

mod applier;
mod batch;
mod encoding;
mod event;
mod log;
mod query;
mod record;
mod settings;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use identity::Wall;
use monitoring::{Origin, Sources};
use prost::Message;
use storage_disk::Disk;
use storage_intake::Intake;
use storage_journal::{Journal, OpenError, ReadError};
use tokio::sync::watch;

pub use batch::Batch;
pub use encoding::EventRef;
pub use event::{Event, Kind};
pub use query::{Order, Query};
pub use settings::Settings;
pub use storage_intake::{Accept, AcceptError, Receipt};

use applier::EventApplier;
use batch::{Page, Recorded};
use log::{Log, Store};
use record::{BATCH, REMOVED, RemovedRecord};

#[cfg(test)]
mod tests;

/// The size of what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Events.
    pub events: u64,
    /// Events that are gone because of their age or for want of room.
    pub expired: u64,
    /// Memory for the newest, as the budget counts it.
    pub memory_bytes: u64,
    /// Disk for all.
    pub disk_bytes: u64,
    /// Segments of the journal.
    pub segments: u64,
    /// What the journal counts.
    pub journal: storage_journal::Stats,
}

/// The event store. Clones are the same store; dropping the last one finishes what is on its way. All
/// methods may be called from any thread at the same time.
#[derive(Debug, Clone)]
pub struct Events(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // Dropped first: its thread uses the journal.
    intake: Intake<EventApplier>,
    journal: Arc<Journal>,
    store: Arc<Store>,
    /// The last revision that is readable.
    readable: watch::Receiver<u64>,
    /// The last revision that was given; changed under the lock of the intake.
    given: Arc<AtomicU64>,
    max_batch_bytes: u64,
}

impl Events {
    /// Opens the store in this folder, or begins one. The caller sees to it that the folder has one
    /// owner. Blocks the thread while it reads everything.
    ///
    /// # Errors
    /// The journal is damaged, the disk fails, or a later version wrote the folder, which is left as it
    /// is then.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, settings: Settings) -> Result<Events, OpenError> {
        let mut log = Log::new(settings.memory_bytes);
        let (mut sources, mut before, mut last) = (Sources::default(), 0, 0);
        let mut replay = |from, kind, payload: &[u8]| {
            let storage_journal::Origin::Segment(segment) = from else {
                return Err("a snapshot, which this store does not write".to_owned());
            };
            let undecoded = |error: prost::DecodeError| error.to_string();
            match kind {
                BATCH => {
                    let (page, origin) = Page::check(payload)?;
                    let origin: Option<Origin> = origin.map(Into::into);
                    last = last.max(page.last_revision());
                    // Should a batch ever stand in the journal twice, it counts once.
                    if origin.as_ref().is_none_or(|origin| sources.take_in(origin)) {
                        log.add(segment, Arc::new(page));
                    }
                }
                REMOVED => {
                    let removed = RemovedRecord::decode(payload).map_err(undecoded)?;
                    last = last.max(removed.revision);
                    (before, log.expired) = (removed.before, removed.expired);
                    for origin in removed.sources {
                        sources.take_in(&origin.into());
                    }
                }
                _ => return Err(format!("kind {kind} is unknown")),
            }
            Ok(())
        };
        let (journal, _) = Journal::open(disk, folder, settings.journal(), &mut replay)?;
        // A crash between the record and the removal leaves segments that the record already counts.
        log.forget_before(before);
        journal.remove_before(before);
        let (sender, readable) = watch::channel(last);
        let (journal, store, given) =
            (Arc::new(journal), Arc::new(Store::new(log)), Arc::new(AtomicU64::new(last)));
        let applier = EventApplier::new(journal.clone(), store.clone(), sender, given.clone(), &settings);
        let intake = Intake::start(folder, journal.clone(), sources, settings.queue_bytes, applier)?;
        let max_batch_bytes = settings.max_batch_bytes;
        Ok(Events(Arc::new(Inner { intake, journal, store, readable, given, max_batch_bytes })))
    }

    /// Records a batch. It resolves when its events are durable and readable.
    ///
    /// A source sends its batches one after the other, the same one again until it is recorded.
    pub fn record(&self, batch: Batch) -> Accept {
        let (bytes, limit) = (batch.record_bytes(), self.0.max_batch_bytes);
        if bytes > limit {
            return Accept::refused(AcceptError::TooLarge { bytes, limit });
        }
        self.0.intake.submit(batch.origin.clone(), bytes, || {
            // Revisions of a batch that fails are not given again: a gap is harmless, a second meaning is
            // not.
            let before = self.0.given.fetch_add(batch.len() as u64, Ordering::Relaxed);
            let page = Arc::new(batch.into_page(before + 1));
            (Recorded(page.clone()), page)
        })
    }

    /// Records a single event of this process.
    pub fn record_one(&self, event: Event) -> Accept {
        self.record(Batch::of(None, [&event]))
    }

    /// Reads events. Blocks the thread for the disk where memory does not hold the answer, so ask
    /// [`Events::is_in_memory`] before calling it from an asynchronous task.
    pub fn read(&self, query: &Query) -> Result<Vec<Event>, ReadError> {
        self.0.store.find(&self.0.journal, query)
    }

    /// Whether reading this would not touch the disk.
    pub fn is_in_memory(&self, query: &Query) -> bool {
        self.0.store.is_in_memory(query)
    }

    /// The last revision that is readable; 0 before the first event.
    pub fn revision(&self) -> u64 {
        *self.0.readable.borrow()
    }

    /// Tells of each new last revision, after it became readable.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.0.readable.clone()
    }

    /// The sequence of the last batch of this source and epoch that is durable.
    pub fn last_sequence(&self, source: &str, epoch: u64) -> Option<u64> {
        self.0.intake.last_sequence(source, epoch)
    }

    /// Lets time pass: what has become too old goes.
    pub fn advance(&self, now: Wall) {
        self.0.intake.queue(applier::Job::Advance(now));
    }

    /// The size of what is kept.
    pub fn stats(&self) -> Stats {
        let log = self.0.store.read();
        Stats {
            events: log.events(),
            expired: log.expired,
            memory_bytes: log.newest_bytes(),
            disk_bytes: self.0.journal.bytes(),
            segments: self.0.journal.segments().len() as u64,
            journal: self.0.journal.stats(),
        }
    }
}

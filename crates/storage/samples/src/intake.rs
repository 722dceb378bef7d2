//! From a batch to the moment at which it is durable, counted and visible.
//!
//! A batch is appended to the journal, and one thread waits for the journal's answers in the order of the
//! appends. It adds what is durable to the rollup, remembers the sender's number, and only then answers
//! the sender: whoever reads sees nothing that a crash could take back, and a sender that goes away while
//! it waits changes nothing.
//!
//! The same thread writes snapshots. One is begun under the lock of the appends and queued like a batch;
//! when its turn comes, the thread has added exactly what was appended before it.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    task::{Context, Poll},
    thread,
};

use monitoring::Sources;
use storage_journal::{Append, Journal, Snapshot, SnapshotError};
use tokio::sync::oneshot;

use crate::{AcceptError, Receipt, Settings, record, store::Store};

type Answer = Result<Receipt, AcceptError>;

/// The answer to a batch: a future for tasks, [`wait`](Self::wait) for threads. Dropping it changes
/// nothing: the batch is taken in all the same.
#[derive(Debug)]
#[must_use = "the batch is durable only when this resolves to Ok"]
pub struct Accept(Waiting);

#[derive(Debug)]
enum Waiting {
    Answered(Option<Answer>),
    Asked(oneshot::Receiver<Answer>),
}

impl Accept {
    pub(crate) fn answered(answer: Answer) -> Self {
        Self(Waiting::Answered(Some(answer)))
    }

    /// Blocks the thread until the batch is durable. Not for asynchronous tasks: await it there.
    pub fn wait(self) -> Answer {
        match self.0 {
            Waiting::Answered(answer) => answer.unwrap_or(Err(AcceptError::Closed)),
            Waiting::Asked(answer) => answer.blocking_recv().unwrap_or(Err(AcceptError::Closed)),
        }
    }
}

impl Future for Accept {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match &mut self.0 {
            Waiting::Answered(answer) => Poll::Ready(answer.take().unwrap_or(Err(AcceptError::Closed))),
            Waiting::Asked(answer) => {
                Pin::new(answer).poll(context).map(|answer| answer.unwrap_or(Err(AcceptError::Closed)))
            }
        }
    }
}

/// What senders have sent, and what is on its way.
#[derive(Debug)]
struct Arrivals {
    /// What is durable.
    sources: Sources,
    /// The sources and epochs of what waits for the disk. One batch of each at a time: if a second one
    /// succeeded where the first failed, the first would pass for a duplicate when it comes again.
    waiting: HashSet<(Box<str>, u64)>,
    waiting_bytes: u64,
    /// `None` once the store is being closed.
    jobs: Option<mpsc::Sender<Job>>,
}

#[derive(Debug)]
enum Job {
    Batch { append: Append, batch: record::Batch, bytes: u64, answer: oneshot::Sender<Answer> },
    Snapshot(Snapshot),
}

/// The way in. Dropping it finishes what is on its way.
#[derive(Debug)]
pub(crate) struct Intake {
    journal: Arc<Journal>,
    arrivals: Arc<Mutex<Arrivals>>,
    queue_bytes: u64,
    thread: Option<thread::JoinHandle<()>>,
}

impl Intake {
    pub(crate) fn start(
        journal: Arc<Journal>,
        store: Arc<Store>,
        sources: Sources,
        settings: &Settings,
    ) -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel();
        let arrivals = Arrivals { sources, waiting: HashSet::new(), waiting_bytes: 0, jobs: Some(jobs) };
        let arrivals = Arc::new(Mutex::new(arrivals));
        let applier = Applier {
            journal: Arc::clone(&journal),
            arrivals: Arc::clone(&arrivals),
            store,
            snapshot_after_bytes: settings.snapshot_after_bytes,
            is_snapshot_queued: false,
            retry_after_bytes: 0,
        };
        let thread = thread::Builder::new().name("samples".to_owned()).spawn(move || applier.run(&inbox))?;
        Ok(Self { journal, arrivals, queue_bytes: settings.queue_bytes, thread: Some(thread) })
    }

    /// Takes in a batch, given in both forms.
    pub(crate) fn submit(&self, encoded: &[u8], batch: record::Batch) -> Accept {
        let bytes = encoded.len() as u64;
        let mut arrivals = lock(&self.arrivals);
        let Some(jobs) = arrivals.jobs.clone() else { return Accept::answered(Err(AcceptError::Closed)) };
        if let Some(origin) = &batch.origin {
            if arrivals.sources.has(origin) {
                return Accept::answered(Ok(Receipt { stored: 0, is_duplicate: true }));
            }
            if arrivals.waiting.contains(&(origin.source.clone(), origin.epoch)) {
                return Accept::answered(Err(AcceptError::Busy));
            }
        }
        // One batch always fits.
        if arrivals.waiting_bytes > 0 && arrivals.waiting_bytes + bytes > self.queue_bytes {
            return Accept::answered(Err(AcceptError::Busy));
        }
        arrivals.waiting_bytes += bytes;
        arrivals.waiting.extend(batch.origin.iter().map(|origin| (origin.source.clone(), origin.epoch)));
        // Appended and queued under one lock, so that both have the same order: a snapshot relies on
        // everything before it having been added when its turn comes, and nothing after it.
        let (answer, asked) = oneshot::channel();
        let append = self.journal.append(record::BATCH, encoded);
        match jobs.send(Job::Batch { append, batch, bytes, answer }) {
            Ok(()) => Accept(Waiting::Asked(asked)),
            Err(_) => Accept::answered(Err(AcceptError::Closed)),
        }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        lock(&self.arrivals).jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported where it happened.
            let _ = thread.join();
        }
    }
}

struct Applier {
    journal: Arc<Journal>,
    arrivals: Arc<Mutex<Arrivals>>,
    store: Arc<Store>,
    snapshot_after_bytes: u64,
    is_snapshot_queued: bool,
    /// How large the journal has to be for the next attempt after one that failed.
    retry_after_bytes: u64,
}

impl Applier {
    fn run(mut self, inbox: &mpsc::Receiver<Job>) {
        while let Ok(job) = inbox.recv() {
            match job {
                Job::Batch { append, batch, bytes, answer } => {
                    let answered = self.apply(append, batch, bytes);
                    // The sender may have gone away; its batch is stored all the same.
                    let _ = answer.send(answered);
                    self.begin_snapshot_if_due();
                }
                Job::Snapshot(snapshot) => {
                    self.is_snapshot_queued = false;
                    // Without it everything is as it was. The next attempt waits for as much again.
                    let is_written = self.write(snapshot).is_ok();
                    self.retry_after_bytes =
                        if is_written { 0 } else { self.segment_bytes() + self.snapshot_after_bytes };
                }
            }
        }
    }

    fn apply(&self, append: Append, batch: record::Batch, bytes: u64) -> Answer {
        let durable = append.wait();
        let (origin, stored) = (batch.origin.clone(), batch.ledger.stored);
        if durable.is_ok() {
            self.store.write().add(batch);
        }
        let mut arrivals = lock(&self.arrivals);
        arrivals.waiting_bytes -= bytes;
        if let Some(origin) = origin {
            if durable.is_ok() {
                arrivals.sources.take_in(&origin);
            }
            arrivals.waiting.remove(&(origin.source, origin.epoch));
        }
        durable.map(|_| Receipt { stored, is_duplicate: false }).map_err(AcceptError::from)
    }

    fn begin_snapshot_if_due(&mut self) {
        let segments = self.segment_bytes();
        let last_snapshot = self.journal.bytes().saturating_sub(segments);
        let due_after = self.snapshot_after_bytes.max(last_snapshot).max(self.retry_after_bytes);
        if self.is_snapshot_queued || segments <= due_after {
            return;
        }
        let arrivals = lock(&self.arrivals);
        let Some(jobs) = &arrivals.jobs else { return };
        if let Ok(snapshot) = self.journal.begin_snapshot() {
            self.is_snapshot_queued = jobs.send(Job::Snapshot(snapshot)).is_ok();
        }
    }

    fn segment_bytes(&self) -> u64 {
        self.journal.segments().iter().map(|segment| segment.bytes).sum()
    }

    /// Writes all that has been added. Readers go on meanwhile; senders wait.
    fn write(&self, mut snapshot: Snapshot) -> Result<(), SnapshotError> {
        let durable = self.store.read();
        let head = record::encode_head(&durable.ledger, lock(&self.arrivals).sources.iter());
        snapshot.write(record::HEAD, &head)?;
        for state in durable.rollup.states() {
            snapshot.write(record::SERIES, &record::encode_series(&state))?;
        }
        snapshot.finish().map(drop)
    }
}

fn lock(arrivals: &Mutex<Arrivals>) -> MutexGuard<'_, Arrivals> {
    // Every change is complete before anything could panic.
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}

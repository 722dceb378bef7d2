//! From a batch to the moment at which it is durable and readable.
//!
//! A batch gets its revisions and is appended to the journal under one lock, so that both have the same
//! order. One thread waits for the journal's answers in that order, makes durable events readable, and
//! only then answers: whoever reads sees nothing that a crash could take back, in the order of revisions,
//! and a sender that goes away while it waits changes nothing.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use identity::Wall;
use monitoring::{Origin, Sources};
use prost::Message;
use storage_journal::{Append, Journal};
use tokio::sync::{oneshot, watch};

use crate::log::Store;
use crate::record::{BATCH, BatchRecord, EventRecord, REMOVED, RemovedRecord};
use crate::{Batch, Event, RecordError, Settings};

type Answer = Result<(), RecordError>;

/// The answer to a batch: a future for tasks, [`wait`](Self::wait) for threads. Dropping it changes
/// nothing: the batch is recorded all the same.
#[derive(Debug)]
#[must_use = "the events are durable only when this resolves to Ok"]
pub struct Record(Waiting);

#[derive(Debug)]
enum Waiting {
    Answered(Option<Answer>),
    Asked(oneshot::Receiver<Answer>),
}

impl Record {
    fn answered(answer: Answer) -> Record {
        Record(Waiting::Answered(Some(answer)))
    }

    /// Blocks the thread until the events are durable. Not for asynchronous tasks: await it there.
    pub fn wait(self) -> Answer {
        match self.0 {
            Waiting::Answered(answer) => answer.unwrap_or(Err(RecordError::Closed)),
            Waiting::Asked(answer) => answer.blocking_recv().unwrap_or(Err(RecordError::Closed)),
        }
    }
}

impl Future for Record {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match &mut self.0 {
            Waiting::Answered(answer) => Poll::Ready(answer.take().unwrap_or(Err(RecordError::Closed))),
            Waiting::Asked(answer) => {
                Pin::new(answer).poll(context).map(|answer| answer.unwrap_or(Err(RecordError::Closed)))
            }
        }
    }
}

/// What senders have sent, and what is on its way.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// What is durable.
    pub(crate) sources: Sources,
    /// The last revision that was given.
    pub(crate) revision: u64,
    /// The sources and epochs of what waits for the disk. One batch of each at a time: if a second one
    /// succeeded where the first failed, the first would pass for a duplicate when it comes again.
    waiting: HashSet<(Box<str>, u64)>,
    waiting_bytes: u64,
}

#[derive(Debug)]
enum Job {
    Batch { append: Append, batch: Batch, bytes: u64, answer: oneshot::Sender<Answer> },
    Advance(Wall),
}

/// The way in. Dropping it finishes what is on its way.
#[derive(Debug)]
pub(crate) struct Intake {
    journal: Arc<Journal>,
    arrivals: Arc<Mutex<Arrivals>>,
    max_batch_bytes: u64,
    queue_bytes: u64,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Intake {
    pub(crate) fn start(
        journal: Arc<Journal>,
        store: Arc<Store>,
        arrivals: Arrivals,
        revisions: watch::Sender<u64>,
        settings: &Settings,
    ) -> std::io::Result<Intake> {
        let arrivals = Arc::new(Mutex::new(arrivals));
        let (jobs, inbox) = mpsc::channel();
        let applier = Applier {
            journal: journal.clone(),
            arrivals: arrivals.clone(),
            store,
            revisions,
            disk_bytes: settings.disk_bytes,
            max_age: settings.max_age,
        };
        let thread = thread::Builder::new().name("events".to_owned()).spawn(move || applier.run(&inbox))?;
        let Settings { max_batch_bytes, queue_bytes, .. } = *settings;
        Ok(Intake { journal, arrivals, max_batch_bytes, queue_bytes, jobs: Some(jobs), thread: Some(thread) })
    }

    pub(crate) fn submit(&self, mut batch: Batch) -> Record {
        let Some(jobs) = &self.jobs else { return Record::answered(Err(RecordError::Closed)) };
        let bytes = batch.events.iter().map(Event::bytes).sum::<u64>();
        let mut record = BatchRecord {
            origin: batch.origin.as_ref().map(Into::into),
            first_revision: 0,
            events: batch.events.iter().map(EventRecord::from).collect(),
        };
        let encoded_bytes = record.encoded_len() as u64;
        if encoded_bytes > self.max_batch_bytes {
            return Record::answered(Err(RecordError::TooLarge {
                bytes: encoded_bytes,
                limit: self.max_batch_bytes,
            }));
        }
        let mut arrivals = lock(&self.arrivals);
        if let Some(origin) = &batch.origin {
            if arrivals.sources.has(origin) {
                return Record::answered(Ok(()));
            }
            if arrivals.waiting.contains(&key(origin)) {
                return Record::answered(Err(RecordError::Busy));
            }
        }
        // One batch always fits, however large it is in memory.
        if arrivals.waiting_bytes > 0 && arrivals.waiting_bytes + bytes > self.queue_bytes {
            return Record::answered(Err(RecordError::Busy));
        }
        arrivals.waiting_bytes += bytes;
        arrivals.waiting.extend(batch.origin.as_ref().map(key));
        record.first_revision = arrivals.revision + 1;
        // Revisions of a batch that fails are not given again: a gap is harmless, a second meaning is not.
        arrivals.revision += batch.events.len() as u64;
        batch
            .events
            .iter_mut()
            .zip(record.first_revision..)
            .for_each(|(event, revision)| event.revision = revision);
        let (answer, asked) = oneshot::channel();
        let append = self.journal.append(BATCH, record.encode_to_vec());
        match jobs.send(Job::Batch { append, batch, bytes, answer }) {
            Ok(()) => Record(Waiting::Asked(asked)),
            Err(_) => Record::answered(Err(RecordError::Closed)),
        }
    }

    pub(crate) fn advance(&self, now: Wall) {
        if let Some(jobs) = &self.jobs {
            // Nobody is there to be told only while the store is being closed.
            let _ = jobs.send(Job::Advance(now));
        }
    }

    pub(crate) fn last_sequence(&self, source: &str, epoch: u64) -> Option<u64> {
        let arrivals = lock(&self.arrivals);
        let mut origins = arrivals.sources.iter();
        origins
            .find(|origin| &*origin.source == source && origin.epoch == epoch)
            .map(|origin| origin.sequence)
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.jobs = None;
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
    revisions: watch::Sender<u64>,
    disk_bytes: u64,
    max_age: Duration,
}

impl Applier {
    fn run(self, inbox: &mpsc::Receiver<Job>) {
        while let Ok(job) = inbox.recv() {
            match job {
                Job::Batch { append, batch, bytes, answer } => {
                    let answered = self.apply(append, batch, bytes);
                    self.enforce_budgets(None);
                    // The sender may have gone away; its batch is recorded all the same.
                    let _ = answer.send(answered);
                }
                Job::Advance(now) => self.enforce_budgets(Some(now)),
            }
        }
    }

    fn apply(&self, append: Append, batch: Batch, bytes: u64) -> Answer {
        let durable = append.wait();
        let Batch { origin, events } = batch;
        let last = events.last().map(|event| event.revision);
        if let Ok(position) = &durable {
            self.store.write().add(position.segment, events);
        }
        let mut arrivals = lock(&self.arrivals);
        arrivals.waiting_bytes -= bytes;
        if let Some(origin) = origin {
            if durable.is_ok() {
                arrivals.sources.take_in(&origin);
            }
            arrivals.waiting.remove(&key(&origin));
        }
        drop(arrivals);
        if let (Ok(_), Some(last)) = (&durable, last) {
            self.revisions.send_replace(last);
        }
        durable.map(|_| ()).map_err(RecordError::from)
    }

    /// Removes what is beyond the budgets, and, where the time is known, what is too old.
    ///
    /// First a record is made durable that keeps what must outlive the segments. If it cannot be
    /// written, everything stays as it is until the next attempt.
    fn enforce_budgets(&self, now: Option<Wall>) {
        let Some(before) = self.first_to_keep(now) else { return };
        let record = {
            let (log, arrivals) = (self.store.read(), lock(&self.arrivals));
            let gone = log.chapters.range(..before).map(|(_, chapter)| chapter.events).sum::<u64>();
            RemovedRecord {
                before,
                revision: arrivals.revision,
                sources: arrivals.sources.iter().map(|origin| (&origin).into()).collect(),
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

    fn first_to_keep(&self, now: Option<Wall>) -> Option<u64> {
        let segments = self.journal.segments();
        let mut disk = segments.iter().map(|segment| segment.bytes).sum::<u64>();
        let log = self.store.read();
        // Batches of later segments may be durable and on their way here, behind this one; the segment
        // that was reached, and those after it, stay.
        let reached = log.chapters.keys().next_back().copied().unwrap_or(0);
        let mut before = None;
        for pair in segments.windows(2).take_while(|pair| pair[0].number < reached) {
            let chapter = log.chapters.get(&pair[0].number);
            // One without events holds nothing that could be too young.
            let is_old =
                now.is_some_and(|now| chapter.is_none_or(|chapter| chapter.newest + self.max_age < now));
            if disk <= self.disk_bytes && !is_old {
                break;
            }
            disk -= pair[0].bytes;
            before = Some(pair[1].number);
        }
        before
    }
}

fn key(origin: &Origin) -> (Box<str>, u64) {
    (origin.source.clone(), origin.epoch)
}

fn lock(arrivals: &Mutex<Arrivals>) -> MutexGuard<'_, Arrivals> {
    // Every change is complete before anything could panic.
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}

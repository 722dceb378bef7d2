//! From a batch to the moment at which it is durable, counted and visible.
//!
//! A batch is appended to the journal, and one thread waits for the journal's answers in the order of the
//! appends. It adds what is durable to the index, remembers the sender's number, and only then answers
//! the sender: whoever reads sees nothing that a crash could take back, and a sender that goes away while
//! it waits changes nothing. The same thread removes what is beyond the budgets, since that is the only
//! other thing that changes the index.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    task::{Context, Poll},
    thread,
};

use identity::Wall;
use monitoring::Sources;
use storage_journal::{Append, Journal};
use tokio::sync::oneshot;

use crate::{AcceptError, Receipt, Settings, record, retention::Retention, store::Store};

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
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// What is durable.
    pub(crate) sources: Sources,
    /// The sources and epochs of what waits for the disk. One batch of each at a time: if a second one
    /// succeeded where the first failed, the first would pass for a duplicate when it comes again.
    waiting: HashSet<(Box<str>, u64)>,
    waiting_bytes: u64,
}

#[derive(Debug)]
enum Job {
    Batch { append: Append, batch: record::Batch, bytes: u64, answer: oneshot::Sender<Answer> },
    Advance(Wall),
}

/// The way in. Dropping it finishes what is on its way.
#[derive(Debug)]
pub(crate) struct Intake {
    journal: Arc<Journal>,
    arrivals: Arc<Mutex<Arrivals>>,
    queue_bytes: u64,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Intake {
    pub(crate) fn start(
        journal: Arc<Journal>,
        store: Arc<Store>,
        sources: Sources,
        settings: &Settings,
    ) -> std::io::Result<Self> {
        let arrivals = Arc::new(Mutex::new(Arrivals { sources, ..Arrivals::default() }));
        let (jobs, inbox) = mpsc::channel();
        let applier = Applier {
            arrivals: Arc::clone(&arrivals),
            retention: Retention::new(Arc::clone(&journal), Arc::clone(&store), settings),
            store,
        };
        let thread = thread::Builder::new().name("spans".to_owned()).spawn(move || applier.run(&inbox))?;
        let queue_bytes = settings.queue_bytes;
        Ok(Self { journal, arrivals, queue_bytes, jobs: Some(jobs), thread: Some(thread) })
    }

    /// Takes in an encoded batch, whose decoded form is `batch`.
    pub(crate) fn submit(&self, encoded: &[u8], batch: record::Batch) -> Accept {
        let bytes = (encoded.len() + batch.bytes) as u64;
        let Some(jobs) = &self.jobs else { return Accept::answered(Err(AcceptError::Closed)) };
        let mut arrivals = lock(&self.arrivals);
        if let Some(origin) = &batch.origin {
            if arrivals.sources.has(origin) {
                return Accept::answered(Ok(Receipt { stored: 0, is_duplicate: true }));
            }
            if arrivals.waiting.contains(&(origin.source.clone(), origin.epoch)) {
                return Accept::answered(Err(AcceptError::Busy));
            }
        }
        // One batch always fits, however large its decoded form is.
        if arrivals.waiting_bytes > 0 && arrivals.waiting_bytes + bytes > self.queue_bytes {
            return Accept::answered(Err(AcceptError::Busy));
        }
        arrivals.waiting_bytes += bytes;
        arrivals.waiting.extend(batch.origin.iter().map(|origin| (origin.source.clone(), origin.epoch)));
        // Appended and queued under one lock, so that both have the same order: retention relies on every
        // batch of a segment having been added once a later segment's is.
        let (answer, asked) = oneshot::channel();
        let append = self.journal.append(record::BATCH, encoded);
        match jobs.send(Job::Batch { append, batch, bytes, answer }) {
            Ok(()) => Accept(Waiting::Asked(asked)),
            Err(_) => Accept::answered(Err(AcceptError::Closed)),
        }
    }

    pub(crate) fn advance(&self, now: Wall) {
        if let Some(jobs) = &self.jobs {
            // Nobody is there to be told only while the store is being closed.
            let _ = jobs.send(Job::Advance(now));
        }
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
    arrivals: Arc<Mutex<Arrivals>>,
    store: Arc<Store>,
    retention: Retention,
}

impl Applier {
    fn run(mut self, inbox: &mpsc::Receiver<Job>) {
        while let Ok(job) = inbox.recv() {
            match job {
                Job::Batch { append, batch, bytes, answer } => {
                    let received_at = batch.received_at;
                    let answered = self.apply(append, batch, bytes);
                    // Before the answer, so that whoever is answered finds the budgets kept.
                    self.enforce_budgets(received_at);
                    // The sender may have gone away; its batch is stored all the same.
                    let _ = answer.send(answered);
                }
                Job::Advance(now) => self.enforce_budgets(now),
            }
        }
    }

    fn enforce_budgets(&self, now: Wall) {
        self.retention.enforce(now, || lock(&self.arrivals).sources.iter().collect());
    }

    fn apply(&mut self, append: Append, batch: record::Batch, bytes: u64) -> Answer {
        let durable = append.wait();
        let (origin, stored) = (batch.origin.clone(), batch.ledger.stored);
        if let Ok(position) = &durable {
            self.store.write().index.add(position.segment, batch);
            self.retention.reached(position.segment);
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
}

fn lock(arrivals: &Mutex<Arrivals>) -> MutexGuard<'_, Arrivals> {
    // Every change is complete before anything could panic.
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}

//! From a batch to the moment at which it is durable, counted and visible: the way into every store that
//! takes batches.
//!
//! A batch is appended to the journal, and one thread waits for the journal's answers in the order of the
//! appends. It applies what is durable, remembers the sender's number, and only then answers the sender:
//! whoever reads sees nothing that a crash could take back, and a sender that goes away while it waits
//! changes nothing. What else changes a store, retention and snapshots, is done by the same thread in
//! between, as a job that has its place in the same order.
//!
//! **Promises:** acknowledged means durable and applied; a batch that is sent again is acknowledged again
//! and not applied again; a source has one batch on its way at a time; what waits is bounded in bytes.
//!
//! **Absent on purpose:** no meaning of batches and jobs (an [`Applier`] has it), no recovery (a store
//! replays its journal before it starts its intake), no clock, no async runtime.

mod accept;
mod arrivals;
mod error;
pub mod record;

use std::{
    fmt,
    path::Path,
    sync::{Arc, mpsc},
    thread,
};

use monitoring::{Ledger, Origin, Sources};
use storage_journal::{Journal, OpenError, Position};
use tokio::sync::oneshot;

pub use accept::{Accept, Receipt};
pub use arrivals::Arrivals;
pub use error::AcceptError;

use accept::Answer;
use arrivals::{Entry, Waiting, key};

#[cfg(test)]
mod tests;

/// What a store does with what is durable, on the one thread that changes it.
pub trait Applier: fmt::Debug + Send + Sized + 'static {
    /// The name of the thread.
    const NAME: &'static str;
    /// The kind of a record that holds a batch.
    const KIND: u8 = record::BATCH;
    /// What is kept of a batch while it waits for the disk.
    type Batch: Send;
    /// What else is done by this thread.
    type Job: Send;

    /// Makes a durable batch readable, and says how many of its things are stored.
    fn apply(&mut self, position: Position, batch: Self::Batch) -> u64;

    /// Comes after every batch, also one that the disk refused, and before its sender is answered, who
    /// therefore finds the budgets kept.
    fn settle(&mut self, arrivals: &Arrivals<Self>);

    /// Does a job. All that was appended before it was queued has been applied.
    fn run(&mut self, job: Self::Job, arrivals: &Arrivals<Self>);
}

/// The way in. Dropping it finishes what is on its way.
#[derive(Debug)]
pub struct Intake<A: Applier> {
    journal: Arc<Journal>,
    arrivals: Arc<Arrivals<A>>,
    queue_bytes: u64,
    thread: Option<thread::JoinHandle<()>>,
}

impl<A: Applier> Intake<A> {
    /// Begins to take batches into the journal in this folder, with the sources that its replay found.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn start(
        folder: &Path,
        journal: Arc<Journal>,
        sources: Sources,
        queue_bytes: u64,
        applier: A,
    ) -> Result<Self, OpenError> {
        let (entries, inbox) = mpsc::channel();
        let arrivals = Arc::new(Arrivals::new(sources, entries));
        let seen = Arc::clone(&arrivals);
        let thread = thread::Builder::new().name(A::NAME.to_owned());
        let thread = thread.spawn(move || run(applier, &seen, &inbox)).map_err(|source| OpenError::Io {
            action: "start the thread of",
            path: folder.to_path_buf(),
            source,
        })?;
        Ok(Self { journal, arrivals, queue_bytes, thread: Some(thread) })
    }

    /// Takes in a batch that needs `bytes` of memory while it waits for the disk. `admit` is called if
    /// nothing speaks against it, in the order of the journal, for its record and what is kept of it.
    pub fn submit<R: AsRef<[u8]>>(
        &self,
        origin: Option<Origin>,
        bytes: u64,
        admit: impl FnOnce() -> (R, A::Batch),
    ) -> Accept {
        let mut state = self.arrivals.lock();
        let Some(entries) = state.entries.clone() else { return Accept::refused(AcceptError::Closed) };
        if let Some(origin) = &origin {
            if state.sources.has(origin) {
                return Accept::answered(Ok(Receipt { stored: 0, is_duplicate: true }));
            }
            if state.waiting.contains(&key(origin)) {
                return Accept::refused(AcceptError::Busy);
            }
        }
        // One batch always fits, however large it is in memory.
        if state.waiting_bytes > 0 && state.waiting_bytes + bytes > self.queue_bytes {
            return Accept::refused(AcceptError::Busy);
        }
        state.waiting_bytes += bytes;
        state.waiting.extend(origin.as_ref().map(key));
        // Appended and queued under one lock, so that both have the same order: retention and snapshots
        // rely on what has been applied being all that the journal has up to there, and nothing beyond.
        let (record, batch) = admit();
        let append = self.journal.append(A::KIND, record);
        let (answer, asked) = oneshot::channel();
        match entries.send(Entry::Batch(Waiting { append, origin, batch, bytes, answer })) {
            Ok(()) => Accept::asked(asked),
            Err(_) => Accept::refused(AcceptError::Closed),
        }
    }

    /// Has a job done after all that was submitted before.
    pub fn queue(&self, job: A::Job) {
        self.arrivals.queue(|| Some(job));
    }

    /// The sequence of the last batch of this source and epoch that is durable.
    pub fn last_sequence(&self, source: &str, epoch: u64) -> Option<u64> {
        let state = self.arrivals.lock();
        let mut origins = state.sources.iter();
        origins
            .find(|origin| &*origin.source == source && origin.epoch == epoch)
            .map(|origin| origin.sequence)
    }
}

impl<A: Applier> Drop for Intake<A> {
    fn drop(&mut self) {
        self.arrivals.lock().entries = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported where it happened.
            let _ = thread.join();
        }
    }
}

fn run<A: Applier>(mut applier: A, arrivals: &Arrivals<A>, inbox: &mpsc::Receiver<Entry<A>>) {
    while let Ok(entry) = inbox.recv() {
        match entry {
            Entry::Batch(Waiting { append, origin, batch, bytes, answer }) => {
                let applied: Answer = append
                    .wait()
                    .map_err(AcceptError::from)
                    .map(|position| Receipt { stored: applier.apply(position, batch), is_duplicate: false });
                let mut state = arrivals.lock();
                state.waiting_bytes -= bytes;
                if let Some(origin) = origin {
                    if applied.is_ok() {
                        state.sources.take_in(&origin);
                    }
                    state.waiting.remove(&key(&origin));
                }
                drop(state);
                applier.settle(arrivals);
                // The sender may have gone away; its batch is stored all the same.
                let _ = answer.send(applied);
            }
            Entry::Job(job) => applier.run(job, arrivals),
        }
    }
}

/// The counters of a batch with `stored` things, whose sender says what became of the others.
///
/// # Errors
/// They do not add up.
pub fn account(
    received: u64,
    stored: usize,
    sampled_out: u64,
    dropped: &[(Box<str>, u64)],
) -> Result<Ledger, AcceptError> {
    let mut ledger = Ledger { received, stored: stored as u64, sampled_out, ..Ledger::default() };
    for (reason, count) in dropped {
        ledger.drop_for(reason, *count);
    }
    if ledger.balances() {
        return Ok(ledger);
    }
    let dropped = ledger.dropped_total();
    Err(AcceptError::Unbalanced { received, stored: ledger.stored, sampled_out, dropped })
}

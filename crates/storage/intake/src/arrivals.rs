//! What senders have sent, and what is on its way.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
};

use monitoring::{Origin, Sources};
use storage_journal::Append;
use tokio::sync::oneshot;

use crate::{Applier, accept::Answer};

/// What is done one after the other, in the order of the journal.
pub(crate) enum Entry<A: Applier> {
    Batch(Waiting<A::Batch>),
    Job(A::Job),
}

/// A batch that waits for the disk.
pub(crate) struct Waiting<B> {
    pub(crate) append: Append,
    pub(crate) origin: Option<Origin>,
    pub(crate) batch: B,
    pub(crate) bytes: u64,
    pub(crate) answer: oneshot::Sender<Answer>,
}

#[derive(Debug)]
pub(crate) struct State<A: Applier> {
    /// What is durable.
    pub(crate) sources: Sources,
    /// The sources and epochs of what waits for the disk. One batch of each at a time: if a second one
    /// succeeded where the first failed, the first would pass for a duplicate when it comes again.
    pub(crate) waiting: HashSet<(Box<str>, u64)>,
    pub(crate) waiting_bytes: u64,
    /// `None` once the store is being closed.
    pub(crate) entries: Option<mpsc::Sender<Entry<A>>>,
}

/// What an [`Applier`] sees of what arrives.
#[derive(Debug)]
pub struct Arrivals<A: Applier>(Mutex<State<A>>);

impl<A: Applier> Arrivals<A> {
    pub(crate) fn new(sources: Sources, entries: mpsc::Sender<Entry<A>>) -> Self {
        let (waiting, waiting_bytes) = (HashSet::new(), 0);
        Self(Mutex::new(State { sources, waiting, waiting_bytes, entries: Some(entries) }))
    }

    /// The last durable batch of each source, least recent first.
    pub fn origins(&self) -> Vec<Origin> {
        self.lock().sources.iter().collect()
    }

    /// Queues what `begin` gives, if anything. Nothing is appended meanwhile, so that its turn comes when
    /// exactly what was appended before has been applied.
    pub fn queue(&self, begin: impl FnOnce() -> Option<A::Job>) {
        let state = self.lock();
        if let Some(entries) = &state.entries
            && let Some(job) = begin()
        {
            // Nobody takes it only where the thread has panicked, which was reported there.
            let _ = entries.send(Entry::Job(job));
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State<A>> {
        // Every change is complete before anything could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Batches of one key come one after the other.
pub(crate) fn key(origin: &Origin) -> (Box<str>, u64) {
    (origin.source.clone(), origin.epoch)
}

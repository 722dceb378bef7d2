//! Turns what is frozen into parts, oldest first, on a thread of its own, while samples go on coming in.
//!
//! From the moment at which a part has its name, recovery leaves out the batches of its epoch, and only then are their
//! segments removed. So a crash finds each sample either in the journal or in a part: in both only where the
//! segments have not been removed yet, and then the part counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
};

use storage_journal::OpenError;

use super::{
    applier::Shared,
    part::{self, Part},
    record::PartRecord,
    store::Store,
};

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Sealed,
    Failed(String),
}

/// Writes the oldest of what is frozen as a part and puts that in its place; whether there was something.
pub(crate) fn seal_oldest(
    store: &Store,
    disk: &Arc<dyn storage_disk::Disk>,
    folder: &std::path::Path,
    cache: &Arc<super::cache::Cache>,
) -> Result<Option<u64>, String> {
    let (frozen, record) = {
        let durable = store.read();
        let Some(frozen) = durable.frozen.first().cloned() else { return Ok(None) };
        let mut total = durable.sealed.clone();
        total.add(&frozen.head.ledger);
        let (epoch, removed) = (frozen.head.epoch, durable.removed);
        (frozen, PartRecord { total: Some((&total).into()), epoch, removed, ..PartRecord::default() })
    };
    part::save(&**disk, folder, frozen.number, &frozen.head, record).map_err(|error| error.to_string())?;
    let part = Part::open(disk, folder, frozen.number, cache).map_err(|error| error.to_string())?;
    let mut durable = store.write();
    let mut parts = durable.parts.to_vec();
    parts.push(Arc::new(part));
    durable.parts = Arc::new(parts);
    durable.sealed.add(&frozen.head.ledger);
    durable.sealed_epoch = Some(frozen.head.epoch);
    durable.frozen.remove(0);
    Ok(Some(frozen.number))
}

/// The thread that seals.
#[derive(Debug)]
pub(crate) struct Sealing {
    work: Option<Sender<Vec<Sender<Outcome>>>>,
    /// How much is waiting or being done.
    pending: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Sealing {
    pub(crate) fn start(shared: Shared) -> Result<Self, OpenError> {
        let (work, inbox) = mpsc::channel::<Vec<Sender<Outcome>>>();
        let pending = Arc::new(AtomicUsize::new(0));
        let (done, folder) = (Arc::clone(&pending), shared.folder.clone());
        let run = move || {
            while let Ok(told) = inbox.recv() {
                let outcome = seal_all(&shared);
                done.fetch_sub(1, Ordering::AcqRel);
                // Who asked may have gone away.
                told.iter().for_each(|told| drop(told.send(outcome.clone())));
            }
        };
        let thread = thread::Builder::new().name("series-seal".to_owned()).spawn(run);
        let thread =
            thread.map_err(|source| OpenError::Io { action: "start the thread of", path: folder, source })?;
        Ok(Self { work: Some(work), pending, thread: Some(thread) })
    }

    /// Whether everything is done that was begun.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 0
    }

    /// Has everything sealed that is frozen.
    pub(crate) fn begin(&self, told: Vec<Sender<Outcome>>) {
        if let Some(work) = &self.work {
            self.pending.fetch_add(1, Ordering::AcqRel);
            // Nobody takes it only where the thread has panicked, which was reported there.
            let _ = work.send(told);
        }
    }
}

fn seal_all(shared: &Shared) -> Outcome {
    loop {
        match seal_oldest(&shared.store, &shared.disk, &shared.folder, &shared.cache) {
            Ok(Some(number)) => drop(shared.journal.remove_before(number)),
            Ok(None) => return Outcome::Sealed,
            Err(error) => {
                tracing::warn!(error, "a part of samples could not be sealed; it is tried again");
                return Outcome::Failed(error);
            }
        }
    }
}

impl Drop for Sealing {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

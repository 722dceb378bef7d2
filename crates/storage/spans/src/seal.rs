//! Turns what is frozen into a block, on a thread of its own, while spans go on coming in.
//!
//! A block is named by the first segment of the journal that is not in it. It is written under another name,
//! synced and renamed; from the moment at which its name is there, recovery leaves out the segments before it,
//! and only then are they removed. So a crash finds each span either in the journal or in a block: in both
//! only where the segments have not been removed yet, and then the block counts.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
};

use storage_disk::Disk;
use storage_journal::{Journal, OpenError};

use crate::{
    block::{self, Block},
    store::{Frozen, Store},
};

/// Writes blocks and makes them readable.
#[derive(Debug)]
pub(crate) struct Sealer {
    pub(crate) disk: Arc<dyn Disk>,
    /// The folder of blocks.
    pub(crate) folder: PathBuf,
    pub(crate) store: Arc<Store>,
}

impl Sealer {
    /// Writes the block and puts it in the place of what is frozen.
    ///
    /// # Errors
    /// The disk refuses it: everything stays as it is.
    pub(crate) fn seal(&self, frozen: &Frozen) -> Result<(), String> {
        let Frozen { part, leaving, number, record } = frozen;
        let bytes =
            block::build(&part.memory, *number, record, &part.earlier).map_err(|error| error.to_string())?;
        block::save(&*self.disk, &self.folder, *number, &bytes).map_err(|error| error.to_string())?;
        drop(bytes);
        let block = Block::open(&self.disk, &self.folder, *number, &self.store.cache);
        let block = Arc::new(block.map_err(|error| error.to_string())?);
        let split = block.split().map_err(|error| error.to_string())?;
        let ids = block.ids().map_err(|error| error.to_string())?;
        block.look(Block::filter);

        let mut durable = self.store.write();
        // What came in meanwhile has to know of the block, as it would have if it had come later.
        let active = &mut durable.active;
        for (at, id) in (0..).zip(&ids) {
            if active.memory.trace(*id).is_some() {
                active.earlier.entry(*id).or_default().push((*number, at));
            }
        }
        durable.sealed.add(&part.memory.ledger);
        durable.sealed.sample_out(leaving.memory.spans() as u64);
        durable.add_block(block, &split);
        durable.frozen = None;
        Ok(())
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Sealed,
    /// There was nothing to seal.
    Nothing,
    Failed(String),
}

/// What is frozen, if it is to be sealed now, and who is told what became of it.
type Work = (Option<Frozen>, Vec<Sender<Outcome>>);

/// The thread of a sealer.
#[derive(Debug)]
pub(crate) struct Sealing {
    work: Option<Sender<Work>>,
    /// How much is waiting or being done.
    pending: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Sealing {
    pub(crate) fn start(sealer: Sealer, journal: Arc<Journal>) -> Result<Self, OpenError> {
        let (work, inbox) = mpsc::channel::<Work>();
        let folder = sealer.folder.clone();
        let pending = Arc::new(AtomicUsize::new(0));
        let done = Arc::clone(&pending);
        let run = move || {
            while let Ok((frozen, tell)) = inbox.recv() {
                let mut outcome = Outcome::Sealed;
                if let Some(frozen) = frozen {
                    match sealer.seal(&frozen) {
                        Ok(()) => drop(journal.remove_before(frozen.number)),
                        Err(error) => {
                            tracing::warn!(error, "a block of spans could not be sealed; it is tried again");
                            outcome = Outcome::Failed(error);
                        }
                    }
                }
                done.fetch_sub(1, Ordering::AcqRel);
                // Who asked may have gone away.
                tell.iter().for_each(|told| drop(told.send(outcome.clone())));
            }
        };
        let thread = thread::Builder::new().name("spans-seal".to_owned()).spawn(run);
        let thread =
            thread.map_err(|source| OpenError::Io { action: "start the thread of", path: folder, source })?;
        Ok(Self { work: Some(work), pending, thread: Some(thread) })
    }

    /// Whether everything is done that was begun.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 0
    }

    /// Has this sealed after what was begun before, or only tells when that is done.
    pub(crate) fn begin(&self, frozen: Option<Frozen>, tell: Vec<Sender<Outcome>>) {
        if let Some(work) = &self.work {
            self.pending.fetch_add(1, Ordering::AcqRel);
            // Nobody takes it only where the thread has panicked, which was reported there.
            let _ = work.send((frozen, tell));
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

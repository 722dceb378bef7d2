//! What goes when there is no more room, or no more time.
//!
//! Blocks go, oldest first. Before they do, a record that keeps their counters and the senders' numbers is made
//! durable; a crash between that record and the removal leaves blocks that the record already counts, which is
//! why recovery removes all blocks up to the record's number. If the record cannot be written, everything
//! stays as it is until the next attempt: with such a disk nothing is being added either.

use std::{path::PathBuf, sync::Arc, time::Duration};

use identity::Wall;
use monitoring::{Ledger, Origin};
use prost::Message;
use storage_disk::Disk;
use storage_intake::record::{LedgerRecord, OriginRecord};
use storage_journal::Journal;

use crate::{
    Settings,
    block::Block,
    record::{REMOVED, RemovedRecord},
    store::Store,
};

#[derive(Debug)]
pub(crate) struct Retention {
    journal: Arc<Journal>,
    store: Arc<Store>,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    disk_bytes: u64,
    max_age: Duration,
}

impl Retention {
    pub(crate) fn new(
        journal: Arc<Journal>,
        store: Arc<Store>,
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        settings: &Settings,
    ) -> Self {
        let Settings { disk_bytes, max_age, .. } = *settings;
        Self { journal, store, disk, folder, disk_bytes, max_age }
    }

    /// Removes what is beyond the budgets at `now`.
    pub(crate) fn enforce(&self, now: Wall, sources: impl FnOnce() -> Vec<Origin>) {
        let Some((gone, removed, sealed)) = self.due(now) else { return };
        let record = removed_record(removed, &sealed, sources());
        if self.journal.append_from_reserve(REMOVED, record.encode_to_vec()).wait().is_err() {
            return; // The journal counts and reports it.
        }
        let names: Vec<_> = gone.iter().filter_map(|block| block.look(Block::names)).collect();
        {
            let mut durable = self.store.write();
            let blocks = durable.blocks.iter().filter(|block| block.number > removed).cloned().collect();
            durable.blocks = Arc::new(blocks);
            durable.later.retain(|number, _| *number > removed);
            durable.removed = removed;
            durable.sealed.expired = sealed.expired;
            names.iter().for_each(|names| durable.directory.remove(names));
        }
        for block in &gone {
            self.store.cache.forget(block.number);
            // What stays is found and removed at the next opening.
            let _ = self.disk.remove(block.path());
        }
        let _ = self.disk.sync_folder(&self.folder);
    }

    /// The blocks that have to go, the number of the last of them, and what is counted when they are gone;
    /// `None` if nothing has to.
    fn due(&self, now: Wall) -> Option<(Vec<Arc<Block>>, u64, Ledger)> {
        let durable = self.store.read();
        let mut disk =
            self.journal.bytes() + durable.blocks.iter().map(|block| block.header.file_bytes).sum::<u64>();
        let mut sealed = durable.sealed.clone();
        let mut gone = Vec::new();
        for block in durable.blocks.iter() {
            let is_old = Wall(block.record.newest) + self.max_age < now;
            if disk <= self.disk_bytes && !is_old {
                break;
            }
            disk -= block.header.file_bytes;
            sealed.expired = sealed.expired.saturating_add(block.header.spans);
            gone.push(Arc::clone(block));
        }
        let removed = gone.last()?.number;
        Some((gone, removed, sealed))
    }
}

fn removed_record(before: u64, sealed: &Ledger, sources: Vec<Origin>) -> RemovedRecord {
    let sources = sources.iter().map(OriginRecord::from).collect();
    RemovedRecord { before, ledger: Some(LedgerRecord::from(sealed)), sources }
}

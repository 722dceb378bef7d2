//! What goes when there is no more room, or no more time.
//!
//! Segments go, oldest first, each with all that is in memory of it. Before they do, a record that keeps
//! their counters and the senders' numbers is made durable; a crash between that record and the removal
//! leaves segments that the record already counts, which is why recovery ignores all segments below the
//! record's number. If the record cannot be written, everything stays as it is until the next attempt:
//! with such a disk nothing is being added either.

use std::{sync::Arc, time::Duration};

use identity::Wall;
use monitoring::{Ledger, Origin};
use prost::Message;
use storage_intake::record::{LedgerRecord, OriginRecord};
use storage_journal::{Append, Journal};

use crate::{
    Settings,
    record::{REMOVED, RemovedRecord},
    store::{Durable, Store},
};

#[derive(Debug)]
pub(crate) struct Retention {
    journal: Arc<Journal>,
    store: Arc<Store>,
    memory_bytes: u64,
    disk_bytes: u64,
    max_age: Duration,
    /// All batches before this segment are in the index. Its own, and those of later segments, may be
    /// durable and on their way here.
    reached: u64,
}

impl Retention {
    pub(crate) fn new(journal: Arc<Journal>, store: Arc<Store>, settings: &Settings) -> Self {
        let Settings { memory_bytes, disk_bytes, max_age, .. } = *settings;
        // Recovery has added all that there was.
        let reached = journal.segments().last().map_or(0, |segment| segment.number);
        Self { journal, store, memory_bytes, disk_bytes, max_age, reached }
    }

    /// Takes note that all batches before this segment are in the index.
    pub(crate) fn reached(&mut self, segment: u64) {
        self.reached = self.reached.max(segment);
    }

    /// Begins a new segment where all that there is is too old, so that the newest one can go as well.
    pub(crate) fn end_old_segment(&self, now: Wall) -> Option<Append> {
        let newest = self.store.read().index.blocks().back()?.newest;
        (newest + self.max_age < now).then(|| self.journal.rotate())
    }

    /// Removes what is beyond the budgets at `now`.
    pub(crate) fn enforce(&self, now: Wall, sources: impl FnOnce() -> Vec<Origin>) {
        let Some((before, removed)) = self.due(now) else { return };
        let record = removed_record(before, &removed, sources());
        if self.journal.append_from_reserve(REMOVED, record.encode_to_vec()).wait().is_err() {
            return; // The journal counts and reports it.
        }
        {
            let mut durable = self.store.write();
            while durable.index.blocks().front().is_some_and(|block| block.segment < before) {
                durable.index.drop_oldest();
            }
            durable.removed = removed;
        }
        self.journal.remove_before(before);
    }

    /// The first segment that stays, and the counters of all before it; `None` if nothing has to go.
    fn due(&self, now: Wall) -> Option<(u64, Ledger)> {
        let segments = self.journal.segments();
        let durable = self.store.read();
        let mut memory = durable.index.bytes() as u64;
        let mut disk = segments.iter().map(|segment| segment.bytes).sum::<u64>();
        let mut removed = durable.removed.clone();
        let mut blocks = durable.index.blocks().iter().peekable();
        let mut before = None;
        // The newest segment is being written.
        for pair in segments.windows(2).take_while(|pair| pair[1].number <= self.reached) {
            let block = blocks.next_if(|block| block.segment == pair[0].number);
            let is_old = block.is_some_and(|block| block.newest + self.max_age < now);
            if memory <= self.memory_bytes && disk <= self.disk_bytes && !is_old {
                break;
            }
            disk -= pair[0].bytes;
            if let Some(block) = block {
                memory -= block.bytes as u64;
                expire(&mut removed, &block.ledger);
            }
            before = Some(pair[1].number);
        }
        Some((before?, removed))
    }
}

/// Adds the counters of a segment that goes.
pub(crate) fn expire(removed: &mut Ledger, gone: &Ledger) {
    removed.add(gone);
    removed.expired = removed.expired.saturating_add(gone.stored);
}

fn removed_record(before: u64, removed: &Ledger, sources: Vec<Origin>) -> RemovedRecord {
    let sources = sources.iter().map(OriginRecord::from).collect();
    RemovedRecord { before, ledger: Some(LedgerRecord::from(removed)), sources }
}

/// What recovery has to know of segments that are gone.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    /// From the last record of the kind [`REMOVED`].
    before: u64,
    ledger: Ledger,
    /// Segments that memory had no room for while they were replayed.
    skipped: Vec<(u64, Ledger)>,
}

impl Gone {
    /// Takes note of a record that says what was removed.
    pub(crate) fn note(&mut self, record: RemovedRecord) {
        self.before = record.before;
        self.ledger = record.ledger.unwrap_or_default().into();
    }

    /// Keeps memory within its budget while segments are replayed.
    pub(crate) fn make_room(&mut self, durable: &mut Durable, memory_bytes: u64) {
        while durable.index.bytes() as u64 > memory_bytes && durable.index.blocks().len() > 1 {
            if let Some(block) = durable.index.drop_oldest() {
                self.skipped.push((block.segment, block.ledger));
            }
        }
    }

    /// Settles what is gone when everything has been replayed: the counters of segments that the record
    /// covers are in it, those of others are added. Says which record is to be written for that, if any.
    pub(crate) fn settle(
        mut self,
        durable: &mut Durable,
        sources: impl Iterator<Item = Origin>,
    ) -> (u64, Option<Vec<u8>>) {
        while durable.index.blocks().front().is_some_and(|block| block.segment < self.before) {
            durable.index.drop_oldest();
        }
        self.skipped.retain(|(segment, _)| *segment >= self.before);
        for (segment, ledger) in &self.skipped {
            expire(&mut self.ledger, ledger);
            self.before = self.before.max(segment + 1);
        }
        durable.removed = self.ledger;
        let record = (!self.skipped.is_empty())
            .then(|| removed_record(self.before, &durable.removed, sources.collect()).encode_to_vec());
        (self.before, record)
    }
}

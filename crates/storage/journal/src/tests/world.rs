//! A journal on a faulty disk, with the record of what was submitted and what was acknowledged.
//!
//! A record is a number; numbers ascend in the order of submission. The state that a snapshot holds
//! is the list of all numbers so far.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use storage_disk::FaultyDisk;

use crate::{AppendError, Journal, OpenError, Origin, Position, Recovery, Settings};

pub(super) const KIND: u8 = 1;

pub(super) fn folder() -> &'static Path {
    Path::new("/data/journal")
}

/// Segments so small that a handful of records fills one.
pub(super) fn small() -> Settings {
    Settings { segment_bytes: 300, ..Settings::default() }
}

/// Segments that zeros are written ahead of after a few records.
pub(super) fn with_zeros() -> Settings {
    Settings { segment_bytes: 700, ahead_bytes: 600, ..Settings::default() }
}

/// The number, and a filler that depends on it, so that a wrong byte is seen.
pub(super) fn payload(id: u64) -> Vec<u8> {
    let mut bytes = id.to_le_bytes().to_vec();
    bytes.extend((0..id * 7 % 40).map(|index| (id + index) as u8));
    bytes
}

fn id(bytes: &[u8]) -> u64 {
    let id = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, payload(id), "record {id} was changed");
    id
}

/// Opens the journal; returns the numbers that it replayed, in order.
pub(super) fn open(
    disk: &FaultyDisk,
    settings: Settings,
) -> Result<(Journal, Recovery, Vec<u64>), OpenError> {
    let mut ids = Vec::new();
    let (journal, recovery) =
        Journal::open(Arc::new(disk.clone()), folder(), settings, &mut |_, kind, bytes| {
            assert_eq!(kind, KIND);
            ids.push(id(bytes));
            Ok(())
        })?;
    assert!(ids.is_sorted_by(|one, next| one < next), "out of order or doubled: {ids:?}");
    Ok((journal, recovery, ids))
}

/// The numbers of the records with their origins.
pub(super) fn origins(disk: &FaultyDisk, settings: Settings) -> Vec<(Origin, u64)> {
    let mut found = Vec::new();
    let disk = Arc::new(disk.clone());
    Journal::open(disk, folder(), settings, &mut |origin, _, bytes| {
        found.push((origin, id(bytes)));
        Ok(())
    })
    .unwrap();
    found
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) disk: FaultyDisk,
    pub(super) journal: Option<Journal>,
    pub(super) settings: Settings,
    next_id: u64,
    /// The numbers of a batch, which count together.
    batches: Vec<Vec<u64>>,
    /// Must be there after everything that may happen.
    pub(super) durable: BTreeSet<u64>,
    /// What the journal's owner knows.
    pub(super) state: Vec<u64>,
}

impl World {
    pub(super) fn new(seed: u64, settings: Settings) -> World {
        World {
            disk: FaultyDisk::new(seed),
            journal: None,
            settings,
            next_id: 1,
            batches: Vec::new(),
            durable: BTreeSet::new(),
            state: Vec::new(),
        }
    }

    /// Opens the journal, which must not find damage, and checks what it replays.
    pub(super) fn open(&mut self) -> bool {
        self.journal = None;
        let opened = open(&self.disk, self.settings.clone());
        let (journal, recovery, ids) = match opened {
            Ok(opened) => opened,
            Err(OpenError::Io { .. }) => return false,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(recovery.damaged, []);
        let found: BTreeSet<u64> = ids.iter().copied().collect();
        assert!(found.is_superset(&self.durable), "lost {:?}", self.durable.difference(&found));
        assert!(ids.iter().all(|id| *id < self.next_id), "never submitted: {ids:?}");
        for batch in &self.batches {
            let there = batch.iter().filter(|id| found.contains(id)).count();
            assert!(there == 0 || there == batch.len(), "half of {batch:?} in {ids:?}");
        }
        // What the owner was told is there must stay there, unless the disk failed to save it anew.
        if journal.stats().failures == 0 {
            self.durable = found;
        }
        self.state = ids;
        self.journal = Some(journal);
        true
    }

    pub(super) fn append(&mut self, count: u64) -> Result<Position, AppendError> {
        let ids: Vec<u64> = (self.next_id..self.next_id + count).collect();
        self.next_id += count;
        self.batches.push(ids.clone());
        let records: Vec<(u8, Vec<u8>)> = ids.iter().map(|id| (KIND, payload(*id))).collect();
        let Some(journal) = &self.journal else { return Err(AppendError::Closed) };
        let position = journal.append_all(&records).wait()?;
        self.state.extend(&ids);
        self.durable.extend(&ids);
        Ok(position)
    }

    pub(super) fn snapshot(&mut self) -> bool {
        let Some(journal) = &self.journal else { return false };
        let Ok(mut snapshot) = journal.begin_snapshot() else { return false };
        self.state.iter().all(|id| snapshot.write(KIND, &payload(*id)).is_ok()) && snapshot.finish().is_ok()
    }

    /// The machine loses power.
    pub(super) fn crash(&mut self) {
        self.disk = self.disk.crash();
        self.journal = None;
    }

    /// The process is killed.
    pub(super) fn kill(&mut self) {
        self.disk = self.disk.kill();
        self.journal = None;
    }

    pub(super) fn journal(&self) -> &Journal {
        self.journal.as_ref().unwrap()
    }
}

use std::{path::Path, sync::Arc};

use storage_disk::{Fault, FaultyDisk};

use super::{FOLDER, batch, open, open_with, seconds, settings, snapshotting};
use crate::{AcceptError, Samples, Settings};

const BATCHES: u64 = 12;

/// Sends all batches, each until it is taken in or has failed `attempts` times, and says which were.
fn send_all(store: &Samples, attempts: usize) -> Vec<u64> {
    let is_taken_in = |sequence: &u64| (0..attempts).any(|_| store.accept(batch(*sequence)).wait().is_ok());
    (0..BATCHES).filter(is_taken_in).collect()
}

/// What must hold after any crash: the ledger balances, everything acknowledged is there, once and
/// whole, and sending it again changes nothing.
fn check(disk: &FaultyDisk, acknowledged: &[u64], settings: Settings, what: &str) {
    let (store, recovery) = Samples::open(Arc::new(disk.clone()), Path::new(FOLDER), settings).unwrap();
    assert!(recovery.damaged.is_empty(), "{what}: {recovery:?}");
    let ledger = store.ledger();
    assert!(ledger.balances(), "{what}: {ledger:?}");
    assert_eq!(ledger.received % 3, 0, "{what}: {ledger:?}");
    let batches = ledger.received / 3;
    assert!(batches >= acknowledged.len() as u64 && batches <= BATCHES, "{what}: {ledger:?}");

    let rows = super::red(&store, seconds(BATCHES));
    let calls =
        |service: &str| rows.iter().find(|row| row.service.as_ref() == service).map_or(0, |row| row.calls);
    assert_eq!(calls("shop"), 9 * batches, "{what}");
    for sequence in acknowledged {
        assert_eq!(calls(&format!("service-{sequence}")), 1, "{what}: {sequence}");
        assert!(store.accept(batch(*sequence)).wait().unwrap().is_duplicate, "{what}: {sequence}");
    }
    assert_eq!(store.ledger(), ledger, "{what}");
}

fn operations_of(settings: &Settings) -> u64 {
    let disk = FaultyDisk::new(0);
    let store = open_with(&disk, settings.clone());
    assert_eq!(send_all(&store, 1).len() as u64, BATCHES);
    drop(store);
    let opened = Samples::open(Arc::new(disk.clone()), Path::new(FOLDER), settings.clone()).unwrap();
    let is_snapshotting = settings.snapshot_after_bytes < 1 << 20;
    assert_eq!(opened.1.snapshot_records > 0, is_snapshotting, "snapshots are taken where they should be");
    disk.operations()
}

#[test]
fn a_crash_at_any_operation_loses_nothing_acknowledged_and_no_count() {
    for settings in [settings(), snapshotting()] {
        for operation in 0..=operations_of(&settings) {
            for seed in 0..3 {
                let disk = FaultyDisk::new(seed);
                disk.fail(operation.., Fault::Crash);
                let opened = Samples::open(Arc::new(disk.clone()), Path::new(FOLDER), settings.clone());
                let acknowledged = opened.map_or(vec![], |(store, _)| send_all(&store, 1));
                let what = format!("crash at {operation} with seed {seed}");
                check(&disk.crash(), &acknowledged, settings.clone(), &what);
            }
        }
    }
}

#[test]
fn a_fault_at_any_operation_heals_and_loses_nothing_acknowledged() {
    for settings in [settings(), snapshotting()] {
        for operation in 0..=operations_of(&settings) {
            for fault in [Fault::Error, Fault::NoSpace, Fault::Short, Fault::Torn] {
                let disk = FaultyDisk::new(operation);
                disk.fail(operation..=operation, fault);
                let what = format!("{fault:?} at {operation}");
                let opened = Samples::open(Arc::new(disk.clone()), Path::new(FOLDER), settings.clone());
                let Ok((store, _)) = opened else { continue };
                let all = send_all(&store, 3);
                assert_eq!(all.len() as u64, BATCHES, "{what}");
                assert_eq!(store.ledger().received, 3 * BATCHES, "{what}");
                drop(store);
                check(&disk.crash(), &all, settings.clone(), &what);
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_by_name_keeps_reading_and_heals() {
    let disk = FaultyDisk::new(1);
    let store = open(&disk);
    store.accept(batch(0)).wait().unwrap();
    disk.set_room(Some(disk.used_bytes() + 10));
    let error = store.accept(batch(1)).wait().unwrap_err();
    assert!(matches!(error, AcceptError::Full(_)) && error.is_temporary(), "{error}");
    assert_eq!(store.totals().len(), 2);
    assert_eq!(store.ledger().received, 3, "what was refused was not received");
    disk.set_room(None);
    store.accept(batch(1)).wait().unwrap();
    assert_eq!(store.ledger().received, 6);
}

#[test]
fn a_damaged_segment_is_reported_and_costs_nothing_else() {
    let disk = FaultyDisk::new(1);
    let store = open(&disk);
    for sequence in 0..BATCHES {
        store.accept(batch(sequence)).wait().unwrap();
    }
    drop(store);
    let (segment, bytes) = disk.files().into_iter().max_by_key(|(_, bytes)| *bytes).unwrap();
    assert!(disk.flip(&segment, 8 * (bytes / 2)));
    let (store, recovery) = Samples::open(Arc::new(disk), Path::new(FOLDER), settings()).unwrap();
    assert_eq!(recovery.damaged.len(), 1);
    let ledger = store.ledger();
    assert!(ledger.balances() && ledger.received > 0 && ledger.received < 3 * BATCHES, "{ledger:?}");
    assert!(store.accept(batch(BATCHES)).wait().is_ok());
}

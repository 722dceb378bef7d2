use std::{path::Path, sync::Arc};

use identity::Wall;
use monitoring::Ledger;
use storage_disk::{Fault, FaultyDisk};

use super::{FOLDER, batch, open, open_with, settings, trace_id};
use crate::{AcceptError, Settings, Spans};

const BATCHES: u64 = 12;

/// Small enough that the batches fill several segments and the first of them have to go.
fn tight() -> Settings {
    Settings { disk_bytes: 2_500, ..settings() }
}

/// Sends all batches, each once, and says which were acknowledged.
fn send_all(store: &Spans) -> Vec<u64> {
    (0..BATCHES).filter(|sequence| store.accept(batch(*sequence)).wait().is_ok()).collect()
}

/// What must hold after any crash: the ledger balances, everything acknowledged is there or expired,
/// nothing is there in part, and sending everything again counts nothing twice.
fn check(disk: &FaultyDisk, acknowledged: &[u64], settings: Settings, what: &str) {
    let (store, recovery) = Spans::open(Arc::new(disk.clone()), Path::new(FOLDER), settings).unwrap();
    assert!(recovery.damaged.is_empty(), "{what}: {recovery:?}");
    let ledger = store.ledger();
    assert!(ledger.balances(), "{what}: {ledger:?}");
    let there: Vec<u64> =
        (0..BATCHES).filter(|sequence| store.trace(trace_id(u128::from(sequence + 1))).is_some()).collect();
    for sequence in &there {
        assert_eq!(store.trace(trace_id(u128::from(sequence + 1))).unwrap().len(), 3, "{what}");
    }
    assert_eq!(ledger.stored - ledger.expired, 3 * there.len() as u64, "{what}: {ledger:?}");
    assert!(ledger.stored >= 3 * acknowledged.len() as u64, "{what}: {ledger:?}, {acknowledged:?}");
    assert!(ledger.stored <= 3 * BATCHES, "{what}: {ledger:?}");
    if ledger.expired == 0 {
        let missing: Vec<_> = acknowledged.iter().filter(|sequence| !there.contains(sequence)).collect();
        assert!(missing.is_empty(), "{what}: {missing:?} are gone");
    }
    for sequence in acknowledged {
        assert!(store.accept(batch(*sequence)).wait().unwrap().is_duplicate, "{what}: {sequence}");
    }
    assert_eq!(store.ledger().received, ledger.received, "{what}");
}

fn operations_of(settings: &Settings) -> u64 {
    let disk = FaultyDisk::new(0);
    let store = open_with(&disk, settings.clone());
    assert_eq!(send_all(&store).len() as u64, BATCHES);
    drop(store);
    let operations = disk.operations();
    let is_tight = settings.disk_bytes < 1 << 20;
    assert_eq!(
        open_with(&disk, settings.clone()).ledger().expired > 0,
        is_tight,
        "segments go in the tight case"
    );
    operations
}

#[test]
fn a_crash_at_any_operation_loses_nothing_acknowledged_and_no_count() {
    for settings in [settings(), tight()] {
        for operation in 0..=operations_of(&settings) {
            for seed in 0..3 {
                let disk = FaultyDisk::new(seed);
                disk.fail(operation.., Fault::Crash);
                let opened = Spans::open(Arc::new(disk.clone()), Path::new(FOLDER), settings.clone());
                let acknowledged = opened.map_or(vec![], |(store, _)| send_all(&store));
                let what = format!("crash at {operation} with seed {seed}");
                check(&disk.crash(), &acknowledged, settings.clone(), &what);
            }
        }
    }
}

#[test]
fn a_fault_at_any_operation_heals_and_loses_nothing_acknowledged() {
    for settings in [settings(), tight()] {
        for operation in 0..=operations_of(&settings) {
            for fault in [Fault::Error, Fault::NoSpace, Fault::Short, Fault::Torn] {
                let disk = FaultyDisk::new(operation);
                disk.fail(operation..=operation, fault);
                let what = format!("{fault:?} at {operation}");
                let opened = Spans::open(Arc::new(disk.clone()), Path::new(FOLDER), settings.clone());
                let Ok((store, _)) = opened else { continue };
                // Sent again until it is taken in, as a sender does; a record of which the first answer
                // was an error may be in the journal twice now.
                for sequence in 0..BATCHES {
                    let accepted = (0..3).find(|_| store.accept(batch(sequence)).wait().is_ok());
                    assert!(accepted.is_some(), "{what}: {sequence} is never taken in");
                }
                let ledger = store.ledger();
                assert!(ledger.balances() && ledger.stored == 3 * BATCHES, "{what}: {ledger:?}");
                let all: Vec<u64> = (0..BATCHES).collect();
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
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(store.trace(trace_id(1)).map(|spans| spans.len()), Some(3));
    assert_eq!(store.ledger().received, 5, "what was refused was not received");
    disk.set_room(None);
    store.accept(batch(1)).wait().unwrap();
    assert_eq!(store.ledger().received, 10);
}

#[test]
fn the_reserve_is_left_to_others() {
    let disk = FaultyDisk::new(1);
    let store = open_with(&disk, Settings { reserve_bytes: 1 << 20, ..settings() });
    store.accept(batch(0)).wait().unwrap();
    disk.set_room(Some(disk.used_bytes() + (1 << 19)));
    assert!(matches!(store.accept(batch(1)).wait(), Err(AcceptError::Full(_))));
    disk.set_room(None);
    assert!(store.accept(batch(1)).wait().is_ok());
}

#[test]
fn room_is_made_also_where_only_the_reserve_is_left() {
    let disk = FaultyDisk::new(1);
    let max_age = std::time::Duration::from_secs(60);
    let store = open_with(&disk, Settings { reserve_bytes: 5_000, max_age, ..settings() });
    store.accept(batch(0)).wait().unwrap();
    disk.set_room(Some(disk.used_bytes() + 4_000));
    assert!(matches!(store.accept(batch(1)).wait(), Err(AcceptError::Full(_))));
    store.advance(Wall(0) + max_age * 1_000);
    // It goes when the newest segment has ended, which comes after what was sent meanwhile.
    let is_gone = |_| {
        std::thread::yield_now();
        store.ledger().expired > 0
    };
    assert!((0..1_000_000).any(is_gone));
    let ledger = store.ledger();
    assert!(ledger.balances(), "{ledger:?}");
}

#[test]
fn a_damaged_segment_costs_its_own_spans_and_says_so() {
    let disk = FaultyDisk::new(1);
    let small = Settings { disk_bytes: 100_000, memory_bytes: 400_000, ..settings() };
    let store = open_with(&disk, small.clone());
    for sequence in 0..50 {
        store.accept(batch(sequence)).wait().unwrap();
    }
    assert!(store.stats().segments > 2);
    let whole = store.ledger();
    drop(store);
    let first = disk
        .files()
        .into_iter()
        .map(|(path, _)| path)
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains('1')));
    let first = first.unwrap();
    assert!(disk.flip(&first, 8 * 200), "{first:?}");
    let (store, recovery) = Spans::open(Arc::new(disk), Path::new(FOLDER), small).unwrap();
    assert_eq!(recovery.damaged.len(), 1);
    assert_eq!(store.stats().journal.damaged_segments, 1);
    let ledger: Ledger = store.ledger();
    assert!(ledger.balances() && ledger.stored < whole.stored && ledger.stored > 0);
    assert!(store.trace(trace_id(50)).is_some());
    assert!(store.accept(batch(50)).wait().is_ok());
}

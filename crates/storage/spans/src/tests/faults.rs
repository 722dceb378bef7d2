use std::{path::Path, sync::Arc};

use identity::Wall;
use monitoring::Ledger;
use storage_disk::{Fault, FaultyDisk};

use super::{FOLDER, batch, open, open_with, plain, settings, trace_id};
use crate::{AcceptError, Query, Settings, Spans};

const BATCHES: u64 = 12;

/// So little that the batches fill several blocks and the first of them have to go.
fn tight() -> Settings {
    Settings { disk_bytes: 20_000, ..settings() }
}

/// Sends a batch, and seals after every fourth where there is little room, whether the disk lets it or not.
fn send(store: &Spans, settings: &Settings, sequence: u64) -> bool {
    let is_ok = store.accept(batch(sequence)).wait().is_ok();
    if settings.disk_bytes < 1 << 20 && sequence % 4 == 3 {
        let _ = store.seal();
    }
    is_ok
}

/// Sends all batches, each once, and says which were acknowledged.
fn send_all(store: &Spans, settings: &Settings) -> Vec<u64> {
    (0..BATCHES).filter(|sequence| send(store, settings, *sequence)).collect()
}

/// What must hold after any crash: the ledger balances, everything acknowledged is there or expired,
/// nothing is there in part, and sending everything again counts nothing twice.
fn check(disk: &FaultyDisk, acknowledged: &[u64], settings: Settings, what: &str) {
    let (store, recovery) = Spans::open(Arc::new(disk.clone()), Path::new(FOLDER), settings).unwrap();
    assert!(recovery.damaged.is_empty(), "{what}: {recovery:?}");
    // Answered after the budgets are kept, so that nothing goes while it is looked at.
    store.accept(plain(vec![])).wait().unwrap();
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
    assert_eq!(send_all(&store, settings).len() as u64, BATCHES);
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
                let acknowledged = opened.map_or(vec![], |(store, _)| send_all(&store, &settings));
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
                    let accepted = (0..3).find(|_| send(&store, &settings, sequence));
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
    let store = open_with(&disk, Settings { reserve_bytes: 50_000, max_age, ..settings() });
    store.accept(batch(0)).wait().unwrap();
    disk.set_room(Some(disk.used_bytes() + 40_000));
    assert!(matches!(store.accept(batch(1)).wait(), Err(AcceptError::Full(_))));
    // It is sealed, and then goes.
    let is_gone = |_| {
        store.advance(Wall(0) + max_age * 1_000);
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
    let small = Settings { disk_bytes: 40_000, ..settings() };
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

/// Twelve batches in three blocks, and where the files of the blocks are.
fn sealed(disk: &FaultyDisk) -> Vec<std::path::PathBuf> {
    let store = open(disk);
    for sequence in 0..BATCHES {
        store.accept(batch(sequence)).wait().unwrap();
        if sequence % 4 == 3 {
            store.seal().unwrap();
        }
    }
    assert_eq!(store.stats().blocks, 3);
    store.blocks()
}

#[test]
fn a_block_with_a_wrong_bit_anywhere_is_left_out_and_never_wrong() {
    let origin = FaultyDisk::new(1);
    let files = sealed(&origin);
    let whole = open(&origin.copy());
    let (ledger, query) = (whole.ledger(), Query { text: Some("orders".into()), ..Query::default() });
    let (found, first) = (whole.search(&query), whole.trace(trace_id(5)));
    let length = origin.files().iter().find(|(path, _)| *path == files[1]).unwrap().1;
    for at in (0..length).step_by(37).chain(0..600).chain(length - 60..length) {
        let disk = origin.copy();
        disk.flip(&files[1], at * 8 + at % 8);
        let (store, recovery) = Spans::open(Arc::new(disk), Path::new(FOLDER), settings()).unwrap();
        assert_eq!(store.ledger(), ledger, "byte {at}");
        // What is found is right, or nothing.
        let (again, trace) = (store.search(&query), store.trace(trace_id(5)));
        let is_left_out = !recovery.damaged.is_empty() || store.stats().damaged_blocks > 0;
        assert!(trace == first || (trace.is_none() && is_left_out), "byte {at}");
        for summary in &again.traces {
            assert!(found.traces.contains(summary), "byte {at}");
        }
        assert!(again.traces.len() == 12 || (again.traces.len() == 8 && is_left_out), "byte {at}");
        assert_eq!(store.trace(trace_id(1)).map(|spans| spans.len()), Some(3), "the others are served");
        assert!((0..BATCHES).all(|sequence| store.accept(batch(sequence)).wait().unwrap().is_duplicate));
    }
}

#[test]
fn a_block_that_is_cut_short_is_left_out() {
    let origin = FaultyDisk::new(1);
    let files = sealed(&origin);
    let length = origin.files().iter().find(|(path, _)| *path == files[2]).unwrap().1;
    for cut in [0, 1, 300, 4_352, length / 2, length - 1] {
        let disk = origin.copy();
        disk.cut(&files[2], cut);
        let (store, recovery) = Spans::open(Arc::new(disk), Path::new(FOLDER), settings()).unwrap();
        assert_eq!((recovery.damaged.len(), store.stats().damaged_blocks, store.stats().blocks), (1, 1, 2));
        assert!(store.trace(trace_id(12)).is_none() && store.trace(trace_id(1)).is_some());
        assert!(store.ledger().balances());
        store.accept(plain(vec![])).wait().unwrap();
    }
}

#[test]
fn a_block_that_is_lost_does_not_bring_its_numbers_back() {
    let disk = FaultyDisk::new(1);
    let files = sealed(&disk);
    let ledger = open(&disk.copy()).ledger();
    storage_disk::Disk::remove(&disk, &files[0]).unwrap();
    let store = open(&disk);
    assert_eq!(store.ledger(), ledger, "the newest block knows what was counted");
    assert_eq!(store.stats().spans, 24);
}

#[test]
fn a_crash_while_a_block_is_made_loses_and_doubles_nothing_also_of_batches_without_numbers() {
    for is_killed in [false, true] {
        for after in 0..30 {
            let disk = FaultyDisk::new(after);
            let store = open(&disk);
            for trace in 1..=4 {
                let spans = (1..=3).map(|id| super::span(trace, id, "shop", "op")).collect();
                store.accept(plain(spans)).wait().unwrap();
            }
            disk.fail(disk.operations() + after.., Fault::Crash);
            let _ = store.seal();
            let disk = if is_killed { disk.kill() } else { disk.crash() };
            drop(store);
            // What a first restart makes of it survives a loss of power as well.
            for disk in [disk.copy(), {
                drop(open(&disk));
                disk.crash()
            }] {
                let store = open(&disk);
                let what = format!("crash {after} operations later, killed: {is_killed}");
                assert_eq!((store.stats().spans, store.ledger().stored), (12, 12), "{what}");
                assert!((1..=4).all(|trace| store.trace(trace_id(trace)).unwrap().len() == 3), "{what}");
            }
        }
    }
}

use std::{path::Path, sync::Arc, time::Duration};

use identity::Wall;
use storage_disk::FaultyDisk;
use storage_journal::Journal;

use super::{FOLDER, batch, open_with, settings, trace_id};
use crate::{Settings, Spans, record, retention::Retention};

const BATCHES: u64 = 200;

fn fill(store: &Spans) {
    for sequence in 0..BATCHES {
        store.accept(batch(sequence)).wait().unwrap();
    }
}

/// What must hold however much has gone: the newest is there, the oldest is not, every span is somewhere.
fn check(store: &Spans) {
    let (ledger, stats) = (store.ledger(), store.stats());
    assert!(ledger.balances() && ledger.expired > 0, "{ledger:?}");
    assert_eq!(ledger.received, 5 * BATCHES);
    assert_eq!(ledger.stored - ledger.expired, stats.spans, "{ledger:?} {stats:?}");
    assert!(store.trace(trace_id(1)).is_none());
    assert!(store.trace(trace_id(u128::from(BATCHES))).is_some());
    let found = store.search(&crate::Query { limit: 1_000, ..Default::default() }).traces;
    assert_eq!(found.len() as u64, stats.traces, "what is gone is not found either");
    assert_eq!(store.operations("default", "shop")[0].spans, stats.spans);
}

fn check_across_a_restart(store: Spans, disk: &FaultyDisk, settings: Settings) {
    check(&store);
    let ledger = store.ledger();
    assert!(store.accept(batch(0)).wait().unwrap().is_duplicate, "though its record is gone");
    drop(store);
    let again = open_with(disk, settings);
    check(&again);
    assert_eq!(again.ledger(), ledger);
    assert!(again.accept(batch(0)).wait().unwrap().is_duplicate, "though its record is gone");
}

#[test]
fn the_oldest_goes_when_memory_runs_out() {
    let disk = FaultyDisk::new(1);
    let tight = Settings { memory_bytes: 100_000, ..settings() };
    let store = open_with(&disk, tight.clone());
    fill(&store);
    let limit = 100_000 + 20_000;
    assert!(store.stats().memory_bytes <= limit, "{:?}", store.stats());
    check_across_a_restart(store, &disk, tight);
}

#[test]
fn the_oldest_goes_when_the_disk_budget_is_used_up() {
    let disk = FaultyDisk::new(1);
    let tight = Settings { disk_bytes: 20_000, ..settings() };
    let store = open_with(&disk, tight.clone());
    fill(&store);
    assert!(store.stats().disk_bytes <= 20_000 + 5_000, "{:?}", store.stats());
    check_across_a_restart(store, &disk, tight);
}

#[test]
fn what_is_too_old_goes_by_whole_segments() {
    let disk = FaultyDisk::new(1);
    let aging = Settings { disk_bytes: 100_000, max_age: Duration::from_nanos(50), ..settings() };
    let store = open_with(&disk, Settings { max_age: Duration::MAX, ..aging.clone() });
    fill(&store);
    assert_eq!(store.ledger().expired, 0);
    drop(store);
    let store = open_with(&disk, aging.clone());
    store.advance(Wall(BATCHES));
    // Answered after what came before it is done.
    store.accept(super::plain(vec![])).wait().unwrap();
    let first =
        (0..BATCHES).find(|sequence| store.trace(trace_id(u128::from(sequence + 1))).is_some()).unwrap();
    assert!((1..BATCHES - 50).contains(&first), "nothing younger than 50 is gone, first is {first}");
    check_across_a_restart(store, &disk, aging);
}

#[test]
fn what_is_too_old_goes_also_where_nothing_newer_comes() {
    let disk = FaultyDisk::new(1);
    let aging = Settings { max_age: Duration::from_nanos(50), ..settings() };
    let store = open_with(&disk, aging.clone());
    fill(&store);
    assert_eq!((store.stats().segments, store.ledger().expired), (1, 0));
    store.advance(Wall(BATCHES + 51));
    let is_gone = |_| {
        std::thread::yield_now();
        store.stats().spans == 0
    };
    assert!((0..1_000_000).any(is_gone));
    let ledger = store.ledger();
    assert!(ledger.balances() && ledger.expired == ledger.stored, "{ledger:?}");
    drop(store);
    let again = open_with(&disk, aging);
    assert_eq!((again.ledger(), again.stats().traces), (ledger, 0));
    assert!(again.accept(batch(0)).wait().unwrap().is_duplicate, "though its record is gone");
}

#[test]
fn replaying_more_than_memory_holds_keeps_the_newest() {
    let disk = FaultyDisk::new(1);
    // Segments are as small as they will be, so that there are many.
    let store = open_with(&disk, Settings { disk_bytes: 80_000, ..settings() });
    fill(&store);
    let before = store.ledger();
    drop(store);
    let tight = Settings { disk_bytes: 80_000, memory_bytes: 60_000, ..settings() };
    let store = open_with(&disk, tight.clone());
    assert!(store.stats().memory_bytes <= 60_000);
    assert_eq!(store.ledger().stored, before.stored);
    check_across_a_restart(store, &disk, tight);
}

#[test]
fn many_senders_at_once_lose_no_count_while_segments_go() {
    const SENDERS: u64 = 8;
    let disk = FaultyDisk::new(1);
    let tight = Settings { disk_bytes: 20_000, ..settings() };
    let store = open_with(&disk, tight.clone());
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let store = &store;
            scope.spawn(move || {
                for sequence in 0..50 {
                    let mut batch = batch(sequence);
                    batch.origin.as_mut().unwrap().source = format!("proxy-{sender}").into();
                    store.accept(batch).wait().unwrap();
                }
            });
        }
    });
    let ledger = store.ledger();
    assert!(ledger.balances() && ledger.expired > 0, "{ledger:?}");
    assert_eq!((ledger.received, ledger.stored), (SENDERS * 50 * 5, SENDERS * 50 * 3));
    assert_eq!(ledger.stored - ledger.expired, store.stats().spans);
    drop(store);
    let again = open_with(&disk, tight);
    assert_eq!(again.ledger(), ledger);
    assert_eq!(ledger.stored - ledger.expired, again.stats().spans);
}

#[test]
fn segments_with_batches_on_their_way_to_the_index_stay() {
    let tight = Settings { disk_bytes: 5_000, ..settings() };
    let disk = Arc::new(FaultyDisk::new(1));
    let opened = Journal::open(disk, Path::new(FOLDER), tight.journal(), &mut |_, _, _| Ok(()));
    let journal = Arc::new(opened.unwrap().0);
    let mut retention = Retention::new(Arc::clone(&journal), Arc::default(), &tight);
    for _ in 0..100 {
        journal.append(record::BATCH, [0; 200]).wait().unwrap();
    }
    let segments = journal.segments();
    retention.enforce(Wall(1), Vec::new);
    assert_eq!(journal.segments(), segments);
    retention.reached(segments[segments.len() / 2].number);
    retention.enforce(Wall(1), Vec::new);
    assert_eq!(journal.segments()[0], segments[segments.len() / 2]);
}

use std::time::Duration;

use identity::Wall;
use storage_disk::FaultyDisk;

use super::{batch, open_with, plain, settings, span, trace_id};
use crate::{AcceptError, Batch, Query, Settings, Spans};

const BATCHES: u64 = 200;

/// Sends a batch until it is taken in, as a sender does while sealing is behind.
fn send(store: &Spans, batch: &Batch) {
    loop {
        match store.accept(batch.clone()).wait() {
            Ok(_) => return,
            Err(AcceptError::Busy) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn fill(store: &Spans) {
    for sequence in 0..BATCHES {
        send(store, &batch(sequence));
        // As many blocks on a slow machine as on a fast one.
        if sequence % 10 == 9 {
            store.seal().unwrap();
        }
    }
    settle(store);
}

/// Waits until everything is sealed and the budgets are kept.
fn settle(store: &Spans) {
    store.seal().unwrap();
    send(store, &plain(vec![]));
}

/// Blocks of ten batches.
fn small() -> Settings {
    Settings { block_spans: 30, ..settings() }
}

/// What must hold however much has gone: the newest is there, the oldest is not, every span is somewhere.
fn check(store: &Spans) {
    let (ledger, stats) = (store.ledger(), store.stats());
    assert!(ledger.balances() && ledger.expired > 0, "{ledger:?}");
    assert_eq!(ledger.received, 5 * BATCHES);
    assert_eq!(ledger.stored - ledger.expired, stats.spans, "{ledger:?} {stats:?}");
    assert!(store.trace(trace_id(1)).is_none());
    assert!(store.trace(trace_id(u128::from(BATCHES))).is_some());
    let found = store.search(&Query { limit: 1_000, ..Default::default() }).traces;
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
fn memory_stays_within_its_budget_however_much_is_stored() {
    let disk = FaultyDisk::new(1);
    let tight = Settings { memory_bytes: 60_000, ..settings() };
    let store = open_with(&disk, tight.clone());
    for sequence in 0..3 * BATCHES {
        send(&store, &batch(sequence));
        assert!(store.stats().memory_bytes <= 60_000, "{:?}", store.stats());
    }
    settle(&store);
    let (stats, ledger) = (store.stats(), store.ledger());
    assert!(stats.blocks > 10 && stats.memory_bytes <= 60_000, "{stats:?}");
    assert_eq!((ledger.expired, stats.spans), (0, 9 * BATCHES));
    for trace in (1..=u128::from(3 * BATCHES)).step_by(97) {
        assert_eq!(store.trace(trace_id(trace)).map(|spans| spans.len()), Some(3));
    }
    assert!(store.stats().memory_bytes <= 60_000, "{:?}", store.stats());
    drop(store);
    let again = open_with(&disk, tight);
    assert!(again.stats().memory_bytes <= 60_000, "{:?}", again.stats());
    assert_eq!(again.stats().spans, 9 * BATCHES);
}

#[test]
fn the_oldest_goes_when_the_disk_budget_is_used_up() {
    let disk = FaultyDisk::new(1);
    let tight = Settings { disk_bytes: 100_000, ..small() };
    let store = open_with(&disk, tight.clone());
    fill(&store);
    assert!(store.stats().disk_bytes <= 100_000, "{:?}", store.stats());
    assert!(disk.used_bytes() <= 100_000 + 5_000, "{}", disk.used_bytes());
    check_across_a_restart(store, &disk, tight);
}

#[test]
fn what_is_too_old_goes_by_whole_blocks() {
    let disk = FaultyDisk::new(1);
    let aging = Settings { max_age: Duration::from_nanos(50), ..small() };
    let store = open_with(&disk, Settings { max_age: Duration::MAX, ..aging.clone() });
    fill(&store);
    assert_eq!(store.ledger().expired, 0);
    drop(store);
    let store = open_with(&disk, aging.clone());
    store.advance(Wall(BATCHES));
    // Answered after what came before it is done.
    store.accept(plain(vec![])).wait().unwrap();
    let first =
        (0..BATCHES).find(|sequence| store.trace(trace_id(u128::from(sequence + 1))).is_some()).unwrap();
    assert!((1..BATCHES - 50).contains(&first), "nothing younger than 50 is gone, first is {first}");
    check_across_a_restart(store, &disk, aging);
}

#[test]
fn what_is_too_old_goes_also_where_nothing_newer_comes() {
    let disk = FaultyDisk::new(1);
    let aging = Settings { max_age: Duration::from_secs(50), ..settings() };
    let store = open_with(&disk, aging.clone());
    for sequence in 0..BATCHES {
        send(&store, &batch(sequence));
    }
    assert_eq!((store.stats().blocks, store.ledger().expired), (0, 0));
    // Old enough to be sealed, and then to go.
    let is_gone = |_| {
        store.advance(Wall(BATCHES) + Duration::from_secs(51));
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
    assert!(again.services().is_empty() && again.attribute_keys().is_empty());
}

#[test]
fn a_journal_with_more_than_memory_holds_is_sealed_while_it_is_read() {
    let disk = FaultyDisk::new(1);
    // Segments are as small as they will be, so that there are many.
    let store = open_with(&disk, Settings { disk_bytes: 200_000, ..settings() });
    for sequence in 0..BATCHES {
        send(&store, &batch(sequence));
    }
    assert_eq!(store.stats().blocks, 0);
    let before = store.ledger();
    drop(store);
    let tight = Settings { memory_bytes: 120_000, ..settings() };
    let store = open_with(&disk.kill(), tight);
    assert!(store.stats().blocks > 1, "{:?}", store.stats());
    assert!(store.stats().memory_bytes <= 120_000, "{:?}", store.stats());
    assert_eq!(store.ledger(), before);
    assert_eq!(store.stats().spans, 3 * BATCHES);
    assert!((0..BATCHES).all(|sequence| store.accept(batch(sequence)).wait().unwrap().is_duplicate));
}

#[test]
fn many_senders_at_once_lose_no_count_while_blocks_go() {
    const SENDERS: u64 = 8;
    let disk = FaultyDisk::new(1);
    let tight = Settings { disk_bytes: 60_000, ..small() };
    let store = open_with(&disk, tight.clone());
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let store = &store;
            scope.spawn(move || {
                for sequence in 0..50 {
                    let mut batch = batch(sequence);
                    batch.origin.as_mut().unwrap().source = format!("proxy-{sender}").into();
                    send(store, &batch);
                }
            });
        }
    });
    settle(&store);
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
fn keys_and_operations_come_and_go_with_their_blocks() {
    let disk = FaultyDisk::new(1);
    let store = open_with(&disk, settings());
    let mut typed = span(1, 1, "shop", "op");
    typed.attributes.push("size", 643);
    typed.attributes.push("size.exact", 643.0);
    let mut text = typed.clone();
    text.attributes.set("size", "large");
    store.accept(plain(vec![typed.clone(), text, typed])).wait().unwrap();
    let keys = |store: &Spans| -> Vec<String> {
        let types = |key: &crate::AttributeKey| {
            let types = key.types.iter().map(|(kind, count)| format!("{}={count}", kind.as_str()));
            format!("{}: {}", key.key, types.collect::<Vec<_>>().join(" "))
        };
        store.attribute_keys().iter().map(types).collect()
    };
    let expected = ["size: int=2 text=1", "size.exact: double=3"];
    assert_eq!(keys(&store), expected);
    store.seal().unwrap();
    assert_eq!(keys(&store), expected);
    drop(store);
    assert_eq!(keys(&open_with(&disk, settings())), expected);
}

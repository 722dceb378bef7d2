use std::{path::Path, sync::Arc, time::Duration};

use identity::Wall;
use monitoring::{Ledger, Origin};
use storage_disk::{Fault, FaultyDisk};
use traces::{
    StatusCode,
    sampling::{Ratio, TailPolicy},
};

use super::{FOLDER, open, open_with, settings, span, trace_id};
use crate::{Batch, Query, Settings, Spans};

const BATCHES: u64 = 12;

/// Keeps nothing but failures, and takes a trace for over when nothing has come for three nanoseconds.
fn failures() -> Settings {
    let tail = TailPolicy {
        errors_per_second: 1_000_000,
        rare_below: 0,
        ratio: Ratio::NONE,
        quiet: Duration::from_nanos(3),
        longest: Duration::from_nanos(20),
        ..TailPolicy::default()
    };
    Settings { tail: Some(tail), ..settings() }
}

/// Fails in every third.
fn fails(sequence: u64) -> bool {
    sequence.is_multiple_of(3)
}

/// One trace of three spans, received a nanosecond after the one before.
fn batch(sequence: u64) -> Batch {
    let mut spans: Vec<_> =
        (1..=3).map(|id| span(u128::from(sequence) + 1, id, "shop", "GET /orders")).collect();
    if fails(sequence) {
        spans[1].status.code = StatusCode::Error;
    }
    Batch {
        origin: Some(Origin { source: "proxy".into(), epoch: 1, sequence }),
        received_at: Wall(sequence + 1),
        received: 3,
        spans,
        ..Batch::default()
    }
}

fn is_there(store: &Spans, sequence: u64) -> bool {
    let found = store.trace(trace_id(u128::from(sequence) + 1));
    found.is_some_and(|spans| {
        assert_eq!(spans.len(), 3, "{sequence}: in part, or twice");
        true
    })
}

fn sent(disk: &FaultyDisk) -> Spans {
    let store = open_with(disk, failures());
    (0..BATCHES).for_each(|sequence| assert_eq!(store.accept(batch(sequence)).wait().unwrap().stored, 3));
    store
}

#[test]
fn what_is_not_kept_is_readable_and_counts_as_stored_until_its_block_is_there() {
    let disk = FaultyDisk::new(1);
    let store = sent(&disk);
    assert!((0..BATCHES).all(|sequence| is_there(&store, sequence)));
    assert_eq!((store.ledger().stored, store.ledger().sampled_out), (36, 0));
    store.seal().unwrap();
    // The last ones are not over.
    let expected: Vec<u64> = (0..BATCHES).filter(|sequence| fails(*sequence) || *sequence > 8).collect();
    let there =
        |store: &Spans| (0..BATCHES).filter(|sequence| is_there(store, *sequence)).collect::<Vec<u64>>();
    assert_eq!(there(&store), expected);
    let ledger = store.ledger();
    let kept = 3 * expected.len() as u64;
    assert_eq!((ledger.received, ledger.stored, ledger.sampled_out), (36, kept, 36 - kept));
    assert_eq!(store.stats().spans, kept);
    let operations = store.operations("default", "shop");
    assert_eq!(operations.iter().map(|of| of.spans).sum::<u64>(), kept, "lists count what is stored");
    let found = store.search(&Query { limit: 100, ..Query::default() });
    assert_eq!(found.traces.len(), expected.len());
    let after = open_with(&disk.kill(), failures());
    assert_eq!((after.ledger(), there(&after)), (ledger, expected));
}

#[test]
fn what_is_not_over_waits_for_the_next_block_and_is_decided_about_as_a_whole() {
    let disk = FaultyDisk::new(1);
    let store = sent(&disk);
    let mut late = span(12, 4, "shop", "GET /orders");
    late.status.code = StatusCode::Error;
    store.seal().unwrap();
    assert_eq!(store.stats().blocks, 1);
    store.seal().unwrap();
    assert_eq!(store.stats().blocks, 1, "what only waits makes no block");
    store.accept(Batch { received_at: Wall(13), ..super::plain(vec![late]) }).wait().unwrap();
    store.advance(Wall(100));
    store.seal().unwrap();
    assert_eq!(store.trace(trace_id(12)).map(|spans| spans.len()), Some(4), "it failed after all");
    assert_eq!(store.trace(trace_id(11)), None);
    let ledger = store.ledger();
    assert_eq!((ledger.received, ledger.stored, ledger.sampled_out), (37, 16, 21));
    let counts = store.tail();
    assert_eq!((counts.decided, counts.waiting), ([0, 5, 0, 0, 0, 7], 0));
}

#[test]
fn late_spans_follow_the_decision_about_their_trace() {
    let store = sent(&FaultyDisk::new(1));
    store.seal().unwrap();
    let mut late = [span(2, 9, "shop", "late"), span(1, 9, "shop", "late")];
    late[0].status.code = StatusCode::Error;
    store.accept(Batch { received_at: Wall(14), ..super::plain(late.to_vec()) }).wait().unwrap();
    store.seal().unwrap();
    assert_eq!(store.trace(trace_id(2)), None, "it was left out, and stays out");
    assert_eq!(store.trace(trace_id(1)).map(|spans| spans.len()), Some(4));
    assert_eq!(store.tail().late, 2);
    assert!(store.ledger().balances());
}

#[test]
fn a_pinned_trace_is_kept_whatever_it_is() {
    let store = sent(&FaultyDisk::new(1));
    store.pin(trace_id(2), true);
    store.pin(trace_id(3), true);
    store.pin(trace_id(3), false);
    store.seal().unwrap();
    assert!(is_there(&store, 1) && !is_there(&store, 2));
}

#[test]
fn without_tail_sampling_what_was_carried_before_is_found() {
    let disk = FaultyDisk::new(1);
    let store = sent(&disk);
    store.seal().unwrap();
    let (ledger, disk) = (store.ledger(), disk.kill());
    let store = open(&disk);
    assert_eq!(store.ledger(), ledger);
    assert!((9..BATCHES).all(|sequence| is_there(&store, sequence)));
    store.seal().unwrap();
    assert_eq!(open(&disk.crash()).ledger(), ledger);
}

/// Blocks as small as they get, also while the journal is read.
fn small() -> Settings {
    Settings { block_spans: 7, disk_bytes: 20_480, ..failures() }
}

fn send(store: &Spans, sequence: u64) -> bool {
    let is_ok = store.accept(batch(sequence)).wait().is_ok();
    if sequence % 4 == 3 {
        let _ = store.seal();
    }
    is_ok
}

/// The ledger is exact: what came in is there, or has gone, or was left out by a decision. No failure was.
fn check(store: &Spans, acknowledged: &[u64], what: &str) {
    store.accept(super::plain(vec![])).wait().unwrap();
    let Ledger { received, stored, sampled_out, expired, .. } = store.ledger();
    let there: Vec<u64> = (0..BATCHES).filter(|sequence| is_there(store, *sequence)).collect();
    assert_eq!(stored - expired, 3 * there.len() as u64, "{what}");
    assert_eq!(received, stored + sampled_out, "{what}");
    assert!(received >= 3 * acknowledged.len() as u64 && received <= 3 * BATCHES, "{what}: {received}");
    for sequence in acknowledged.iter().filter(|sequence| fails(**sequence)) {
        assert!(expired > 0 || there.contains(sequence), "{what}: {sequence} is gone");
    }
    if expired == 0 {
        let gone = acknowledged.iter().filter(|sequence| !there.contains(sequence)).count() as u64;
        assert!(sampled_out >= 3 * gone, "{what}: {gone} are gone, {sampled_out} spans were left out");
    }
}

#[test]
fn a_crash_at_any_operation_leaves_an_exact_ledger() {
    for settings in [failures(), small()] {
        let operations = {
            let disk = FaultyDisk::new(0);
            let store = open_with(&disk, settings.clone());
            (0..BATCHES).for_each(|sequence| assert!(send(&store, sequence)));
            check(&store, &(0..BATCHES).collect::<Vec<_>>(), "no crash");
            drop(store);
            disk.operations()
        };
        for operation in 0..=operations {
            for seed in 0..1 {
                let disk = FaultyDisk::new(seed);
                disk.fail(operation.., Fault::Crash);
                let opened = Spans::open(Arc::new(disk.clone()), Path::new(FOLDER), settings.clone());
                let acknowledged = opened.map_or(vec![], |(store, _)| {
                    (0..BATCHES).filter(|sequence| send(&store, *sequence)).collect()
                });
                // What a restart makes of it survives one more crash, and the next block as well.
                for disk in [disk.crash(), disk.kill()] {
                    let what = format!("crash at {operation} with seed {seed}");
                    check(&open_with(&disk, settings.clone()), &acknowledged, &what);
                    let store = open_with(&disk.kill(), settings.clone());
                    check(&store, &acknowledged, &format!("{what}, once more"));
                    store.advance(Wall(1_000));
                    store.seal().unwrap();
                    check(&store, &acknowledged, &format!("{what}, and sealed"));
                    let ledger = store.ledger();
                    drop(store);
                    assert_eq!(open_with(&disk.crash(), settings.clone()).ledger().received, ledger.received);
                }
            }
        }
    }
}

#[test]
fn a_disk_that_takes_no_carried_spans_has_them_sealed_as_they_are() {
    for after in 0..12 {
        let disk = FaultyDisk::new(after);
        let store = sent(&disk);
        let at = disk.operations() + after;
        disk.fail(at..=at, Fault::Error);
        let _ = store.seal();
        check(&store, &(0..BATCHES).collect::<Vec<_>>(), &format!("{after} operations later"));
        drop(store);
        check(&open_with(&disk.crash(), failures()), &(0..BATCHES).collect::<Vec<_>>(), "after a crash");
    }
}

//! Real `kill -9` while spans come in, are sealed and expire: this test starts its own binary again as the
//! writer.
//!
//! The writer has four threads that send numbered batches and print each acknowledged one; blocks are small,
//! so that it is mostly killed while one is being made. After each kill the ledger must balance, with at least
//! what was acknowledged, and every span that has not expired must be found, once. `SPANS_KILLS=100` has it killed
//! a hundred times.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use identity::{SpanId, TraceId, Wall};
use monitoring::Origin;
use storage_disk::{Disk, RealDisk};
use storage_spans::{AcceptError, Batch, Query, Settings, Spans};
use traces::{Resource, Span};

const FOLDER: &str = "SPANS_KILL_TEST_FOLDER";
/// How often the writer is killed where [`KILLS_VARIABLE`] says nothing else.
const KILLS: u64 = 30;
const KILLS_VARIABLE: &str = "SPANS_KILLS";
const WRITERS: u64 = 4;
/// Spans of a batch, of which each is a trace.
const SPANS: u64 = 5;

fn open(folder: &Path) -> Spans {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let settings = Settings {
        block_spans: 200,
        disk_bytes: 400_000,
        reserve_bytes: 0,
        max_age: Duration::MAX,
        ..Settings::default()
    };
    let (store, recovery) = Spans::open(disk, folder, settings).unwrap();
    assert_eq!(recovery.damaged, []);
    store
}

fn batch(writer: u64, sequence: u64) -> Batch {
    let resource = Arc::new(Resource::default());
    let span = |at: u64| {
        let trace = (u128::from(writer) << 96) | (u128::from(sequence) << 32) | u128::from(at + 1);
        let (trace, id) = (TraceId::new(trace).unwrap(), SpanId::new(at + 1).unwrap());
        Span::new(trace, id, "op", Wall(sequence), Arc::clone(&resource))
    };
    Batch {
        origin: Some(Origin { source: format!("writer-{writer}").into(), epoch: 1, sequence }),
        received_at: Wall(sequence),
        received: SPANS + 1,
        sampled_out: 1,
        dropped: vec![],
        spans: (0..SPANS).map(span).collect(),
    }
}

/// What the child process does; without the variable that the parent sets, nothing.
#[test]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                let mut sequence = 0;
                loop {
                    match store.accept(batch(writer, sequence)).wait() {
                        Ok(_) => {
                            let line = format!("ack {writer} {sequence}\n");
                            std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                            sequence += 1;
                        }
                        Err(AcceptError::Busy) => std::thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
}

#[test]
fn kills_under_load_lose_nothing_acknowledged_and_no_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    let kills = std::env::var(KILLS_VARIABLE).map_or(KILLS, |kills| kills.parse().unwrap());
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut new = 1 + kill * 37 % 150;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            // The test harness prints its own lines, and the kill may cut the last one.
            let Some((writer, sequence)) = line.strip_prefix("ack ").and_then(|of| of.split_once(' ')) else {
                continue;
            };
            let (Ok(writer), Ok(sequence)) = (writer.parse(), sequence.parse::<u64>()) else { continue };
            let last = acknowledged.entry(writer).or_insert(0);
            // What earlier writers were told is acknowledged again at once.
            let is_new = sequence >= *last;
            *last = sequence.max(*last);
            new -= u64::from(is_new && new > 0);
            if new == 0 {
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success(), "the writer ended before it was killed");
        check(&open(folder.path()), &acknowledged, kill);
    }
    assert_eq!(acknowledged.len() as u64, WRITERS, "every writer was heard");
}

fn check(store: &Spans, acknowledged: &BTreeMap<u64, u64>, kill: u64) {
    // Answered after the budgets are kept, so that nothing goes while it is looked at.
    store.seal().unwrap();
    store.accept(Batch::default()).wait().unwrap();
    let ledger = store.ledger();
    assert!(ledger.balances(), "kill {kill}: {ledger:?}");
    let batches: u64 = acknowledged.values().map(|last| last + 1).sum();
    assert!(ledger.stored >= batches * SPANS, "kill {kill}: {ledger:?} after {batches} batches");
    assert_eq!((ledger.stored % SPANS, ledger.sampled_out), (0, ledger.stored / SPANS), "kill {kill}");
    assert_eq!(ledger.stored - ledger.expired, store.stats().spans, "kill {kill}");
    let (mut query, mut found) = (Query { limit: Query::MAX_LIMIT, ..Query::default() }, 0);
    loop {
        let page = store.search(&query);
        found += page.traces.iter().map(|trace| trace.spans).sum::<u64>();
        query.page = page.next;
        if query.page.is_none() {
            break;
        }
    }
    assert_eq!(found, store.stats().spans, "kill {kill}");
    for (writer, last) in acknowledged {
        assert!(store.accept(batch(*writer, *last)).wait().unwrap().is_duplicate, "kill {kill}");
        let newest = batch(*writer, *last).spans[0].trace_id;
        if ledger.expired == 0 {
            assert_eq!(store.trace(newest).map(|spans| spans.len()), Some(1), "kill {kill}");
        }
    }
}

//! Real `kill -9` while samples come in and are sealed: this test starts its own binary again as the writer.
//!
//! The writer has four threads that send batches, one for each second of a clock of its own, and print each
//! acknowledged one; parts are small, so that it is often killed while one is being made. After each kill the ledger
//! must balance, and of every acknowledged batch each sample, each sum and each exemplar must be there, once.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use identity::Wall;
use monitoring::{
    promql::{Samples, Storage},
    series::{MatchOp, Matcher},
};
use storage_disk::{Disk, RealDisk};
use storage_samples::{AcceptError, OVERFLOW, SampleAccount, SampleWriter, SeriesSettings, SeriesStore};

const FOLDER: &str = "SERIES_KILL_TEST_FOLDER";
const FIRST: &str = "SERIES_KILL_TEST_FIRST";
const KILLS: u64 = 100;
const WRITERS: u64 = 4;
/// The series of a writer, of which the last two are beyond its budget.
const SERIES: [&str; 5] = ["a", "b", "c", "d", "e"];
const BUDGET: usize = 3;
/// Every so many batches there is an exemplar: fewer than are kept of a series between two parts.
const EXEMPLAR_EVERY: u64 = 20;
/// When the first batch is received, in seconds.
const START: u64 = 1_700_000_000;

fn open(folder: &Path) -> SeriesStore {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let settings = SeriesSettings {
        max_series_of_service: BUDGET,
        part_age: Duration::from_secs(40),
        reserve_bytes: 0,
        ..SeriesSettings::default()
    };
    let (store, recovery) = SeriesStore::open(disk, folder, settings).unwrap();
    assert_eq!(recovery.damaged, []);
    store
}

fn millis(sequence: u64) -> i64 {
    (START + sequence) as i64 * 1000
}

/// One that no rule gives, and that adds up exactly.
fn value(series: usize, sequence: u64) -> f64 {
    (sequence * 7 + series as u64) as f64 + 0.5
}

fn batch(store: &SeriesStore, writer: u64, sequence: u64) -> (SampleAccount, SampleWriter<'_>) {
    let (job, trace) = (format!("writer-{writer}"), sequence.to_string());
    let mut samples = store.writer();
    for (place, series) in SERIES.into_iter().enumerate() {
        samples.series([("__name__", "m"), ("job", &*job), ("of", series)]);
        samples.sample(millis(sequence), value(place, sequence));
        if place == 0 && sequence.is_multiple_of(EXEMPLAR_EVERY) {
            samples.exemplar(millis(sequence), 1.0, [("trace_id", &*trace)]);
        }
    }
    let received_at = Wall((START + sequence) * 1_000_000_000);
    (SampleAccount { received_at, received: SERIES.len() as u64, dropped: Vec::new() }, samples)
}

/// What the child process does; without the variable that the parent sets, nothing.
#[test]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let store = open(Path::new(&folder));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let store = &store;
            scope.spawn(move || {
                let mut sequence = first;
                loop {
                    let (account, samples) = batch(store, writer, sequence);
                    match store.accept(account, samples).wait() {
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
fn a_hundred_kills_under_load_lose_nothing_acknowledged_and_no_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    // What is sent again would be added to the sums again, so each writer begins behind all that was ever sent.
    let mut first = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut left = 1 + kill * 37 % 150;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            // The test harness prints its own lines, and the kill may cut the last one.
            let Some((writer, sequence)) = line.strip_prefix("ack ").and_then(|of| of.split_once(' ')) else {
                continue;
            };
            let (Ok(writer), Ok(sequence)) = (writer.parse(), sequence.parse::<u64>()) else { continue };
            acknowledged.entry(writer).or_default().insert(sequence);
            // One more may have been taken in and not acknowledged.
            first = first.max(sequence + 2);
            left -= u64::from(left > 0);
            if left == 0 {
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success(), "the writer ended before it was killed");
        check(&open(folder.path()), &acknowledged, kill);
    }
    assert_eq!(acknowledged.len() as u64, WRITERS, "every writer was heard");
    let store = open(folder.path());
    assert!(store.stats().parts > 5, "{:?}", store.stats());
}

fn check(store: &SeriesStore, acknowledged: &BTreeMap<u64, BTreeSet<u64>>, kill: u64) {
    let ledger = store.ledger();
    assert!(ledger.balances(), "kill {kill}: {ledger:?}");
    let batches: u64 = acknowledged.values().map(|of| of.len() as u64).sum();
    let whole = ledger.received / SERIES.len() as u64;
    assert!(whole >= batches, "kill {kill}: {ledger:?} after {batches} batches");
    // Two samples make one sum.
    assert_eq!((ledger.stored, ledger.dropped["folded"]), (whole * 4, whole), "kill {kill}");
    let mut found = 0;
    for (writer, sequences) in acknowledged {
        let job = [Matcher::new("job", MatchOp::Equal, format!("writer-{writer}")).unwrap()];
        let all = store.select(&job, i64::MIN, i64::MAX).unwrap();
        assert_eq!(all.len(), BUDGET + 1, "kill {kill}: series of {writer}");
        for selected in all {
            let mut samples = Samples::default();
            selected.samples.read(i64::MIN, i64::MAX, &mut samples).unwrap();
            found += samples.len() as u64;
            let (of, is_sum) = (selected.labels.get("of"), selected.labels.get(OVERFLOW.0) == OVERFLOW.1);
            let expected = |sequence| match SERIES.into_iter().position(|name| name == of) {
                Some(place) if !is_sum => value(place, sequence),
                _ => value(3, sequence) + value(4, sequence),
            };
            let there: BTreeMap<i64, f64> = samples.times.into_iter().zip(samples.values).collect();
            for sequence in sequences {
                let what = (kill, sequence, &selected.labels);
                assert_eq!(there.get(&millis(*sequence)), Some(&expected(*sequence)), "{what:?}");
            }
        }
        let exemplars = store.exemplars(&job, i64::MIN, i64::MAX).unwrap();
        let traces: BTreeSet<&str> =
            exemplars.values().flatten().map(|exemplar| exemplar.labels.get("trace_id")).collect();
        let mut with_one = sequences.iter().filter(|sequence| sequence.is_multiple_of(EXEMPLAR_EVERY));
        let missing = with_one.find(|sequence| !traces.contains(&*sequence.to_string()));
        assert_eq!(missing, None, "kill {kill}: of {} exemplars", traces.len());
    }
    if acknowledged.len() as u64 == WRITERS {
        assert_eq!(found, ledger.stored, "kill {kill}: each once");
    }
}

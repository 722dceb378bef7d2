//! Acknowledged records a second and processor time a record, at 1 and at 64 writers.
//!
//! Each writer writes a record of 300 bytes, waits until it is acknowledged as durable, and writes the
//! next. The subjects do not promise the same things: ours is an append to a journal, SQLite's an insert
//! into a table with a key, etcd's a put through a server that keeps revisions and could have followers.
//! Only the floor, a write and fdatasync per record, does less than we do.

mod floor;
mod ours;
mod sqlite;

use std::time::Duration;

use crate::etcd::{self, Etcd};
use crate::report::{Figure, Report, Row, progress};
use crate::round::{Round, latency_figures, micros};
use crate::{Failure, Options};

/// The size of a record: what a registration or a transition takes.
const RECORD_BYTES: usize = 300;
const WRITERS: [usize; 2] = [1, 64];

/// A subject under load for some seconds.
type Measure<'a> = Box<dyn FnMut(usize, Duration) -> Result<Round, Failure> + 'a>;

pub(crate) fn run(options: &Options) -> Result<Report, Failure> {
    let about = "acknowledged records of 300 bytes; each writer waits for its answer";
    let mut report = Report::new("journal", about);
    std::fs::create_dir_all(&options.folder)?;
    let folder = tempfile::tempdir_in(&options.folder)?;
    let path = folder.path();
    let seconds = Duration::from_secs(options.seconds());
    report.setting("rounds", options.rounds());
    report.setting("seconds a round", options.seconds());
    report.setting("folder", options.folder.display());
    report.version("bellwether", env!("CARGO_PKG_VERSION"));
    report.version("SQLite", rusqlite::version());

    let etcd = match Etcd::start(path, None)? {
        Some(etcd) => {
            report.version("etcd", etcd.version());
            Some(etcd)
        }
        None => {
            report.skip(etcd::MISSING);
            None
        }
    };
    let mut subjects: Vec<(&'static str, Measure<'_>)> = vec![
        ("write + fdatasync", Box::new(|writers, time| floor::measure(path, writers, time))),
        ("bellwether journal", Box::new(|writers, time| ours::measure(path, writers, time))),
        ("SQLite, WAL, FULL", Box::new(|writers, time| sqlite::measure(path, writers, time))),
    ];
    if let Some(etcd) = &etcd {
        subjects.push(("etcd", Box::new(|writers, time| etcd.measure(writers, time, record))));
    }
    for writers in WRITERS {
        let mut rounds: Vec<Vec<Round>> = subjects.iter().map(|_| Vec::new()).collect();
        for round in 0..options.rounds() {
            for ((subject, measure), rounds) in subjects.iter_mut().zip(&mut rounds) {
                progress(&format!("{writers} writers, round {}: {subject}", round + 1));
                rounds.push(measure(writers, seconds)?);
            }
        }
        for ((subject, _), rounds) in subjects.iter().zip(&rounds) {
            report.row(row(subject, writers, rounds));
            let errors: u64 = rounds.iter().map(|round| round.errors).sum();
            if errors > 0 {
                report.note(format!("{subject} refused {errors} records at {writers} writers (busy)"));
            }
        }
    }
    report.note(
        "write + fdatasync is one thread that appends to a file, whatever the number of writers; with 64 \
         writers only those who share a sync can be faster",
    );
    report.note(
        "processor time of bellwether, SQLite and the floor is that of the whole process, with the load; of \
         etcd that of the server, its load is in a column of its own",
    );
    report.note(
        "SQLite has one writer at a time: 64 connections wait for its lock by sleeping and trying again, so \
         its slowest records say how unfair that is; its application would funnel writes through one thread",
    );
    Ok(report)
}

fn row(subject: &'static str, writers: usize, rounds: &[Round]) -> Row {
    let records = |round: &Round| round.latencies.len().max(1) as f64;
    let load = |round: &Round| round.load_cpu.map(|cpu| micros(cpu) / records(round));
    let costs = [
        Figure::of("records/s", rounds.iter().map(|round| records(round) / round.wall.as_secs_f64())),
        Figure::of("CPU µs/record", rounds.iter().map(|round| micros(round.cpu) / records(round))),
        Figure::of("load CPU µs/record", rounds.iter().filter_map(load)),
    ];
    let [rate, cpu, load] = costs;
    let figures: Vec<Figure> =
        rate.into_iter().chain(cpu).chain(latency_figures(rounds)).chain(load).collect();
    let rate = figures.first().map_or(0.0, Figure::median);
    progress(&format!("{subject}, {writers} writers: {rate:.0} records/s"));
    Row { subject, load: format!("{writers} writers"), figures }
}

/// A record like no other, so that nobody compresses or deduplicates it.
fn record(writer: usize, sequence: u64) -> Vec<u8> {
    let mut state = (writer as u64) << 40 | sequence;
    let mut bytes = Vec::with_capacity(RECORD_BYTES + 8);
    while bytes.len() < RECORD_BYTES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes.truncate(RECORD_BYTES);
    bytes
}

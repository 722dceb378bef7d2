//! A hundred real `kill -9` under load: this test starts its own binary again as the writer.
//!
//! The writer has eight threads that append to one journal and print each acknowledged record; every
//! now and then a ninth takes a snapshot. It is killed after a random number of acknowledgements, and
//! the next one goes on in the same folder. After each kill the journal must hold, of each thread,
//! all records from the first to at least the last one whose acknowledgement was read.

#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use storage_disk::RealDisk;
use storage_journal::{Journal, Origin, Settings};

const FOLDER: &str = "JOURNAL_KILL_TEST_FOLDER";
const KILLS: u64 = 100;
const WRITERS: u64 = 8;

/// The number of the last record of each writer.
type State = BTreeMap<u64, u64>;

fn payload(writer: u64, sequence: u64) -> Vec<u8> {
    let mut bytes = [writer.to_le_bytes(), sequence.to_le_bytes()].concat();
    bytes.extend((0..sequence % 300).map(|index| (writer + sequence + index) as u8));
    bytes
}

fn parse(bytes: &[u8]) -> (u64, u64) {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let (writer, sequence) = (number(0), number(8));
    assert_eq!(bytes, payload(writer, sequence), "a record was changed");
    (writer, sequence)
}

/// Opens the journal and checks that each writer's records follow each other without a gap.
fn open(folder: &Path) -> (Journal, State) {
    let settings = Settings { segment_bytes: 20_000, ..Settings::default() };
    let mut state = State::new();
    let (journal, recovery) = Journal::open(Arc::new(RealDisk), folder, settings, &mut |origin, _, bytes| {
        let (writer, sequence) = parse(bytes);
        let last = state.insert(writer, sequence).unwrap_or(0);
        assert!(
            origin == Origin::Snapshot || sequence == last + 1,
            "writer {writer}: {sequence} after {last}"
        );
        Ok(())
    })
    .unwrap();
    assert_eq!(recovery.damaged, []);
    (journal, state)
}

/// What the child process does; without the variable that the parent sets, nothing.
#[test]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (journal, state) = open(Path::new(&folder));
    let state = Mutex::new(state);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (journal, state) = (&journal, &state);
            scope.spawn(move || {
                loop {
                    // The lock keeps state and order of appends together, as a snapshot needs it.
                    let (append, sequence) = {
                        let mut state = state.lock().unwrap();
                        let last = state.entry(writer).or_insert(0);
                        *last += 1;
                        (journal.append(1, payload(writer, *last)), *last)
                    };
                    append.wait().unwrap();
                    let line = format!("ack {writer} {sequence}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
        scope.spawn(|| {
            loop {
                let (mut snapshot, captured) = {
                    let state = state.lock().unwrap();
                    (journal.begin_snapshot().unwrap(), state.clone())
                };
                captured.iter().for_each(|(writer, last)| {
                    snapshot.write(1, &payload(*writer, *last)).unwrap();
                });
                snapshot.finish().unwrap();
                journal.append_all::<&[u8]>(&[]).wait().unwrap();
            }
        });
    });
}

#[test]
fn a_hundred_kills_under_load_lose_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = State::new();
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut remaining = 1 + kill * 37 % 150;
        for line in lines.map_while(Result::ok) {
            // The test harness prints its own lines, and the kill may cut the last one.
            let Some(numbers) = line.strip_prefix("ack ") else { continue };
            let Some((writer, sequence)) = numbers.split_once(' ') else { continue };
            let (Ok(writer), Ok(sequence)) = (writer.parse(), sequence.parse::<u64>()) else { continue };
            let last = acknowledged.entry(writer).or_insert(0);
            *last = sequence.max(*last);
            remaining -= 1;
            if remaining == 0 {
                child.kill().unwrap();
                // What it acknowledged before it died is still read.
                remaining = u64::MAX;
            }
        }
        assert!(!child.wait().unwrap().success(), "the writer ended before it was killed");
        let (_, recovered) = open(folder.path());
        for (writer, last) in &acknowledged {
            assert!(recovered[writer] >= *last, "kill {kill}: writer {writer} lost records after {last}");
        }
    }
    assert_eq!(acknowledged.len() as u64, WRITERS, "every writer was heard");
}

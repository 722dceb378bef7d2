//! SQLite with a write-ahead log and `synchronous=FULL`, one INSERT a transaction, a connection and a
//! thread for each writer.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::record;
use crate::round::Round;
use crate::{Failure, clock, process};

pub(super) fn measure(folder: &Path, writers: usize, time: Duration) -> Result<Round, Failure> {
    let folder = tempfile::tempdir_in(folder)?;
    let path = folder.path().join("records.sqlite");
    connect(&path)?.execute_batch("CREATE TABLE records (id INTEGER PRIMARY KEY, payload BLOB NOT NULL)")?;
    let (cpu, begin) = (process::own_cpu(), clock::now());
    let mut round = Round::default();
    std::thread::scope(|scope| -> Result<(), Failure> {
        let threads: Vec<_> = (0..writers)
            .map(|writer| {
                let path = &path;
                scope.spawn(move || write(path, writer, begin, time))
            })
            .collect();
        for thread in threads {
            let (latencies, errors) = thread.join().map_err(|_| "a writer panicked")??;
            round.latencies.extend(latencies);
            round.errors += errors;
        }
        Ok(())
    })?;
    (round.wall, round.cpu) = (begin.elapsed(), process::own_cpu() - cpu);
    Ok(round)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

fn write(
    path: &Path,
    writer: usize,
    begin: Instant,
    time: Duration,
) -> rusqlite::Result<(Vec<Duration>, u64)> {
    let connection = connect(path)?;
    let mut insert = connection.prepare("INSERT INTO records (payload) VALUES (?1)")?;
    let (mut latencies, mut errors) = (Vec::new(), 0);
    while begin.elapsed() < time {
        let payload = record(writer, latencies.len() as u64);
        let start = clock::now();
        match insert.execute([&payload]) {
            Ok(_) => latencies.push(start.elapsed()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => errors += 1,
            Err(error) => return Err(error),
        }
    }
    Ok((latencies, errors))
}

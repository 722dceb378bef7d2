//! The least that durability costs: a write and an fdatasync for each record, by one thread.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::record;
use crate::round::Round;
use crate::{Failure, clock, process};

pub(super) fn measure(folder: &Path, _writers: usize, time: Duration) -> Result<Round, Failure> {
    let folder = tempfile::tempdir_in(folder)?;
    let file = File::create(folder.path().join("floor"))?;
    let (cpu, begin) = (process::own_cpu(), clock::now());
    let mut round = Round::default();
    let mut offset = 0;
    while begin.elapsed() < time {
        let bytes = record(0, offset);
        let start = clock::now();
        file.write_all_at(&bytes, offset)?;
        file.sync_data()?;
        round.latencies.push(start.elapsed());
        offset += bytes.len() as u64;
    }
    (round.wall, round.cpu) = (begin.elapsed(), process::own_cpu() - cpu);
    Ok(round)
}

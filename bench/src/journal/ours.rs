//! Our journal with its default durability; writers are tasks, as in the server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use storage_disk::RealDisk;
use storage_journal::{Journal, Settings};

use super::record;
use crate::round::Round;
use crate::{Failure, clock, process};

pub(super) fn measure(folder: &Path, writers: usize, time: Duration) -> Result<Round, Failure> {
    let folder = tempfile::tempdir_in(folder)?;
    let (journal, _) =
        Journal::open(Arc::new(RealDisk), folder.path(), Settings::default(), &mut |_, _, _| Ok(()))?;
    let journal = Arc::new(journal);
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let (cpu, begin) = (process::own_cpu(), clock::now());
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let journal = journal.clone();
            runtime.spawn(async move {
                let mut latencies = Vec::new();
                while begin.elapsed() < time {
                    let payload = record(writer, latencies.len() as u64);
                    let start = clock::now();
                    journal.append(1, payload).await?;
                    latencies.push(start.elapsed());
                }
                Ok::<_, storage_journal::AppendError>(latencies)
            })
        })
        .collect();
    let mut round = Round::default();
    for task in tasks {
        round.latencies.extend(runtime.block_on(task)??);
    }
    (round.wall, round.cpu) = (begin.elapsed(), process::own_cpu() - cpu);
    Ok(round)
}

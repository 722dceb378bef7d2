//! Heartbeats in batches: how many a core takes in.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;

use super::fleet;
use crate::http::Connection;
use crate::round::Round;
use crate::server::Server;
use crate::{Failure, clock, process};

/// Heartbeats in a request.
pub(super) const BATCH: usize = 100;
/// Connections that send, one request at a time each.
pub(super) const CLIENTS: usize = 8;

/// The requests that keep all of these leases.
pub(super) fn requests(leases: &[String]) -> Vec<Vec<u8>> {
    let all: Vec<(usize, &str)> = leases.iter().map(String::as_str).enumerate().collect();
    all.chunks(BATCH).map(|batch| fleet::heartbeats(batch.iter().copied())).collect()
}

/// Sends the requests round and round.
pub(super) fn measure(
    runtime: &tokio::runtime::Runtime,
    server: &Server,
    requests: &Rc<Vec<Vec<u8>>>,
    time: Duration,
) -> Result<Round, Failure> {
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        connections.push(runtime.block_on(Connection::open(server.address()))?);
    }
    let whole = format!("\"renewed\":{BATCH}").into_bytes();
    let (cpu, own, begin) = (server.cpu()?, process::own_cpu(), clock::now());
    let next = Rc::new(Cell::new(0_usize));
    let local = LocalSet::new();
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            let (next, requests, whole) = (next.clone(), requests.clone(), whole.clone());
            local.spawn_local(async move {
                let mut latencies = Vec::new();
                while begin.elapsed() < time {
                    let request = &requests[next.replace(next.get() + 1) % requests.len()];
                    let start = clock::now();
                    let answer = connection.ask(request).await?;
                    latencies.push(start.elapsed());
                    if crate::http::find(answer, &whole).is_none() {
                        let answer = String::from_utf8_lossy(answer);
                        return Err(format!("not all leases of a batch were renewed: {answer}").into());
                    }
                }
                Ok::<_, Failure>(latencies)
            })
        })
        .collect();
    let mut round = Round::default();
    runtime.block_on(local.run_until(async {
        for task in tasks {
            round.latencies.extend(task.await??);
        }
        Ok::<_, Failure>(())
    }))?;
    round.wall = begin.elapsed();
    round.cpu = server.cpu()?.saturating_sub(cpu);
    round.load_cpu = Some(process::own_cpu() - own);
    Ok(round)
}

//! Registrations that wait until they are durable: one each, and many in a request, beside etcd's puts.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;

use super::fleet;
use crate::http::Connection;
use crate::round::Round;
use crate::server::Server;
use crate::{Failure, clock, process};

/// More than this many instances are not registered in a round, so that rounds are alike whoever is fast.
const ROUND_MAX: usize = 400_000;

/// Clients on a connection each; a client sends `batch` new instances, waits for the answer, and sends the
/// next.
pub(super) fn measure(
    runtime: &tokio::runtime::Runtime,
    server: &Server,
    clients: usize,
    batch: usize,
    time: Duration,
) -> Result<Round, Failure> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(runtime.block_on(Connection::open(server.address()))?);
    }
    let (cpu, own, begin) = (server.cpu()?, process::own_cpu(), clock::now());
    let next = Rc::new(Cell::new(0));
    let local = LocalSet::new();
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            let next = next.clone();
            local.spawn_local(async move {
                let mut latencies = Vec::new();
                while begin.elapsed() < time && next.get() < ROUND_MAX {
                    let first = next.replace(next.get() + batch);
                    let request = if batch == 1 {
                        fleet::put(first, "first")
                    } else {
                        fleet::bulk(first..first + batch)
                    };
                    let start = clock::now();
                    connection.ask(&request).await?;
                    latencies.push(start.elapsed());
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

/// What etcd is given: the same bytes.
pub(super) fn value(writer: usize, sequence: u64) -> Vec<u8> {
    fleet::registration(writer << 16 | sequence as usize, "first").into_bytes()
}

//! From a change to its arrival at everyone who watches its service.
//!
//! An arrival's time is from before the change is sent until its bytes have been read by a watcher, so it
//! includes the change's own way to the disk and what the load needs to read a thousand sockets.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::fleet;
use crate::http::{Connection, find};
use crate::round::Round;
use crate::server::Server;
use crate::{Failure, clock, process};

/// Those who watch one service.
pub(super) const WATCHERS: usize = 1_000;
/// The instance that changes; its service is the one that is watched.
const CHANGING: usize = 0;
/// What is looked for in a watcher's stream, with the number of the change behind it.
const MARK: &str = "mark-";
/// Digits of that number.
const DIGITS: usize = 6;
/// A watcher that has not heard by then never will.
const LOST: Duration = Duration::from_secs(10);

/// A change's number, and when a watcher read it.
type Arrival = (usize, Instant);

/// Everyone who watches; they stop when this is dropped.
#[derive(Debug)]
pub(super) struct Watchers {
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    changes: usize,
    _tasks: JoinSet<()>,
}

impl Watchers {
    /// Connects all of them and waits until each has its snapshot.
    pub(super) async fn connect(server: &Server) -> Result<Watchers, Failure> {
        let (arrived, mut arrivals) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for _ in 0..WATCHERS {
            let connection = Connection::open(server.address()).await?;
            let stream = connection.follow(&fleet::watch(CHANGING)).await?;
            tasks.spawn(listen(stream, arrived.clone()));
        }
        // The first change is in nobody's snapshot only if all have theirs, so that one is not measured.
        let mut connection = Connection::open(server.address()).await?;
        connection.ask(&fleet::put(CHANGING, &mark(0))).await?;
        all_heard(&mut arrivals, 0).await?;
        Ok(Watchers { arrivals, changes: 0, _tasks: tasks })
    }

    /// Makes changes one after the other; each waits until all have heard of the one before. `churn` is how
    /// many instances of other services change a second meanwhile.
    pub(super) async fn measure(
        &mut self,
        server: &Server,
        changes: usize,
        churn: u32,
    ) -> Result<Round, Failure> {
        let mut connection = Connection::open(server.address()).await?;
        let mut others = JoinSet::new();
        if churn > 0 {
            others.spawn(disturb(Connection::open(server.address()).await?, churn));
        }
        let (cpu, own, begin) = (server.cpu()?, process::own_cpu(), clock::now());
        let mut round = Round::default();
        for _ in 0..changes {
            self.changes += 1;
            let request = fleet::put(CHANGING, &mark(self.changes));
            let start = clock::now();
            connection.ask(&request).await?;
            let heard = all_heard(&mut self.arrivals, self.changes).await?;
            round.latencies.extend(heard.into_iter().map(|at| at.saturating_duration_since(start)));
        }
        round.wall = begin.elapsed();
        round.cpu = server.cpu()?.saturating_sub(cpu);
        round.load_cpu = Some(process::own_cpu() - own);
        Ok(round)
    }
}

fn mark(change: usize) -> String {
    format!("{MARK}{change:0DIGITS$}")
}

/// When each of them heard of a change.
async fn all_heard(
    arrivals: &mut mpsc::UnboundedReceiver<Arrival>,
    change: usize,
) -> Result<Vec<Instant>, Failure> {
    let mut heard = Vec::with_capacity(WATCHERS);
    while heard.len() < WATCHERS {
        let missing = || format!("{} watchers did not hear of change {change}", WATCHERS - heard.len());
        let arrival = timeout(LOST, arrivals.recv()).await.map_err(|_| missing())?;
        let (number, at) = arrival.ok_or_else(missing)?;
        if number == change {
            heard.push(at);
        }
    }
    Ok(heard)
}

/// Tells of every mark that comes over a stream, in order, each once.
async fn listen(mut stream: TcpStream, arrived: mpsc::UnboundedSender<Arrival>) {
    let (mut input, mut last) = (Vec::new(), None);
    while stream.read_buf(&mut input).await.is_ok_and(|count| count > 0) {
        let now = clock::now();
        while let Some(at) = find(&input, MARK.as_bytes()) {
            let Some(digits) = input.get(at + MARK.len()..at + MARK.len() + DIGITS) else { break };
            let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            input.drain(..at + MARK.len() + DIGITS);
            if number > last && arrived.send((number.unwrap_or_default(), now)).is_err() {
                return;
            }
            last = last.max(number);
        }
        // A mark may have come in part.
        let known = input.len().saturating_sub(MARK.len() + DIGITS);
        input.drain(..known);
    }
}

/// Changes instances of other services at an even pace, until it is dropped.
async fn disturb(mut connection: Connection, a_second: u32) {
    let mut pace = interval(Duration::from_secs(1) / a_second);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for change in 0_usize.. {
        pace.tick().await;
        // Never the watched service, and something new each time round.
        let nth = change % (fleet::SERVICES - 1) + 1;
        if connection.ask(&fleet::put(nth, &format!("turn-{}", change / fleet::SERVICES))).await.is_err() {
            return;
        }
    }
}

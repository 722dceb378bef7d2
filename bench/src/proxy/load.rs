//! What proxies are asked: as much as they can answer, and so many requests in each second.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::http::Connection;
use crate::round::Round;
use crate::{Failure, clock, process};

/// What a client asks.
pub(super) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: echo\r\n\r\n";

/// What to say where the generator of the closed loop is missing.
pub(super) const WRK_MISSING: &str = "wrk is not installed; `apt-get install wrk` brings it";

/// What a closed loop came to.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) requests: u64,
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

/// Each connection asks again as soon as it is answered; `during` is asked once in the middle.
pub(super) fn closed<T>(
    id: u32,
    address: SocketAddr,
    connections: usize,
    seconds: u64,
    during: impl FnOnce() -> T,
) -> Result<(Closed, T), Failure> {
    let (cpu, begin) = (process::cpu_of(id)?, clock::now());
    let wrk = Command::new("wrk")
        .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "-H", "Host: echo"])
        .arg(format!("http://{address}/"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    clock::pause(Duration::from_millis(seconds * 500));
    let seen = during();
    let output = wrk.wait_with_output()?;
    let (wall, cpu) = (begin.elapsed(), process::cpu_of(id)?.saturating_sub(cpu));
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("not every request was answered well: {}", text.trim()).into());
    }
    let line = text.lines().find(|line| line.contains("requests in")).ok_or("wrk counted nothing")?;
    let requests = line.split_whitespace().next().unwrap_or_default().parse()?;
    Ok((Closed { requests, wall, cpu }, seen))
}

/// So many requests a second, evenly spaced, whatever the answers do. The time of a request counts from when
/// it was due, so that one that waits for its turn is not taken for a fast one.
pub(super) fn paced(
    runtime: &Runtime,
    id: u32,
    address: SocketAddr,
    connections: usize,
    rate: u32,
    time: Duration,
) -> Result<Round, Failure> {
    let local = LocalSet::new();
    let latencies = Rc::new(RefCell::new(Vec::new()));
    let (cpu, begin) = (process::cpu_of(id)?, clock::now());
    runtime.block_on(local.run_until(async {
        let (mut clients, mut tasks) = (Vec::new(), Vec::new());
        for _ in 0..connections {
            let mut connection = Connection::open(address).await?;
            // As many as can be due in the whole round.
            let (due, mut next) = mpsc::unbounded_channel::<std::time::Instant>();
            let latencies = latencies.clone();
            tasks.push(local.spawn_local(async move {
                while let Some(due) = next.recv().await {
                    connection.ask(REQUEST).await?;
                    latencies.borrow_mut().push(due.elapsed());
                }
                Ok::<(), Failure>(())
            }));
            clients.push(due);
        }
        let timer = Ticks::every(Duration::from_secs(1) / rate)?;
        let (start, mut sent) = (clock::now(), 0_u32);
        while start.elapsed() < time {
            for _ in 0..timer.wait().await? {
                let due = start + Duration::from_secs(1) * sent / rate;
                let client = sent as usize % clients.len();
                clients[client].send(due).map_err(|_| "a connection broke")?;
                sent += 1;
            }
        }
        drop(clients);
        for task in tasks {
            task.await??;
        }
        Ok::<(), Failure>(())
    }))?;
    let latencies = Rc::try_unwrap(latencies).map_err(|_| "a client is still at work")?.into_inner();
    let (wall, cpu) = (begin.elapsed(), process::cpu_of(id)?.saturating_sub(cpu));
    Ok(Round { latencies, wall, cpu, ..Round::default() })
}

/// A timer of the kernel's: that of the runtime counts in milliseconds, and would send in bursts.
#[derive(Debug)]
struct Ticks(AsyncFd<std::os::fd::OwnedFd>);

impl Ticks {
    #[expect(
        deprecated,
        reason = "the other way to register is unsafe code; an owned descriptor is no danger"
    )]
    fn every(interval: Duration) -> Result<Ticks, Failure> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let each =
            Timespec { tv_sec: interval.as_secs().try_into()?, tv_nsec: interval.subsec_nanos().into() };
        timerfd_settime(
            &timer,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: each, it_value: each },
        )?;
        Ok(Ticks(AsyncFd::new(timer)?))
    }

    /// How many intervals have passed since it was asked last.
    async fn wait(&self) -> Result<u64, Failure> {
        loop {
            let mut ready = self.0.readable().await?;
            let mut count = [0; 8];
            match ready.try_io(|timer| Ok(rustix::io::read(timer, &mut count)?)) {
                Ok(read) => {
                    read?;
                    return Ok(u64::from_ne_bytes(count));
                }
                Err(_not_yet) => {}
            }
        }
    }
}

/// Opens connections, has each answered once, and counts those that are still open at the end.
pub(super) fn hold(
    runtime: &Runtime,
    address: SocketAddr,
    connections: usize,
) -> Result<(Vec<Connection>, usize), Failure> {
    runtime.block_on(async {
        let mut held = Vec::with_capacity(connections);
        for _ in 0..connections {
            let mut connection = Connection::open(address).await?;
            connection.ask(REQUEST).await?;
            held.push(connection);
        }
        let mut answered = 0;
        for connection in &mut held {
            answered += usize::from(connection.ask(REQUEST).await.is_ok());
        }
        Ok((held, answered))
    })
}

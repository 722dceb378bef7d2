//! What proxies are asked, and what their processes pay for it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::loopback::Loopback;
use crate::round::Round;
use crate::{Failure, clock, process};

/// What a closed loop came to.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) requests: u64,
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

/// A process whose time is taken.
#[derive(Debug)]
struct Taken {
    id: u32,
    cpu: Duration,
    begin: Instant,
}

impl Taken {
    fn of(id: u32) -> Result<Taken, Failure> {
        Ok(Taken { id, cpu: process::cpu_of(id)?, begin: clock::now() })
    }

    /// How much has passed of the clock's time, and of the process's.
    fn passed(&self) -> Result<(Duration, Duration), Failure> {
        Ok((self.begin.elapsed(), process::cpu_of(self.id)?.saturating_sub(self.cpu)))
    }
}

/// Each connection asks again as soon as it is answered; `during` is asked once in the middle.
pub(super) fn closed(
    loopback: &mut Loopback,
    id: u32,
    address: SocketAddr,
    connections: usize,
    seconds: u64,
    during: impl FnOnce() -> Result<(), Failure>,
) -> Result<Closed, Failure> {
    loopback.connect(address, connections)?;
    let taken = Taken::of(id)?;
    let requests = loopback.closed(Duration::from_secs(seconds), during)?;
    let (wall, cpu) = taken.passed()?;
    Ok(Closed { requests, wall, cpu })
}

/// So many requests a second.
pub(super) fn paced(
    loopback: &mut Loopback,
    id: u32,
    address: SocketAddr,
    connections: usize,
    rate: u32,
    time: Duration,
) -> Result<Round, Failure> {
    loopback.connect(address, connections)?;
    let taken = Taken::of(id)?;
    let latencies = loopback.paced(rate, time)?;
    let (wall, cpu) = taken.passed()?;
    Ok(Round { latencies, wall, cpu, ..Round::default() })
}

//! Idle connections of one endpoint.
//!
//! Last in, first out: under little load the same few connections stay warm and the others grow old
//! and are closed. A connection is looked at when it is to be used, and all of them from time to time, so
//! that one that the endpoint has closed is not handed out; what closes in the very moment of its use is the
//! caller's to notice.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use identity::Mono;

use crate::upstream::Upstream;

/// The idle connections of one endpoint.
#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<State>,
    most: usize,
    timeout: Duration,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Idle>,
    /// Whether nothing is to be kept.
    closed: bool,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Upstream>,
    since: Mono,
}

impl Pool {
    pub(crate) fn new(most: usize, timeout: Duration) -> Self {
        Self { state: Mutex::default(), most, timeout }
    }

    /// The connection that was used last, of those that can be used.
    pub(crate) fn take(&self, now: Mono) -> Option<Box<Upstream>> {
        loop {
            let Idle { mut connection, since } = self.lock().idle.pop()?;
            // Those below are older still; the next sweep closes them.
            if now.since(since) > self.timeout {
                return None;
            }
            if connection.is_idle() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose request and response are complete.
    pub(crate) fn put(&self, mut connection: Box<Upstream>, now: Mono) {
        if !connection.is_idle() {
            return;
        }
        connection.rest();
        let mut state = self.lock();
        if !state.closed && state.idle.len() < self.most {
            state.idle.push(Idle { connection, since: now });
        }
    }

    /// Closes what has been idle for too long.
    pub(crate) fn sweep(&self, now: Mono) {
        self.lock()
            .idle
            .retain_mut(|idle| now.since(idle.since) <= self.timeout && idle.connection.is_idle());
    }

    /// Closes what is idle, and from now on whatever becomes so; or keeps connections again.
    pub(crate) fn close(&self, closed: bool) {
        let idle = {
            let mut state = self.lock();
            state.closed = closed;
            if closed { std::mem::take(&mut state.idle) } else { Vec::new() }
        };
        drop(idle);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

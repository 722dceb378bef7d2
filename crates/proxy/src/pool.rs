//! Idle connections of one endpoint.
//!
//! Last in, first out: under little load the same few connections stay warm and the others grow old
//! and are closed. Every idle connection has a task that reads from it, so one that the endpoint has
//! closed is known to be closed and is never handed out; what closes in the very moment of its use is
//! the caller's to notice.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::client::conn::http1::SendRequest;
use identity::Mono;

use crate::request_body::RequestBody;

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
    sender: SendRequest<RequestBody>,
    since: Mono,
}

impl Pool {
    pub(crate) fn new(most: usize, timeout: Duration) -> Self {
        Self { state: Mutex::default(), most, timeout }
    }

    /// The connection that was used last, if one is ready.
    pub(crate) fn take(&self, now: Mono) -> Option<SendRequest<RequestBody>> {
        let State { idle, .. } = &mut *self.lock();
        for at in (0..idle.len()).rev() {
            if idle[at].sender.is_closed() {
                idle.remove(at);
            } else if idle[at].sender.is_ready() {
                let connection = idle.remove(at);
                return (now.since(connection.since) <= self.timeout).then_some(connection.sender);
            }
            // One that is neither is about to be: its task has not run since the end of its last
            // response. It stays for the next call.
        }
        None
    }

    /// Keeps a connection whose request and response are complete.
    pub(crate) fn put(&self, sender: SendRequest<RequestBody>, now: Mono) {
        if sender.is_closed() {
            return;
        }
        let mut state = self.lock();
        if !state.closed && state.idle.len() < self.most {
            state.idle.push(Idle { sender, since: now });
        }
    }

    /// Closes what has been idle for too long.
    pub(crate) fn sweep(&self, now: Mono) {
        self.lock().idle.retain(|connection| {
            !connection.sender.is_closed() && now.since(connection.since) <= self.timeout
        });
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

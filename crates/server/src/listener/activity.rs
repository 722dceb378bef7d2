//! What a connection is doing, so that it can be ended when it does nothing for too long.
//!
//! Told by three sources: the transport reports bytes, the requests report their begin and their
//! response's end. From that follows at any moment until when something has to happen.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
};

use identity::Mono;

use super::limits::Limits;
use crate::clock;

/// What was waited for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The rest of a request's head.
    Head,
    /// The next request.
    Request,
}

/// One connection's activity.
#[derive(Debug)]
pub(super) struct Activity {
    in_flight: AtomicUsize,
    /// When the connection had its last response, or began.
    quiet_since: AtomicU64,
    /// When the first bytes of the head that is being read came; 0 where none is.
    head_since: AtomicU64,
    /// The other end has closed, or the network has.
    gone: AtomicBool,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            in_flight: AtomicUsize::new(0),
            quiet_since: AtomicU64::new(clock::mono().0),
            head_since: AtomicU64::new(0),
            gone: AtomicBool::new(false),
        })
    }

    /// Bytes have come. Between two requests, they are the next one's head.
    pub(super) fn received(&self) {
        if self.in_flight.load(SeqCst) == 0 && self.head_since.load(SeqCst) == 0 {
            self.head_since.store(clock::mono().0, SeqCst);
        }
    }

    /// Nobody is there any more; what goes wrong from now on is nobody's fault.
    pub(super) fn leave(&self) {
        self.gone.store(true, SeqCst);
    }

    /// Whether nobody is there any more.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(SeqCst)
    }

    /// A request's head has been read; it is in flight until its response's body is gone.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, SeqCst);
        self.head_since.store(0, SeqCst);
        InFlight(self.clone())
    }

    /// Whether no request is in flight.
    pub(super) fn idle(&self) -> bool {
        self.in_flight.load(SeqCst) == 0
    }

    /// Until when something has to happen, and what; `None` while a request is in flight.
    ///
    /// Only HTTP/1 has a `head` to wait for: on HTTP/2 bytes come between requests that are none.
    pub(super) fn deadline(&self, limits: &Limits, http1: bool) -> Option<(Mono, Overdue)> {
        if self.in_flight.load(SeqCst) > 0 {
            return None;
        }
        match self.head_since.load(SeqCst) {
            since if http1 && since > 0 => Some((Mono(since) + limits.head, Overdue::Head)),
            _ => Some((Mono(self.quiet_since.load(SeqCst)) + limits.idle, Overdue::Request)),
        }
    }

    /// Waits until something is overdue; for ever while something happens.
    ///
    /// Nobody is woken for each request: whatever happens from now on moves the deadline to a time limit
    /// after now at the earliest, so it is enough to look again then.
    pub(super) async fn overdue(&self, limits: &Limits, http1: bool) -> Overdue {
        let soonest = if http1 { limits.head.min(limits.idle) } else { limits.idle };
        loop {
            let now = clock::mono();
            let next = match self.deadline(limits, http1) {
                Some((at, overdue)) if now >= at => return overdue,
                Some((at, _)) => at.min(now + soonest),
                None => now + soonest,
            };
            tokio::time::sleep_until(clock::timer(next)).await;
        }
    }
}

/// A request in flight, until dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.quiet_since.store(clock::mono().0, SeqCst);
        self.0.in_flight.fetch_sub(1, SeqCst);
    }
}

//! A time-out between two pieces of a body.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Sleep;

use crate::clock;

/// Elapses when nothing has moved for a while. There is no timer until something has to be waited for.
#[derive(Debug)]
pub(crate) struct IdleTimer {
    after: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl IdleTimer {
    pub(crate) fn new(after: Duration) -> Self {
        Self { after, sleep: None, waiting: false }
    }

    /// Something moved.
    pub(crate) fn moved(&mut self) {
        self.waiting = false;
    }

    /// Nothing moved; ready when that has gone on for too long.
    pub(crate) fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let after = self.after;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        if !self.waiting {
            self.waiting = true;
            sleep.as_mut().reset(clock::deadline(after));
        }
        sleep.as_mut().poll(cx)
    }
}

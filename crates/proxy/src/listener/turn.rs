//! Whose bytes go to the client: those of an answer, or the HTTP library's own.
//!
//! On a head that it cannot read the library answers by itself, with a status and nothing else. What it
//! writes does not tell, since an endpoint may answer the same bytes; but it does so only between two
//! calls. So the mark is whether a call has begun whose answer the client's socket has not yet been
//! given: then the bytes are the answer's, and otherwise the library's.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;

use super::Client;
use crate::body::{Body, Broken};

/// How far a connection is with its latest call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// Between two calls.
    Idle,
    /// A call has begun.
    Answering,
    /// Its answer is complete, and the library may still hold the end of it.
    Answered,
    /// What goes on is no longer HTTP.
    Upgraded,
}

/// The stage of a connection. All who look at it run in the connection's own task.
#[derive(Debug, Default)]
pub(super) struct Turn {
    stage: AtomicU8,
    /// Whether a call has begun since it was asked last.
    begun: AtomicBool,
    /// Whether the latest request has a body, of which a part may not have been read.
    with_body: AtomicBool,
    /// Who waits for the connection to change its protocol.
    upgrade: Mutex<Option<oneshot::Sender<Client>>>,
}

impl Turn {
    pub(super) fn stage(&self) -> Stage {
        match self.stage.load(Relaxed) {
            0 => Stage::Idle,
            1 => Stage::Answering,
            2 => Stage::Answered,
            _ => Stage::Upgraded,
        }
    }

    fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Relaxed);
    }

    /// A call begins.
    pub(super) fn begin(&self, with_body: bool) {
        self.enter(Stage::Answering);
        self.begun.store(true, Relaxed);
        self.with_body.store(with_body, Relaxed);
    }

    /// Whether a call has begun since this was asked last.
    pub(super) fn take_begun(&self) -> bool {
        let begun = self.begun.load(Relaxed);
        if begun {
            self.begun.store(false, Relaxed);
        }
        begun
    }

    /// All that the library held has been taken from it.
    pub(super) fn taken(&self) {
        if self.stage() == Stage::Answered {
            self.enter(Stage::Idle);
        }
    }

    /// The answer changes the protocol.
    pub(super) fn upgrade(&self) {
        self.enter(Stage::Upgraded);
    }

    /// Whether bytes of a request's body may be on their way that nobody has read.
    pub(super) fn had_body(&self) -> bool {
        self.with_body.load(Relaxed)
    }

    /// Where the connection will be handed over if it changes its protocol.
    pub(super) fn expect_upgrade(&self) -> oneshot::Receiver<Client> {
        let (sender, receiver) = oneshot::channel();
        *self.upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// Hands the connection over.
    pub(super) fn hand_over(&self, client: Client) {
        let waiting = self.upgrade.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiting) = waiting {
            // Whoever waited has given up; then the connection ends here.
            let _ = waiting.send(client);
        }
    }
}

/// The body of an answer, which tells when it is over.
#[derive(Debug)]
pub(super) struct Answering {
    body: Body,
    turn: Arc<Turn>,
}

impl Answering {
    pub(super) fn new(body: Body, turn: Arc<Turn>) -> Self {
        Self { body, turn }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.turn.stage() == Stage::Answering {
            self.turn.enter(Stage::Answered);
        }
    }
}

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

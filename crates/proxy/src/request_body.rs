//! The body of a call on its way to an endpoint.

use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{attempt::describe, idle::IdleTimer, refusal::Reason};

/// The body of a request, passed on piece by piece as the endpoint takes it.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Empty,
    Streaming { inner: Incoming, idle: IdleTimer, progress: Progress },
}

/// How far a request's body has come, to be seen from where the response is handled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Option<Arc<AtomicU8>>);

const SENDING: u8 = 0;
const DONE: u8 = 1;
const BROKEN: u8 = 2;
const STALLED: u8 = 3;
/// The endpoint would take more, and the client has not sent it.
const WAITING: u8 = 4;

impl Progress {
    /// Whether all of it was passed on, so that its connection can serve another request.
    pub(crate) fn is_done(&self) -> bool {
        self.state() == DONE
    }

    /// Whether it will not come to its end, so that a failure is the client's, and why.
    pub(crate) fn fault(&self) -> Option<Reason> {
        match self.state() {
            BROKEN => Some(Reason::ClientBody),
            STALLED => Some(Reason::ClientStalled),
            _ => None,
        }
    }

    /// Whether it is the client that is waited for.
    pub(crate) fn waits_for_the_client(&self) -> bool {
        self.state() == WAITING
    }

    fn state(&self) -> u8 {
        self.0.as_ref().map_or(DONE, |state| state.load(Relaxed))
    }

    fn set(&self, to: u8) {
        if let Some(state) = &self.0 {
            state.store(to, Relaxed);
        }
    }
}

impl RequestBody {
    pub(crate) fn new(inner: Incoming, idle: Duration) -> (Self, Progress) {
        if inner.is_end_stream() {
            return (Self::Empty, Progress::default());
        }
        let progress = Progress(Some(Arc::new(AtomicU8::new(SENDING))));
        (Self::Streaming { inner, idle: IdleTimer::new(idle), progress: progress.clone() }, progress)
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

/// The client's part of a call did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientFault {
    #[error("the request's body broke off: {}", describe(.0))]
    Broken(#[source] hyper::Error),
    #[error("nothing of the request's body came for too long")]
    Idle,
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self::Streaming { inner, idle, progress } = self.get_mut() else { return Poll::Ready(None) };
        match Pin::new(&mut *inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                idle.moved();
                progress.set(if inner.is_end_stream() { DONE } else { SENDING });
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                progress.set(BROKEN);
                Poll::Ready(Some(Err(Box::new(ClientFault::Broken(error)))))
            }
            Poll::Ready(None) => {
                progress.set(DONE);
                Poll::Ready(None)
            }
            Poll::Pending if idle.poll_elapsed(cx).is_ready() => {
                progress.set(STALLED);
                Poll::Ready(Some(Err(Box::new(ClientFault::Idle))))
            }
            Poll::Pending => {
                progress.set(WAITING);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming { inner, .. } => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming { inner, .. } => inner.size_hint(),
        }
    }
}

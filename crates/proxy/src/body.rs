//! The body of an answer on its way to the client.
//!
//! A call is over when its body is, so it is the body that ends the call's record: as answered when the
//! last piece has been handed on, as failed when the endpoint breaks off, and as cancelled when the
//! client does, because then the body is dropped.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use resilience::{Ending, Fault};

use crate::{attempt::describe, idle::IdleTimer, record::Record, request_body::Progress, upstream::Upstream};

/// The body of an answer: an endpoint's, or our own.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Bytes),
    Streaming(Box<Streaming>),
}

/// A body that comes from an endpoint.
#[derive(Debug)]
pub(crate) struct Streaming {
    inner: Incoming,
    idle: IdleTimer,
    status: u16,
    /// How it broke off, where the client is still to be given what came before.
    broken: Option<Broken>,
    /// `None` when the call is over.
    call: Option<(Box<Record>, Upstream, Progress)>,
}

/// The answer did not come to its end. The client's connection is closed, which tells it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the response broke off")]
    Upstream(#[source] hyper::Error),
    #[error("nothing of the response came for too long")]
    Idle,
}

impl Body {
    /// The body of an endpoint's answer, with the call that ends with it.
    pub(crate) fn streaming(
        inner: Incoming,
        status: u16,
        record: Box<Record>,
        connection: Upstream,
        progress: Progress,
    ) -> Self {
        let idle = IdleTimer::new(record.idle_timeout());
        let mut body =
            Streaming { inner, idle, status, broken: None, call: Some((record, connection, progress)) };
        if body.inner.is_end_stream() {
            body.complete();
            return Self::Whole(Bytes::new());
        }
        Self::Streaming(Box::new(body))
    }
}

impl Streaming {
    /// The next piece. Nobody but us drives the connection that it comes by.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let next = Pin::new(&mut self.inner).poll_frame(cx);
        match &mut self.call {
            Some((_, connection, _)) if next.is_pending() => {
                connection.drive(cx);
                Pin::new(&mut self.inner).poll_frame(cx)
            }
            _ => next,
        }
    }

    fn complete(&mut self) {
        if let Some((record, connection, progress)) = self.call.take() {
            record.end_with_connection(self.status, connection, &progress);
        }
    }

    fn fail(&mut self, fault: Fault, detail: &str) {
        if let Some((mut record, _, progress)) = self.call.take() {
            let ending = if progress.fault().is_some() { Ending::CallerFault } else { Ending::Failed(fault) };
            record.note(detail);
            record.end(ending, self.status);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let body = match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Self::Whole(bytes) => return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streaming(body) => body,
        };
        if let Some(broken) = body.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        match body.poll_next(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                body.idle.moved();
                if body.inner.is_end_stream() {
                    body.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let fault = if error.is_parse() { Fault::Malformed } else { Fault::Reset };
                body.fail(fault, &describe(&error));
                // The error ends the client's connection with all that it has not yet been written: head and pieces
                // that came together with the end. They go first.
                body.broken = Some(Broken::Upstream(error));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(None) => {
                body.complete();
                Poll::Ready(None)
            }
            Poll::Pending if body.idle.poll_elapsed(cx).is_ready() => {
                body.fail(Fault::Idle, "nothing of the response came for too long");
                Poll::Ready(Some(Err(Broken::Idle)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Streaming(body) => body.broken.is_none() && body.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streaming(body) => body.inner.size_hint(),
        }
    }
}

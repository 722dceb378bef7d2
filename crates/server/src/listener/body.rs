//! Bodies with bounds: how much of a request a handler may be given, and how long it is kept waiting.
//!
//! The wait is bounded by a rate and not by a time between two reads, since a client that sends one
//! byte just before each deadline would hold its handler for ever. Only time in which the handler
//! really waits for the client counts; while the handler is busy, or the journal is, the client is
//! not to blame.
//!
//! The size is checked when the body is first read and not before: by then the route has said what
//! it accepts (a [`BodyRule`] layer), and a client that asks with `Expect: 100-continue` has not sent
//! anything yet.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use identity::Mono;
use tokio::time::Sleep;
use tower::{Layer, Service};
use wire::native::problem::{Code, Problem};

use super::{ListenerStats, Reason, activity::InFlight, limits::Limits};
use crate::clock;

/// What a route accepts as a request's body; a layer of that route. Without one, the listener's
/// `max_body_bytes` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyRule {
    max_bytes: u64,
}

impl BodyRule {
    /// At most this many bytes, at the listener's pace.
    pub fn at_most(max_bytes: u64) -> Self {
        // The largest number means a stream, see below.
        Self { max_bytes: max_bytes.min(u64::MAX - 1) }
    }

    /// A stream of messages that may go on for ever and be silent for as long as it likes, such as
    /// those of gRPC. Whoever reads it bounds each message.
    pub fn stream() -> Self {
        Self { max_bytes: u64::MAX }
    }
}

impl<S> Layer<S> for BodyRule {
    type Service = Ruled<S>;

    fn layer(&self, inner: S) -> Ruled<S> {
        Ruled { rule: *self, inner }
    }
}

/// A service whose requests' bodies follow a [`BodyRule`].
#[derive(Debug, Clone)]
pub struct Ruled<S> {
    rule: BodyRule,
    inner: S,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Ruled<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        if let Some(verdict) = request.extensions().get::<Arc<Verdict>>() {
            verdict.max_bytes.store(self.rule.max_bytes, Relaxed);
        }
        self.inner.call(request)
    }
}

/// Shared by a request's body, its route and whoever answers for it: what may come, and whether
/// what came was refused.
#[derive(Debug)]
pub(super) struct Verdict {
    max_bytes: AtomicU64,
    refused: AtomicU8,
}

const ACCEPTED: u8 = 0;
const TOO_LARGE: u8 = 1;
const TOO_SLOW: u8 = 2;
const BROKEN: u8 = 3;

impl Verdict {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let max_bytes = AtomicU64::new(limits.max_body_bytes);
        Arc::new(Self { max_bytes, refused: AtomicU8::new(ACCEPTED) })
    }

    /// Why the body was refused, if it was. The handler saw only that reading failed and cannot
    /// tell the client what was wrong.
    pub(super) fn refusal(&self) -> Option<(Reason, Problem)> {
        let max = self.max_bytes.load(Relaxed);
        match self.refused.load(Relaxed) {
            TOO_LARGE => {
                let detail = format!("the body has more than the {} that this path accepts", size(max));
                Some((Reason::BodyTooLarge, Problem::new(Code::BodyTooLarge, detail)))
            }
            TOO_SLOW => {
                let detail = "the body did not arrive in the time that the listener waits for it";
                Some((Reason::BodyTimeout, Problem::new(Code::RequestTimeout, detail)))
            }
            BROKEN => {
                let detail = "the body ended too early, or its chunks are not well-formed";
                Some((Reason::BodyMalformed, Problem::new(Code::MalformedRequest, detail)))
            }
            _ => None,
        }
    }
}

fn size(bytes: u64) -> String {
    identity::size::format(bytes)
}

/// Why reading a body failed, as its handler sees it.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the route accepts.
    #[error("the body is too large")]
    TooLarge,
    /// Fewer bytes a second than the listener waits for.
    #[error("the body came too slowly")]
    TooSlow,
    /// The connection ended, or the framing is wrong.
    #[error("the body could not be read")]
    Broken(#[source] hyper::Error),
}

/// What has not been read of a request's body.
///
/// A server that lets go of an HTTP/2 request before its end resets the stream, and though the reset
/// says `NO_ERROR`, there are clients (curl of Debian 12) that lose the response before it. So what is
/// left is taken off the client for a moment: no more than it could have sent without being read.
pub(super) struct Unread {
    incoming: Option<Incoming>,
    most: u64,
    linger: Duration,
}

impl Unread {
    pub(super) fn new(version: Version, incoming: Incoming, limits: &Limits) -> Self {
        // HTTP/1 closes the connection instead, and lingers there.
        let most = if version == Version::HTTP_2 { u64::from(limits.h2_stream_window) } else { 0 };
        Self { incoming: Some(incoming), most, linger: limits.linger }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let Some(mut incoming) = self.incoming.take().filter(|incoming| !incoming.is_end_stream()) else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (mut most, linger) = (self.most, self.linger);
        if most == 0 {
            return;
        }
        runtime.spawn(tokio::time::timeout(linger, async move {
            while let Some(Ok(frame)) = incoming.frame().await {
                most = most.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
                if most == 0 {
                    break;
                }
            }
        }));
    }
}

/// A request's body within its bounds.
pub struct RequestBody {
    incoming: Unread,
    verdict: Arc<Verdict>,
    grace: Duration,
    rate: u64,
    received: u64,
    waited: Duration,
    /// Since when the handler waits, and the timer that ends it.
    waiting: Option<(Mono, Pin<Box<Sleep>>)>,
    ended: bool,
}

impl RequestBody {
    pub(super) fn new(incoming: Unread, verdict: Arc<Verdict>, limits: &Limits) -> Self {
        Self {
            incoming,
            verdict,
            grace: limits.body_grace,
            rate: limits.min_body_rate.max(1),
            received: 0,
            waited: Duration::ZERO,
            waiting: None,
            ended: false,
        }
    }

    /// Where it is said what may come and what became of it.
    pub(super) fn verdict(&self) -> Arc<Verdict> {
        self.verdict.clone()
    }

    fn refuse(&mut self, verdict: u8, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.ended = true;
        self.waiting = None;
        self.verdict.refused.store(verdict, Relaxed);
        Poll::Ready(Some(Err(error)))
    }

    /// How much longer the handler may be kept waiting.
    fn patience(&self) -> Duration {
        let earned = Duration::from_secs_f64(self.received as f64 / self.rate as f64);
        (self.grace + earned).saturating_sub(self.waited)
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("received", &self.received).finish_non_exhaustive()
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let max = this.verdict.max_bytes.load(Relaxed);
        if this.received.saturating_add(this.incoming.size_hint().lower()) > max {
            return this.refuse(TOO_LARGE, BodyError::TooLarge);
        }
        let polled = this.incoming.poll_frame(cx);
        if polled.is_pending() {
            if max == u64::MAX {
                return Poll::Pending;
            }
            if this.waiting.is_none() {
                let now = clock::mono();
                let timer = tokio::time::sleep_until(clock::timer(now + this.patience()));
                this.waiting = Some((now, Box::pin(timer)));
            }
            let Some((_, timer)) = &mut this.waiting else { return Poll::Pending };
            ready!(timer.as_mut().poll(cx));
            return this.refuse(TOO_SLOW, BodyError::TooSlow);
        }
        if let Some((since, _)) = this.waiting.take() {
            this.waited += clock::mono().since(since);
        }
        match ready!(polled) {
            Some(Ok(frame)) => {
                this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                if this.received > max {
                    return this.refuse(TOO_LARGE, BodyError::TooLarge);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => this.refuse(BROKEN, BodyError::Broken(error)),
            None => {
                this.ended = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// A response's body: keeps its connection busy until it ends, and keeps a panic in it to itself.
pub(super) struct ResponseBody {
    inner: Body,
    in_flight: Option<InFlight>,
    stats: Arc<ListenerStats>,
}

impl ResponseBody {
    pub(super) fn new(inner: Body, in_flight: InFlight, stats: Arc<ListenerStats>) -> Self {
        Self { inner, in_flight: Some(in_flight), stats }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let inner = AssertUnwindSafe(|| Pin::new(&mut this.inner).poll_frame(cx));
        let frame = ready!(catch_unwind(inner).unwrap_or_else(|panic| {
            this.stats.refuse(Reason::Panic);
            tracing::error!(panic = message(&*panic), "a response's stream panicked");
            // What was a stream must not be touched again.
            this.inner = Body::empty();
            Poll::Ready(Some(Err(axum::Error::new(PanickedStream))))
        }));
        if !matches!(frame, Some(Ok(_))) {
            this.in_flight = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the response's stream panicked")]
struct PanickedStream;

/// What a panic said.
pub(super) fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

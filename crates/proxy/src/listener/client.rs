//! A client's side of a connection: requests as they come, and answers as they go.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use tokio::net::TcpStream;
use wire::native::problem::{Code, Problem};

use super::ended;
use crate::{
    http1::{
        encode::CONTINUE,
        framing::Reader,
        head::{self, Bounds, RequestHead, Unreadable},
        line::{Line, Passed},
    },
    idle::IdleTimer,
    refusal::Reason,
    settings::Limits,
};

/// The timer of an unused connection begins again and again, so it takes some time.
const LEAST_IDLE: Duration = Duration::from_millis(1);

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) line: Line,
    body: Reader,
    sending: Sending,
    /// What is wrong with the body, where that is known.
    detail: String,
    /// Whether the client waits to be told to send the body.
    expects: bool,
    idle: IdleTimer,
    stall: IdleTimer,
    /// Between two calls: how long nothing may come, and from the first byte on how long the head may take.
    unused: IdleTimer,
    head: IdleTimer,
    /// Whether there was a call, or a part of one, since `unused` began.
    was_used: bool,
}

/// How far the body of a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Under,
    Done,
    /// The endpoint would take more, and the client has not sent it.
    Waited,
    Broken,
    Stalled,
    /// The client has gone.
    Gone,
}

/// What comes next by a connection.
#[derive(Debug)]
pub(super) enum Next {
    Request(Box<RequestHead>),
    /// The reason as it is counted, and what the client is told.
    Unreadable(&'static str, Problem),
    /// Nothing.
    Closed,
}

/// The client has gone; nobody waits for the call any more.
#[derive(Debug)]
pub(crate) struct Gone;

/// The client has gone, or takes nothing of its answer.
#[derive(Debug)]
pub(super) enum Lost {
    Gone,
    Stalled,
}

/// What passing a request's body on has come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// There is nothing to come.
    Done,
    /// As much as may wait to be written.
    Full,
    /// The client has to send more.
    Waits,
    /// It will not come to its end: see [`Client::fault`].
    Fault,
}

impl Client {
    pub(super) fn new(socket: TcpStream, limits: &Limits) -> Self {
        let [stall, unused, head, idle] =
            [limits.write_stall, limits.client_idle.max(LEAST_IDLE), limits.head_timeout, Duration::ZERO]
                .map(IdleTimer::new);
        let (body, sending) = (Reader::Done, Sending::Done);
        let line = Line::new(socket);
        Self {
            line,
            body,
            sending,
            detail: String::new(),
            expects: false,
            idle,
            stall,
            unused,
            head,
            was_used: false,
        }
    }

    /// The next request; `None` for `stop` means that none is waited for any more.
    pub(super) async fn next(
        &mut self,
        limits: &Limits,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Next {
        let bounds = Bounds { bytes: limits.head_bytes, fields: limits.head_fields };
        let mut looked_at = 0;
        self.was_used = true;
        poll_fn(|cx| {
            loop {
                let unread = &mut self.line.unread;
                if !unread.is_empty()
                    && (looked_at == 0 || unread.len() >= bounds.bytes || head::may_end(unread, looked_at))
                {
                    match head::request(unread, bounds) {
                        Ok(None) => {}
                        Ok(Some(head)) => {
                            self.begin(&head, bounds);
                            return Poll::Ready(Next::Request(Box::new(head)));
                        }
                        Err(unreadable) => return Poll::Ready(refused(&unreadable, limits)),
                    }
                }
                let unread = &self.line.unread;
                if looked_at == 0 && !unread.is_empty() {
                    self.head.moved();
                }
                looked_at = unread.len();
                match self.line.poll_read(cx) {
                    Poll::Ready(Ok(0)) if looked_at > 0 => {
                        let detail = "the client stopped sending in the middle of the request's head";
                        return Poll::Ready(malformed(detail.to_owned()));
                    }
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(Next::Closed),
                    Poll::Pending if looked_at > 0 => {
                        ready!(self.head.poll_elapsed(cx));
                        let limit = identity::duration::format(limits.head_timeout);
                        let detail = format!("the request's head did not come to its end within {limit}");
                        let problem = Problem::new(Code::RequestTimeout, detail);
                        return Poll::Ready(Next::Unreadable(ended::HEAD_TIMEOUT, problem));
                    }
                    Poll::Pending => {
                        self.line.rest();
                        ready!(self.poll_unused(cx, stop.as_mut()));
                        return Poll::Ready(Next::Closed);
                    }
                }
            }
        })
        .await
    }

    /// Ready when the connection is not to be waited at any more.
    fn poll_unused(&mut self, cx: &mut Context<'_>, stop: Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
        if stop.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // One timer for as long as the connection lasts, rather than one for each call.
        loop {
            ready!(self.unused.poll_elapsed(cx));
            self.unused.moved();
            if !std::mem::take(&mut self.was_used) {
                return Poll::Ready(());
            }
        }
    }

    fn begin(&mut self, head: &RequestHead, bounds: Bounds) {
        self.body = Reader::new(head.framing, bounds.bytes);
        self.sending = if self.body.is_done() { Sending::Done } else { Sending::Under };
        self.expects = head.expects;
    }

    /// For how long nothing may come of the body that the endpoint would take.
    pub(crate) fn set_idle(&mut self, idle: Duration) {
        if self.sending != Sending::Done {
            self.idle = IdleTimer::new(idle);
        }
    }

    /// Whether all of the request has been passed on.
    pub(crate) fn has_sent_all(&self) -> bool {
        self.sending == Sending::Done
    }

    /// Whether it is the client that is waited for.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.sending == Sending::Waited
    }

    /// Whether it has gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.sending == Sending::Gone
    }

    /// Why the request will not come to its end, so that a failure is the client's.
    pub(crate) fn fault(&self) -> Option<(Reason, &str)> {
        match self.sending {
            Sending::Broken => Some((Reason::ClientBody, &self.detail)),
            Sending::Stalled => Some((Reason::ClientStalled, &self.detail)),
            _ => None,
        }
    }

    fn fail(&mut self, sending: Sending, detail: impl Into<String>) -> Pumped {
        (self.sending, self.detail) = (sending, detail.into());
        Pumped::Fault
    }

    /// Passes on what there is of the request's body.
    pub(crate) fn poll_pump(&mut self, to: &mut BytesMut, chunked: bool, cx: &mut Context<'_>) -> Pumped {
        loop {
            match self.sending {
                Sending::Done => return Pumped::Done,
                Sending::Under | Sending::Waited => {}
                Sending::Broken | Sending::Stalled | Sending::Gone => return Pumped::Fault,
            }
            let before = to.len();
            let passed = self.line.pass(&mut self.body, to, chunked);
            if to.len() > before {
                self.idle.moved();
            }
            match passed {
                Ok(Passed::All) => {
                    self.sending = Sending::Done;
                    return Pumped::Done;
                }
                Ok(Passed::Full) => return Pumped::Full,
                Ok(Passed::Wanting) => {}
                Err(error) => {
                    return self.fail(Sending::Broken, format!("the request's body broke off: {error}"));
                }
            }
            if std::mem::take(&mut self.expects) {
                self.line.unsent.extend_from_slice(CONTINUE);
            }
            // Nothing else is written before the answer, and that this is not taken will show then.
            let waiting = self.line.unsent.len();
            let _ = self.line.poll_flush(cx);
            if self.line.unsent.len() < waiting {
                self.stall.moved();
            }
            match self.line.poll_read(cx) {
                Poll::Ready(Ok(0)) => {
                    return self.fail(
                        Sending::Broken,
                        "the request's body broke off: the client sent no more of it",
                    );
                }
                Poll::Ready(Ok(_)) => self.sending = Sending::Under,
                Poll::Ready(Err(error)) => {
                    return self.fail(Sending::Broken, format!("the request's body broke off: {error}"));
                }
                Poll::Pending if self.idle.poll_elapsed(cx).is_ready() => {
                    return self.fail(Sending::Stalled, "nothing of the request's body came for too long");
                }
                Poll::Pending => {
                    self.sending = Sending::Waited;
                    return Pumped::Waits;
                }
            }
        }
    }

    /// An answer follows: to go on with the body is not said any more.
    pub(super) fn begin_answer(&mut self) {
        self.expects = false;
    }

    /// Whether it has said something that nobody has read.
    pub(super) fn says_more(&mut self) -> bool {
        !self.has_sent_all() || !self.line.is_idle()
    }

    /// Reads what has come of a body that nobody wants, as far as it is here already.
    pub(super) fn discard(&mut self) {
        let mut nowhere = BytesMut::new();
        while matches!(self.sending, Sending::Under | Sending::Waited) {
            nowhere.clear();
            match self.line.pass(&mut self.body, &mut nowhere, false) {
                Ok(Passed::All) => self.sending = Sending::Done,
                Ok(Passed::Full) => {}
                Ok(Passed::Wanting) => return,
                Err(error) => drop(self.fail(Sending::Broken, error.to_string())),
            }
        }
    }

    /// Ready when the client goes away while nothing more is expected of it. As long as a body is, its end is
    /// the body's; and who has sent another request ahead is taken to be there.
    ///
    /// A client that closes its side only is taken for one that has gone, as by most proxies: the two look
    /// the same until something is written, and a call that nobody waits for is to end.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        if self.sending != Sending::Done || !self.line.unread.is_empty() {
            return Poll::Pending;
        }
        match ready!(self.line.poll_read(cx)) {
            Ok(1..) => Poll::Pending,
            Ok(0) | Err(_) => {
                self.sending = Sending::Gone;
                Poll::Ready(Gone)
            }
        }
    }

    /// Waits for this, or until the client has gone.
    pub(crate) async fn unless_gone<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Gone> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => self.poll_gone(cx).map(Err),
        })
        .await
    }

    /// Writes what waits to be written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let before = self.line.unsent.len();
        match self.line.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.stall.moved();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Lost::Gone)),
            Poll::Pending => {
                if self.line.unsent.len() < before {
                    self.stall.moved();
                }
                ready!(self.stall.poll_elapsed(cx));
                Poll::Ready(Err(Lost::Stalled))
            }
        }
    }

    /// The same, until nothing waits.
    pub(super) async fn flush(&mut self) -> Result<(), Lost> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    pub(super) fn into_parts(self) -> (TcpStream, BytesMut) {
        self.line.into_parts()
    }
}

fn malformed(detail: String) -> Next {
    Next::Unreadable(ended::MALFORMED, Problem::new(Code::MalformedRequest, detail))
}

/// What a client is told whose request could not be read.
fn refused(unreadable: &Unreadable, limits: &Limits) -> Next {
    let Limits { head_bytes, head_fields, .. } = limits;
    match unreadable {
        Unreadable::LineTooLong => {
            let detail = format!("the request's first line is longer than the {head_bytes} bytes of a head");
            Next::Unreadable(ended::URI_TOO_LONG, Problem::new(Code::UriTooLong, detail))
        }
        Unreadable::TargetTooLong => {
            let detail = "the request's target is longer than the 65,534 bytes of any target";
            Next::Unreadable(ended::URI_TOO_LONG, Problem::new(Code::UriTooLong, detail))
        }
        Unreadable::TooLarge => {
            let detail =
                format!("the request's head has more than {head_fields} fields or {head_bytes} bytes");
            Next::Unreadable(ended::HEAD_TOO_LARGE, Problem::new(Code::HeadersTooLarge, detail))
        }
        Unreadable::Malformed(_) => malformed(format!("the request's head is not valid HTTP: {unreadable}")),
    }
}

//! A connection to an endpoint.
//!
//! No task stands behind it: whoever waits for an answer, or takes its body, drives the connection with his
//! own task. A task of its own would have to be woken for the request and to wake for the answer, and what
//! that costs is more than all of the breakers, choices and counters of a call.
//!
//! While it is idle nobody drives it; [`Upstream::is_idle`] looks whether the endpoint has closed it or said
//! something that nobody asked for, which takes no system call as long as nothing has come.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll},
};

use bytes::BytesMut;
use http::StatusCode;
use resilience::Fault;
use tokio::net::TcpStream;

use crate::{
    connect::Failure,
    counts::Counted,
    gateway::Gateway,
    http1::{
        framing::Reader,
        head::{self, Bounds, ResponseHead, Unreadable},
        line::{Line, Passed},
    },
    listener::{Client, Pumped},
    outbound::Outbound,
};

/// Heads that may come before an answer's (RFC 9110, section 15.2).
const INTERIM_MAX: usize = 16;

/// A connection to an endpoint, for one call at a time.
#[derive(Debug)]
pub(crate) struct Upstream {
    line: Line,
    body: Reader,
    /// Whether it may serve another call after this one.
    keep_alive: bool,
    /// Why nothing can be written any more.
    unwritable: Option<io::Error>,
    bounds: Bounds,
    _counted: Counted,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The connection had ended before anything of an answer came.
    Closed(Failure),
    Failed(Failure),
}

/// What taking an answer's body has come to.
#[derive(Debug)]
pub(crate) enum Taken {
    All,
    /// The client has to take some of it first.
    Full,
    /// Nothing has come.
    Waits,
}

impl Upstream {
    /// HTTP on a fresh connection.
    pub(crate) fn new(stream: TcpStream, gateway: &Gateway) -> Box<Self> {
        let bounds = Bounds { bytes: gateway.limits.head_bytes, fields: gateway.limits.head_fields };
        // Boxed, because it moves from hand to hand.
        Box::new(Self {
            line: Line::new(stream),
            body: Reader::Done,
            keep_alive: true,
            unwritable: None,
            bounds,
            _counted: gateway.connections.endpoints.enter(),
        })
    }

    /// Sends a request and waits for the answer's head.
    pub(crate) async fn send(
        &mut self,
        outbound: &mut Outbound,
        client: &mut Client,
    ) -> Result<ResponseHead, Unanswered> {
        outbound.write(self.line.out());
        let chunked = outbound.is_chunked();
        let (mut interim, mut looked_at) = (0, 0);
        poll_fn(|cx| {
            if let Err(failure) = self.poll_write(client, chunked, cx) {
                return Poll::Ready(Err(Unanswered::Failed(failure)));
            }
            loop {
                let unread = &mut self.line.unread;
                if !unread.is_empty()
                    && (looked_at == 0
                        || unread.len() >= self.bounds.bytes
                        || head::may_end(unread, looked_at))
                {
                    match head::response(unread, outbound.method(), self.bounds) {
                        Ok(Some(head)) if is_interim(&head) && interim < INTERIM_MAX => {
                            (interim, looked_at) = (interim + 1, 0);
                            continue;
                        }
                        Ok(Some(head)) if is_interim(&head) => {
                            let detail = format!("more than {INTERIM_MAX} heads came before the response's");
                            return Poll::Ready(Err(Unanswered::Failed(Failure::new(
                                Fault::Malformed,
                                detail,
                            ))));
                        }
                        Ok(Some(head)) => return Poll::Ready(Ok(self.begin(head))),
                        Ok(None) => {}
                        Err(error) => {
                            let failure = Failure::new(Fault::Malformed, unreadable(&error));
                            return Poll::Ready(Err(Unanswered::Failed(failure)));
                        }
                    }
                }
                looked_at = self.line.unread.len();
                match self.line.poll_read(cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(read) => return Poll::Ready(Err(self.unanswered(read.err(), interim))),
                    Poll::Pending => {
                        return client.poll_gone(cx).map(|gone| Err(Unanswered::Failed(gone.into())));
                    }
                }
            }
        })
        .await
    }

    fn begin(&mut self, head: ResponseHead) -> ResponseHead {
        self.body = Reader::new(head.framing, self.bounds.bytes);
        self.keep_alive = head.keep_alive && self.unwritable.is_none();
        head
    }

    /// The connection has ended before the head has come.
    fn unanswered(&mut self, error: Option<io::Error>, interim: usize) -> Unanswered {
        let begun = interim > 0 || !self.line.unread.is_empty();
        let detail = match error.or(self.unwritable.take()) {
            Some(error) => format!("the connection broke off: {error}"),
            None if begun => "the connection ended in the middle of the response's head".to_owned(),
            None => "the connection ended before the response".to_owned(),
        };
        let failure = Failure::new(Fault::Reset, detail);
        if begun { Unanswered::Failed(failure) } else { Unanswered::Closed(failure) }
    }

    /// Passes on what there is of the request. What cannot be written does not matter as long as an answer
    /// may come: an endpoint may have said all that it has to say.
    pub(crate) fn poll_write(
        &mut self,
        client: &mut Client,
        chunked: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        while self.unwritable.is_none() {
            let pumped = client.poll_pump(&mut self.line.unsent, chunked, cx);
            if pumped == Pumped::Fault {
                let detail = client.fault().map_or("the client has gone", |(_, detail)| detail);
                return Err(Failure::new(Fault::Reset, detail));
            }
            match self.line.poll_flush(cx) {
                Poll::Ready(Ok(())) if pumped == Pumped::Full => {}
                Poll::Ready(Ok(())) | Poll::Pending => break,
                Poll::Ready(Err(error)) => {
                    self.line.unsent.clear();
                    self.unwritable = Some(error);
                }
            }
        }
        Ok(())
    }

    /// Takes what there is of the answer's body.
    pub(crate) fn poll_take(
        &mut self,
        to: &mut BytesMut,
        chunked: bool,
        cx: &mut Context<'_>,
    ) -> Result<Taken, Failure> {
        loop {
            match self.line.pass(&mut self.body, to, chunked) {
                Ok(Passed::All) => return Ok(Taken::All),
                Ok(Passed::Full) => return Ok(Taken::Full),
                Ok(Passed::Wanting) => {}
                Err(error) => return Err(Failure::new(Fault::Malformed, unreadable(&error))),
            }
            match self.line.poll_read(cx) {
                Poll::Ready(Ok(0)) if self.body.ends_with_the_connection() => {}
                Poll::Ready(Ok(0)) => {
                    return Err(Failure::new(
                        Fault::Reset,
                        "the connection ended in the middle of the response",
                    ));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    return Err(Failure::new(Fault::Reset, format!("the connection broke off: {error}")));
                }
                Poll::Pending => return Ok(Taken::Waits),
            }
        }
    }

    /// Whether another request can be sent: everything of the last one and of its answer has passed, and the
    /// endpoint has not closed the connection as far as the kernel has told.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.keep_alive && self.unwritable.is_none() && self.body.is_done() && self.line.is_idle()
    }

    /// Keeps no more than it needs while it is idle.
    pub(crate) fn rest(&mut self) {
        self.line.rest();
    }

    /// The socket, for another protocol, and what has come by it already.
    pub(crate) fn into_parts(self) -> (TcpStream, BytesMut) {
        self.line.into_parts()
    }
}

/// Whether the answer is still to come after this one.
fn is_interim(head: &ResponseHead) -> bool {
    head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS
}

fn unreadable(error: &Unreadable) -> String {
    format!("the response is not valid HTTP: {error}")
}

//! The bytes below HTTP: the library's own answers are held back, its end of the connection is not yet
//! the socket's, and a client that takes nothing, or has not come to the end of a head in time, is left.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    ended,
    turn::{Stage, Turn},
};
use crate::{idle::IdleTimer, refusals::Refusals, settings::Limits};

/// The timer of an unused connection begins again and again, so it takes some time.
const LEAST_IDLE: Duration = Duration::from_millis(1);

/// A connection's bytes, as HTTP reads and writes them.
#[derive(Debug)]
pub(super) struct Transport {
    socket: TcpStream,
    turn: Arc<Turn>,
    refusals: Arc<Refusals>,
    stall: IdleTimer,
    /// Between two calls: how long nothing may come, and from the first byte on how long the head may take.
    unused: IdleTimer,
    head: IdleTimer,
    head_begun: bool,
    /// Whether there was a call, or a part of one, since `unused` began.
    was_used: bool,
    /// The head has taken too long.
    is_late: bool,
    /// The status of the library's own answer, where it made one.
    held_back: Option<u16>,
}

impl Transport {
    pub(super) fn new(socket: TcpStream, turn: Arc<Turn>, refusals: Arc<Refusals>, limits: &Limits) -> Self {
        let [stall, unused, head] =
            [limits.write_stall, limits.client_idle.max(LEAST_IDLE), limits.head_timeout].map(IdleTimer::new);
        Self {
            socket,
            turn,
            refusals,
            stall,
            unused,
            head,
            head_begun: false,
            was_used: false,
            is_late: false,
            held_back: None,
        }
    }

    /// Whether the connection ended because a head took too long.
    pub(super) fn is_late(&self) -> bool {
        self.is_late
    }

    /// Notes what a read has come to between two calls, and ends a wait that has been too long.
    fn between_calls(
        &mut self,
        cx: &mut Context<'_>,
        read: Poll<io::Result<()>>,
        came: bool,
    ) -> Poll<io::Result<()>> {
        if self.turn.take_begun() {
            (self.head_begun, self.was_used) = (false, true);
        }
        let is_idle = self.turn.stage() == Stage::Idle;
        if came && is_idle && !self.head_begun {
            (self.head_begun, self.was_used) = (true, true);
            self.head.moved();
        }
        match read {
            Poll::Pending if self.head_begun && is_idle => {
                ready!(self.head.poll_elapsed(cx));
                self.is_late = true;
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head takes too long")))
            }
            // One timer for as long as the connection lasts, rather than one for each call.
            Poll::Pending => loop {
                ready!(self.unused.poll_elapsed(cx));
                self.unused.moved();
                if !std::mem::take(&mut self.was_used) && self.turn.stage() == Stage::Idle {
                    // As if the client had gone, since nobody waits for an answer.
                    return Poll::Ready(Ok(()));
                }
            },
            read => read,
        }
    }

    pub(super) fn held_back(&self) -> Option<u16> {
        self.held_back
    }

    pub(super) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// Waits on for a client that takes nothing, or gives it up.
    fn unless_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.stall.poll_elapsed(cx));
        self.refusals.count(ended::WRITE_STALL, 1);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")))
    }
}

/// The status of an answer that the library made: `HTTP/1.1 431 …`.
fn status(head: &[u8]) -> u16 {
    let digits = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(400)
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        let came = buf.filled().len() > before;
        self.between_calls(cx, read, came)
    }
}

impl AsyncWrite for Transport {
    // Not vectored: one write of what was copied together costs less than one of many pieces.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.turn.stage() == Stage::Idle {
            self.held_back = Some(status(bytes));
            return Poll::Ready(Ok(bytes.len()));
        }
        match Pin::new(&mut self.socket).poll_write(cx, bytes) {
            Poll::Ready(result) => {
                self.stall.moved();
                Poll::Ready(result)
            }
            Poll::Pending => self.unless_stalled(cx),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The library flushes when it holds nothing more, and reads on only then.
        self.turn.taken();
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// The library has written everything. The socket may have other words to carry, or another protocol.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

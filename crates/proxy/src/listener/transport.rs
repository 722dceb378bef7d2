//! The bytes below HTTP: the library's own answers are held back, its end of the connection is not yet
//! the socket's, and a client that takes nothing is left.

use std::{
    io::{self, IoSlice},
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
use crate::{idle::IdleTimer, refusals::Refusals};

/// A connection's bytes, as HTTP reads and writes them.
#[derive(Debug)]
pub(super) struct Transport {
    socket: TcpStream,
    turn: Arc<Turn>,
    refusals: Arc<Refusals>,
    stall: IdleTimer,
    /// The status of the library's own answer, where it made one.
    held_back: Option<u16>,
}

impl Transport {
    pub(super) fn new(
        socket: TcpStream,
        turn: Arc<Turn>,
        refusals: Arc<Refusals>,
        patience: Duration,
    ) -> Self {
        let stall = IdleTimer::new(patience);
        Self { socket, turn, refusals, stall, held_back: None }
    }

    pub(super) fn held_back(&self) -> Option<u16> {
        self.held_back
    }

    pub(super) fn into_socket(self) -> TcpStream {
        self.socket
    }

    fn write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.turn.stage() == Stage::Idle {
            self.held_back = Some(status(pieces));
            return Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()));
        }
        match Pin::new(&mut self.socket).poll_write_vectored(cx, pieces) {
            Poll::Ready(result) => {
                self.stall.moved();
                Poll::Ready(result)
            }
            Poll::Pending => self.unless_stalled(cx),
        }
    }

    /// Waits on for a client that takes nothing, or gives it up.
    fn unless_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.stall.poll_elapsed(cx));
        self.refusals.count(ended::WRITE_STALL, 1);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")))
    }
}

/// The status of an answer that the library made: `HTTP/1.1 431 …`.
fn status(pieces: &[IoSlice<'_>]) -> u16 {
    let head = pieces.first().map_or(&b""[..], |piece| piece);
    let digits = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(400)
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
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

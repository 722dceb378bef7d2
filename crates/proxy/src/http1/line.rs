//! A connection with what was read from it and not yet understood, and what is still to be written.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::{io::AsyncWrite, net::TcpStream};
use tokio_util::io::poll_read_buf;

use super::{
    encode,
    framing::{Piece, Reader},
    head::Unreadable,
};

/// How much is read at a time, and of a body that comes fast.
const READ: usize = 8 * 1024;
const READ_FAST: usize = 64 * 1024;
/// How much may wait to be written before no more is read for it.
const UNSENT: usize = 64 * 1024;

/// A connection.
#[derive(Debug)]
pub(crate) struct Line {
    socket: TcpStream,
    pub(crate) unread: BytesMut,
    pub(crate) unsent: BytesMut,
    /// Whether the last read has taken all that it had room for.
    is_fast: bool,
}

/// What passing a body on has come to.
#[derive(Debug)]
pub(crate) enum Passed {
    /// It is complete.
    All,
    /// As much as may wait to be written.
    Full,
    /// More has to come first.
    Wanting,
}

impl Line {
    pub(crate) fn new(socket: TcpStream) -> Self {
        // Answers must not wait for acknowledgements of their parts; a failure costs speed only.
        let _ = socket.set_nodelay(true);
        Self { socket, unread: BytesMut::new(), unsent: BytesMut::new(), is_fast: false }
    }

    /// Reads what has come; zero bytes are the end.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.unread.capacity() == 0 {
            self.unread = spare();
        }
        self.unread.reserve(if self.is_fast { READ_FAST } else { READ });
        let room = self.unread.capacity() - self.unread.len();
        let read = ready!(poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.unread))?;
        self.is_fast = read >= room.min(READ);
        Poll::Ready(Ok(read))
    }

    /// Writes until nothing is left.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.unsent))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Passes on what has been read of a body, as far as the other side has room for it.
    pub(crate) fn pass(
        &mut self,
        body: &mut Reader,
        to: &mut BytesMut,
        chunked: bool,
    ) -> Result<Passed, Unreadable> {
        loop {
            if to.len() >= UNSENT {
                return Ok(Passed::Full);
            }
            match body.next(&mut self.unread)? {
                Piece::Data(count) => {
                    encode::piece(to, &self.unread[..count], chunked);
                    self.unread.advance(count);
                    if body.is_done() {
                        encode::end(to, None, chunked);
                        return Ok(Passed::All);
                    }
                }
                Piece::Trailers(trailers) => {
                    encode::end(to, Some(&trailers), chunked);
                    return Ok(Passed::All);
                }
                Piece::End => {
                    encode::end(to, None, chunked);
                    return Ok(Passed::All);
                }
                Piece::Wanting => return Ok(Passed::Wanting),
            }
        }
    }

    /// Whether there is nothing to be read or written, and the other side has not closed the connection as
    /// far as the kernel has told. It takes no system call as long as nothing has come.
    pub(crate) fn is_idle(&mut self) -> bool {
        if !self.unread.is_empty() || !self.unsent.is_empty() {
            return false;
        }
        // Not by polling, which is pending as well for a task that has run for long.
        let read = self.socket.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Has the end of the connection be told as a fault.
    pub(crate) fn reset(&self) {
        // A failure costs the other side a guess.
        let _ = self.socket.set_zero_linger();
    }

    /// Gives back the room of buffers that hold nothing.
    pub(crate) fn rest(&mut self) {
        for buffer in [&mut self.unread, &mut self.unsent] {
            if buffer.is_empty() && buffer.capacity() > 0 {
                give_back(std::mem::take(buffer));
            }
        }
    }

    /// A line's buffer to write into.
    pub(crate) fn out(&mut self) -> &mut BytesMut {
        if self.unsent.capacity() == 0 {
            self.unsent = spare();
        }
        &mut self.unsent
    }

    /// The socket, and what was read from it already.
    pub(crate) fn into_parts(self) -> (TcpStream, BytesMut) {
        (self.socket, self.unread)
    }
}

/// Buffers of lines that are idle, for others: nearly every call needs four, for a moment.
const SPARES_MAX: usize = 32;

thread_local! {
    static SPARES: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

fn spare() -> BytesMut {
    let spare = SPARES.with(|spares| spares.borrow_mut().pop());
    spare.unwrap_or_else(|| BytesMut::with_capacity(READ))
}

fn give_back(mut buffer: BytesMut) {
    buffer.clear();
    // What has grown for a large body goes, and what somebody still holds a part of.
    if !buffer.try_reclaim(READ) || buffer.capacity() > 2 * READ {
        return;
    }
    SPARES.with(|spares| {
        let mut spares = spares.borrow_mut();
        if spares.len() < SPARES_MAX {
            spares.push(buffer);
        }
    });
}

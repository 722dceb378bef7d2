//! The bytes below HTTP: what was read to tell the protocol is read again, a write that nobody takes
//! ends the connection, and the HTTP/1 library's own answers are held back.
//!
//! On a head that cannot be read the library answers by itself, with a status and nothing else.
//! Those answers end a connection and are the only responses without the header that every other
//! one carries ([`MARK`]), so they can be told here and replaced by a problem document.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};
use tokio_rustls::server::TlsStream;

use super::{ListenerStats, Reason, activity::Activity};
use crate::clock;

/// Set on every response: a browser must not guess a type, and [`Transport`] knows it for ours.
pub(super) const MARK: http::HeaderName = http::header::X_CONTENT_TYPE_OPTIONS;

/// With or without TLS.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Socket::Tls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => stream.poll_shutdown(cx))
    }
}

/// A connection's bytes, as HTTP reads and writes them.
pub(super) struct Transport {
    socket: Socket,
    /// Read already, while telling the protocol.
    first: Bytes,
    activity: Arc<Activity>,
    stats: Arc<ListenerStats>,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    /// The status of the library's own answer that was held back.
    pub(super) held_back: Option<u16>,
}

impl Transport {
    pub(super) fn new(
        socket: Socket,
        first: Bytes,
        activity: Arc<Activity>,
        stats: Arc<ListenerStats>,
        write_stall: Duration,
    ) -> Self {
        Self { socket, first, activity, stats, patience: write_stall, stalled: None, held_back: None }
    }

    /// Passes a write's or flush's progress on, and ends it where there was none for too long.
    fn unless_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = &polled {
            self.stalled = None;
            if result.is_err() {
                self.activity.leave();
            }
            return polled;
        }
        let patience = self.patience;
        let timer = self.stalled.get_or_insert_with(|| {
            Box::pin(tokio::time::sleep_until(clock::timer(clock::mono() + patience)))
        });
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.stats.refuse(Reason::WriteStall);
        self.activity.leave();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its response")))
    }
}

/// The status of an answer that the HTTP/1 library made by itself: a whole head, an error, unmarked.
fn own_answer(bytes: &[u8]) -> Option<u16> {
    let head = bytes.strip_prefix(b"HTTP/1.1 ")?.strip_suffix(b"\r\n\r\n")?;
    let status: u16 = std::str::from_utf8(head.get(..3)?).ok()?.parse().ok()?;
    let ours = |head: &[u8]| head.windows(MARK.as_str().len()).any(|part| part == MARK.as_str().as_bytes());
    (matches!(status, 400 | 414 | 431) && !ours(head)).then_some(status)
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.has_remaining() {
            let count = this.first.len().min(buf.remaining());
            buf.put_slice(&this.first.split_to(count));
            this.activity.received();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.socket).poll_read(cx, buf);
        match &polled {
            Poll::Ready(Ok(())) if buf.filled().len() > before => this.activity.received(),
            Poll::Ready(Ok(())) if buf.remaining() == 0 => {}
            Poll::Ready(_) => this.activity.leave(),
            Poll::Pending => {}
        }
        polled
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(status) = own_answer(buf) {
            this.held_back = Some(status);
            return Poll::Ready(Ok(buf.len()));
        }
        let polled = Pin::new(&mut this.socket).poll_write(cx, buf);
        this.unless_stalled(cx, polled)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.socket).poll_flush(cx);
        this.unless_stalled(cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.socket).poll_shutdown(cx);
        this.unless_stalled(cx, polled)
    }
}

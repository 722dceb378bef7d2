//! Words between two processes of one machine: a line each, with open sockets beside it.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::{io::Interest, net::UnixStream};

/// A line is never longer.
const BYTES: usize = 1_024;

/// Says a line, with a socket where one goes along. A short line is written at once or not at all.
pub(super) async fn say(to: &UnixStream, line: &str, socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let text = format!("{line}\n");
    let sockets: Vec<BorrowedFd<'_>> = socket.into_iter().collect();
    to.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() {
            beside.push(SendAncillaryMessage::ScmRights(&sockets));
        }
        let sent = sendmsg(to.as_fd(), &[IoSlice::new(text.as_bytes())], &mut beside, SendFlags::NOSIGNAL)?;
        if sent == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    })
    .await
}

/// Hears a line, with the socket beside it. The end of the conversation is an error.
pub(super) async fn hear(from: &UnixStream) -> io::Result<(String, Option<OwnedFd>)> {
    let (mut line, mut socket) = (Vec::new(), None);
    while line.last() != Some(&b'\n') {
        let mut piece = [0; BYTES];
        let read = from
            .async_io(Interest::READABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut beside = RecvAncillaryBuffer::new(&mut space);
                let into = &mut [IoSliceMut::new(&mut piece)];
                let read = recvmsg(from.as_fd(), into, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
                for message in beside.drain() {
                    if let RecvAncillaryMessage::ScmRights(mut sockets) = message {
                        socket = sockets.next().or(socket.take());
                    }
                }
                Ok(read.bytes)
            })
            .await?;
        line.extend_from_slice(&piece[..read]);
        if read == 0 || line.len() > BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    line.pop();
    String::from_utf8(line).map(|line| (line, socket)).map_err(|_| io::ErrorKind::InvalidData.into())
}

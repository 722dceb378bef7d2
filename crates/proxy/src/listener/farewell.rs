//! The end of a connection, in the order that lets the last words arrive.
//!
//! A socket that is closed while unread bytes wait in it resets the connection, and the client's kernel
//! throws away what it has not handed out yet. So our side is closed first, and what still comes is read
//! for a moment and thrown away.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{Response, header};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use wire::native::problem::Problem;

use crate::{
    http1::encode,
    refusal::{PROXY_STATUS, REQUEST_ERROR},
};

/// How long a client that still sends is read from after the end.
const LINGER: Duration = Duration::from_secs(1);
/// How much of it is read.
const LINGER_BYTES: usize = 16 << 20;
/// At a time.
const PIECE: usize = 16 << 10;

/// A problem as the whole answer, in the bytes of HTTP/1.
pub(super) fn words(problem: &Problem) -> BytesMut {
    let (parts, body) = Response::<Bytes>::from(problem).into_parts();
    let mut words = BytesMut::new();
    encode::status_line(&mut words, parts.status);
    encode::fields(&mut words, &parts.headers);
    encode::field(&mut words, &PROXY_STATUS, REQUEST_ERROR.as_bytes());
    encode::content_length(&mut words, body.len() as u64);
    encode::field(&mut words, &header::CONNECTION, b"close");
    words.put_slice(b"\r\n");
    words.put_slice(&body);
    words
}

/// Writes the last words and closes; not before the client does, where bytes of it may be unread.
pub(super) async fn say(mut socket: TcpStream, words: &[u8], unread: bool) {
    let said = async {
        socket.write_all(words).await?;
        socket.shutdown().await?;
        let mut sink = vec![0; if unread { PIECE } else { 0 }];
        let mut left = LINGER_BYTES;
        while unread && left > 0 {
            match socket.read(&mut sink).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        std::io::Result::Ok(())
    };
    // A client that is gone needs no words.
    let _ = timeout(LINGER, said).await;
}

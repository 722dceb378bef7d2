//! The end of a connection, in the order that lets the last words arrive.
//!
//! A socket that is closed while unread bytes wait in it resets the connection, and the client's kernel
//! throws away what it has not handed out yet. So our side is closed first, and what still comes is read
//! for a moment and thrown away.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, header};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use wire::native::problem::Problem;

use crate::refusal::{PROXY_STATUS, REQUEST_ERROR};

/// How long a client that still sends is read from after the end.
const LINGER: Duration = Duration::from_secs(1);
/// How much of it is read.
const LINGER_BYTES: usize = 16 << 20;
/// At a time.
const PIECE: usize = 16 << 10;

/// A problem as the whole answer, in the bytes of HTTP/1.
pub(super) fn words(problem: &Problem) -> Vec<u8> {
    let mut response = Response::<Bytes>::from(problem);
    let length = response.body().len();
    let headers = response.headers_mut();
    headers.insert(PROXY_STATUS, REQUEST_ERROR);
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(response.body());
    bytes
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

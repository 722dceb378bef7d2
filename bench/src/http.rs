//! A client that costs as little as it can: one connection, one request at a time, prebuilt bytes out,
//! and of an answer no more than its status and its body.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;

/// Where an answer's head ends.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
const LENGTH: &[u8] = b"\r\ncontent-length: ";
/// What one read asks for.
const READ_BYTES: usize = 64 << 10;

/// One connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What has come of the answer.
    input: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, input: Vec::with_capacity(READ_BYTES) })
    }

    /// Sends a request and reads the answer's body.
    ///
    /// # Errors
    /// The connection broke, or the status is none of success.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<&[u8], Failure> {
        self.stream.write_all(request).await?;
        self.input.clear();
        while whole(&self.input)?.is_none() {
            self.read().await?;
        }
        Ok(whole(&self.input)?.unwrap_or_default())
    }

    /// Sends a request whose answer goes on for ever.
    pub(crate) async fn follow(mut self, request: &[u8]) -> Result<TcpStream, Failure> {
        self.stream.write_all(request).await?;
        Ok(self.stream)
    }

    async fn read(&mut self) -> Result<(), Failure> {
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err("the server closed a connection in the middle of an answer".into()),
            _ => Ok(()),
        }
    }
}

/// The body of an answer; `None` while the answer is not whole.
///
/// # Errors
/// It is none of success, or no HTTP.
pub(crate) fn whole(input: &[u8]) -> Result<Option<&[u8]>, Failure> {
    let Some((status, from, to)) = head(input)? else { return Ok(None) };
    let Some(body) = input.get(from..to) else { return Ok(None) };
    match status {
        200..300 => Ok(Some(body)),
        _ => Err(format!("the server answered {status}: {}", String::from_utf8_lossy(body)).into()),
    }
}

/// Status, and where the body begins and ends; `None` while the head is not whole.
fn head(input: &[u8]) -> Result<Option<(u16, usize, usize)>, Failure> {
    let Some(end) = find(input, END_OF_HEAD) else { return Ok(None) };
    let (head, from) = (&input[..end + 2], end + END_OF_HEAD.len());
    let digits = |bytes: &[u8]| {
        bytes.iter().map_while(|byte| char::from(*byte).to_digit(10)).fold(0, |sum, digit| sum * 10 + digit)
    };
    let status = head.strip_prefix(b"HTTP/1.1 ").map(digits).and_then(|status| u16::try_from(status).ok());
    let status = status.ok_or("the server does not speak HTTP/1.1")?;
    let length = head.windows(LENGTH.len()).position(|window| window.eq_ignore_ascii_case(LENGTH));
    let length = length.map_or(0, |at| digits(&head[at + LENGTH.len()..]) as usize);
    Ok(Some((status, from, from + length)))
}

/// Where `needle` begins.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_status_and_the_place_of_the_body() {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 12\r\n\r\nhello";
        assert_eq!(head(answer).unwrap(), Some((201, 44, 56)));
        assert_eq!(head(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), Some((204, 27, 27)));
        assert_eq!(head(&answer[..20]).unwrap(), None);
        assert!(head(b"SSH-2.0\r\n\r\n").is_err());
    }
}

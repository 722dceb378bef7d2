//! Server-sent events, as a client reads them.

use std::{
    io::{self, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value as Json;

use super::connection::{Head, line, open};

/// Signs of life without an event. A stream that says no more than that has lost what is waited for.
const SILENCE_MAX: usize = 2;

/// An event with a JSON body.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: Json,
}

/// A stream of them.
pub(crate) struct Events(BufReader<Chunks>);

impl Events {
    /// Asks for a stream; anything but a stream is an error.
    pub(crate) fn open(to: SocketAddr, path: &str) -> io::Result<Self> {
        Self::ask(to, &format!("GET {path}"), "")
    }

    /// The same by another method, with a JSON body.
    pub(crate) fn ask(to: SocketAddr, what: &str, body: &str) -> io::Result<Self> {
        let mut stream = open(to)?;
        let length = body.len();
        let head =
            format!("{what} HTTP/1.1\r\nhost: {to}\r\naccept: text/event-stream\r\ncontent-length: {length}");
        write!(stream, "{head}\r\n\r\n{body}")?;
        let mut stream = BufReader::new(stream);
        let head = Head::read(&mut stream)?;
        if head.status != 200 || !head.chunked {
            return Err(io::Error::other(format!("{} and no stream", head.status)));
        }
        Ok(Self(BufReader::new(Chunks { stream, left: 0 })))
    }

    /// The next event. The end of the stream is an error, also within an event.
    pub(crate) fn next(&mut self) -> io::Result<Event> {
        let (mut name, mut id, mut data) = (String::new(), None, String::new());
        let mut silence = 0;
        loop {
            let line = line(&mut self.0)?;
            match line.split_once(':').map(|(field, value)| (field, value.trim_start())) {
                Some(("event", value)) => value.clone_into(&mut name),
                Some(("id", value)) => id = value.parse().ok(),
                Some(("data", value)) => data += value,
                Some(("", _)) => silence += 1,
                _ if line.is_empty() && !data.is_empty() => {
                    let data = serde_json::from_str(&data).map_err(io::Error::other)?;
                    return Ok(Event { name, id, data });
                }
                _ => {}
            }
            assert!(
                silence <= SILENCE_MAX,
                "the stream lives, and the event that is waited for does not come"
            );
        }
    }
}

/// The bytes of a body that comes in chunks.
struct Chunks {
    stream: BufReader<TcpStream>,
    /// Bytes of the chunk that were not read yet.
    left: usize,
}

impl Read for Chunks {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let size = line(&mut self.stream)?;
            self.left = usize::from_str_radix(&size, 16).map_err(|_| ErrorKind::InvalidData)?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = self.left.min(to.len());
        let read = self.stream.read(&mut to[..most])?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        if self.left == 0 {
            line(&mut self.stream)?;
        }
        Ok(read)
    }
}

//! A connection that is kept for many requests, for tests that have no time for a new one each.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::{Answer, PATIENCE};

/// The head of an answer.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) length: usize,
    pub(crate) chunked: bool,
    pub(crate) closes: bool,
}

impl Head {
    /// Reads it to its end.
    pub(crate) fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let status = line(from)?.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(ErrorKind::InvalidData)?;
        let mut head = Self { status, length: 0, chunked: false, closes: false };
        loop {
            let line = line(from)?.to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", length)) => {
                    head.length = length.parse().map_err(|_| ErrorKind::InvalidData)?;
                }
                Some(("transfer-encoding", coding)) => head.chunked = coding == "chunked",
                Some(("connection", option)) => head.closes = option == "close",
                Some(_) => {}
                None => return if line.is_empty() { Ok(head) } else { Err(ErrorKind::InvalidData.into()) },
            }
        }
    }
}

/// A line without its end; a stream that ends within it is an error.
pub(crate) fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let line = line.strip_suffix('\n').ok_or(ErrorKind::UnexpectedEof)?;
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Somebody who asks one thing after the other.
pub(crate) struct Connection {
    to: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    /// Nothing is opened before the first request.
    pub(crate) fn new(to: SocketAddr) -> Self {
        Self { to, stream: None }
    }

    pub(crate) fn to(&self) -> SocketAddr {
        self.to
    }

    /// A request with a lease, if one is held, and a JSON body. An error says that no whole answer came.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        lease: Option<&str>,
        body: &str,
    ) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(open(self.to)?),
        };
        let lease = lease.map_or(String::new(), |lease| format!("if-match: \"{lease}\"\r\n"));
        let (to, length) = (self.to, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {to}\r\n{lease}content-length: {length}\r\n\r\n{body}"
        );
        stream.get_mut().write_all(request.as_bytes())?;
        let head = Head::read(&mut stream)?;
        let mut body = vec![0; head.length];
        stream.read_exact(&mut body)?;
        if !head.closes {
            self.stream = Some(stream);
        }
        let body = String::from_utf8(body).map_err(|_| ErrorKind::InvalidData)?;
        Ok(Answer { status: head.status, body })
    }
}

/// A connection on which no answer is waited for in vain.
pub(crate) fn open(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

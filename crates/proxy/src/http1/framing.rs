//! Where a body ends.

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::head::{FIELDS_MAX, Unreadable, may_end};

/// How a message says where its body ends (RFC 9112, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none, and no length is said.
    None,
    Length(u64),
    Chunked,
    /// It ends with the connection. Only an answer's can.
    UntilEnd,
}

impl Framing {
    /// Whether nothing will follow the head.
    pub(crate) fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// What comes next of a body.
#[derive(Debug)]
pub(crate) enum Piece {
    /// So many bytes at the front of the buffer. They are the caller's to take, all of them, before the next
    /// piece is asked for.
    Data(usize),
    /// Fields after the last chunk; the end follows.
    Trailers(HeaderMap),
    /// It is complete.
    End,
    /// More has to be read first.
    Wanting,
}

/// Reads a body piece by piece.
#[derive(Debug)]
pub(crate) enum Reader {
    Done,
    Length(u64),
    Chunked(Chunks),
    UntilEnd,
}

impl Reader {
    /// `trailer_bytes` bounds what may follow the last chunk.
    pub(crate) fn new(framing: Framing, trailer_bytes: usize) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => {
                Self::Chunked(Chunks { state: State::Size, value: 0, spare: 0, looked_at: 0, trailer_bytes })
            }
            Framing::UntilEnd => Self::UntilEnd,
        }
    }

    /// Whether all of the body has been taken.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// The next piece of what has been read.
    pub(crate) fn next(&mut self, unread: &mut BytesMut) -> Result<Piece, Unreadable> {
        match self {
            Self::Done => Ok(Piece::End),
            _ if unread.is_empty() => Ok(Piece::Wanting),
            Self::Length(left) => {
                let count = (*left).min(unread.len() as u64);
                *left -= count;
                if *left == 0 {
                    *self = Self::Done;
                }
                // No more than the buffer has.
                Ok(Piece::Data(count as usize))
            }
            Self::UntilEnd => Ok(Piece::Data(unread.len())),
            Self::Chunked(chunks) => {
                let piece = chunks.next(unread)?;
                if matches!(piece, Piece::End | Piece::Trailers(_)) {
                    *self = Self::Done;
                }
                Ok(piece)
            }
        }
    }

    /// The connection has ended: whether that is the body's end as well.
    pub(crate) fn ends_with_the_connection(&mut self) -> bool {
        let ends = matches!(self, Self::UntilEnd | Self::Done);
        if ends {
            *self = Self::Done;
        }
        ends
    }
}

/// Reads chunks (RFC 9112, section 7.1).
#[derive(Debug)]
pub(crate) struct Chunks {
    state: State,
    /// The size as far as it was read, then what is left of the chunk.
    value: u64,
    /// Bytes of extensions and white space in all chunks together: nobody needs them, and each costs time.
    spare: usize,
    /// Bytes of incomplete trailers that were looked at.
    looked_at: usize,
    trailer_bytes: usize,
}

/// What is read next.
#[derive(Debug, Clone, Copy)]
enum State {
    /// The first digit of a size.
    Size,
    /// Another digit, or what ends it.
    Digits,
    /// White space between the size and what ends it.
    Padding,
    Extension,
    /// The LF of a size's line.
    LineEnd,
    Data,
    /// CR and LF after a chunk.
    DataCr,
    DataLf,
    Trailers,
}

/// More of extensions is no honest use of them.
const SPARE_MAX: usize = 16 * 1024;
/// A larger chunk would be none.
const SIZE_MAX: u64 = u64::MAX >> 4;

impl Chunks {
    fn next(&mut self, unread: &mut BytesMut) -> Result<Piece, Unreadable> {
        loop {
            match self.state {
                State::Data if self.value == 0 => self.state = State::DataCr,
                State::Data => {
                    let count = self.value.min(unread.len() as u64);
                    if count == 0 {
                        return Ok(Piece::Wanting);
                    }
                    self.value -= count;
                    return Ok(Piece::Data(count as usize));
                }
                State::Trailers => return self.trailers(unread),
                _ => {
                    let Some(byte) = unread.first().copied() else { return Ok(Piece::Wanting) };
                    unread.advance(1);
                    self.state = self.step(byte)?;
                }
            }
        }
    }

    /// The state after a byte that is not a chunk's data.
    fn step(&mut self, byte: u8) -> Result<State, Unreadable> {
        let digit = char::from(byte).to_digit(16).map(u64::from);
        match (self.state, byte) {
            (State::Size | State::Digits, _) if let Some(digit) = digit => {
                if self.value > SIZE_MAX {
                    return Err(Unreadable::because("the size of a chunk has too many digits"));
                }
                self.value = self.value << 4 | digit;
                // Leading zeros are as spare as white space.
                if self.value == 0 { self.spare(State::Digits) } else { Ok(State::Digits) }
            }
            (State::Size, _) => Err(Unreadable::because("the size of a chunk is not a hexadecimal number")),
            (State::Digits | State::Padding | State::Extension, b'\r') => Ok(State::LineEnd),
            (State::Digits | State::Padding, b';') => self.spare(State::Extension),
            (State::Digits | State::Padding, b' ' | b'\t') => self.spare(State::Padding),
            (State::Digits | State::Padding, _) => {
                Err(Unreadable::because("the size of a chunk is followed by something else"))
            }
            (State::Extension, b'\n') => Err(Unreadable::because("a chunk's line ends without CR")),
            (State::Extension, _) => self.spare(State::Extension),
            (State::LineEnd, b'\n') if self.value == 0 => Ok(State::Trailers),
            (State::LineEnd, b'\n') => Ok(State::Data),
            (State::LineEnd, _) => Err(Unreadable::because("a chunk's line ends without LF")),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            (State::DataCr | State::DataLf, _) => Err(Unreadable::because("a chunk is longer than its size")),
            // These are not read byte by byte.
            (State::Data | State::Trailers, _) => Ok(self.state),
        }
    }

    fn spare(&mut self, then: State) -> Result<State, Unreadable> {
        self.spare += 1;
        match self.spare > SPARE_MAX {
            true => Err(Unreadable::because("the chunks have too many extensions")),
            false => Ok(then),
        }
    }

    fn trailers(&mut self, unread: &mut BytesMut) -> Result<Piece, Unreadable> {
        if unread.starts_with(b"\r\n") {
            unread.advance(2);
            return Ok(Piece::End);
        }
        let may_end = self.looked_at == 0 || may_end(unread, self.looked_at);
        self.looked_at = unread.len();
        if !may_end && unread.len() < self.trailer_bytes {
            return Ok(Piece::Wanting);
        }
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        match httparse::parse_headers(unread, &mut fields) {
            Ok(httparse::Status::Complete((length, fields))) if length <= self.trailer_bytes => {
                let mut lines = unread[..length].split_inclusive(|byte| *byte == b'\n');
                if !lines.all(|line| line.ends_with(b"\r\n")) {
                    return Err(Unreadable::because("a trailer's line ends without CR"));
                }
                let mut trailers = HeaderMap::with_capacity(fields.len());
                for field in fields {
                    let name = HeaderName::from_bytes(field.name.as_bytes());
                    let value = HeaderValue::from_bytes(field.value);
                    let (Ok(name), Ok(value)) = (name, value) else {
                        return Err(Unreadable::because("a trailer cannot be read"));
                    };
                    // Who frames a message after its end wants it to be read in two ways.
                    if [header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::HOST].contains(&name) {
                        return Err(Unreadable::because(format!("{name} comes after the body")));
                    }
                    if may_trail(&name) {
                        trailers.append(name, value);
                    }
                }
                unread.advance(length);
                Ok(if trailers.is_empty() { Piece::End } else { Piece::Trailers(trailers) })
            }
            Ok(_) if unread.len() >= self.trailer_bytes => {
                Err(Unreadable::because("the trailers are too long"))
            }
            Ok(_) => Ok(Piece::Wanting),
            Err(error) => Err(Unreadable::because(format!("the trailers cannot be read: {error}"))),
        }
    }
}

/// Whether a field may come after the body: nothing by which a message is framed, routed or authorised (RFC
/// 9110, section 6.5.1), since whoever merges trailers into the head would be led astray.
fn may_trail(name: &HeaderName) -> bool {
    const NEVER: [HeaderName; 11] = [
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::COOKIE,
        header::SET_COOKIE,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::CONTENT_RANGE,
    ];
    !NEVER.contains(name) && !name.as_str().starts_with(crate::outbound::OUR_PREFIX)
}

//! The head of a message.

use std::{borrow::Cow, mem::MaybeUninit};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, request};

use super::framing::Framing;

/// Fields of a head for which there is room on the stack.
pub(crate) const FIELDS_MAX: usize = 100;
/// The longest target that `http`'s types take.
const TARGET_MAX: usize = u16::MAX as usize - 1;

/// What a head may be at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
}

/// Why a message cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("{0}")]
    Malformed(Cow<'static, str>),
    #[error("the first line is too long")]
    LineTooLong,
    #[error("the target is longer than the 65,534 bytes of any target")]
    TargetTooLong,
    #[error("the head is too large")]
    TooLarge,
}

impl Unreadable {
    pub(crate) fn because(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Malformed(why.into())
    }
}

/// The head of a request, without what concerns only the connection that it came by.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) parts: request::Parts,
    pub(crate) framing: Framing,
    /// Whether the body has another coding than chunks.
    pub(crate) is_coded: bool,
    /// Whether the connection may serve another request.
    pub(crate) keep_alive: bool,
    /// Whether the client waits to be told to send its body.
    pub(crate) expects: bool,
    /// The protocol that it asks to change to.
    pub(crate) upgrade: Option<HeaderValue>,
    /// Whether it takes trailers.
    pub(crate) takes_trailers: bool,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    /// The fields that go on, as lines.
    pub(crate) fields: BytesMut,
    pub(crate) framing: Framing,
    /// The length that it says, also of an answer that has no body itself.
    pub(crate) length: Option<u64>,
    /// Whether the connection may serve another request.
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: Option<Box<[u8]>>,
    pub(crate) retry_after: Option<Box<RetryAfter>>,
    pub(crate) has_date: bool,
}

/// When an endpoint wants to be asked again, in its own words.
#[derive(Debug)]
pub(crate) struct RetryAfter {
    pub(crate) value: Box<[u8]>,
    /// The answer's own date.
    pub(crate) date: Option<Box<[u8]>>,
}

/// Fields that say something about the message itself or about its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Connection,
    ContentLength,
    TransferEncoding,
    Upgrade,
    Te,
    Expect,
    Date,
    RetryAfter,
    /// Of this connection, and of no use to us.
    HopByHop,
    Other,
}

impl Role {
    fn of(name: &str) -> Self {
        // By length and first letter, because of most names no more has to be looked at.
        let first = name.as_bytes().first().map_or(0, u8::to_ascii_lowercase);
        let (known, role) = match (name.len(), first) {
            (2, b't') => ("te", Self::Te),
            (4, b'd') => ("date", Self::Date),
            (6, b'e') => ("expect", Self::Expect),
            (7, b'u') => ("upgrade", Self::Upgrade),
            (10, b'k') => ("keep-alive", Self::HopByHop),
            (10, b'c') => ("connection", Self::Connection),
            (11, b'r') => ("retry-after", Self::RetryAfter),
            (14, b'c') => ("content-length", Self::ContentLength),
            (16, b'p') => ("proxy-connection", Self::HopByHop),
            (17, b't') => ("transfer-encoding", Self::TransferEncoding),
            (19, b'p') => ("proxy-authorization", Self::HopByHop),
            _ => return Self::Other,
        };
        if name.eq_ignore_ascii_case(known) { role } else { Self::Other }
    }

    /// Whether it is passed on with an answer.
    fn passes(self) -> bool {
        matches!(self, Self::Date | Self::RetryAfter | Self::Expect | Self::Other)
    }
}

/// What a message says of its connection and of its body.
#[derive(Default)]
struct Said<'a> {
    close: bool,
    keep_alive: bool,
    upgrades: bool,
    /// Other fields of this connection, where `Connection` names any.
    named: Vec<&'a [u8]>,
    length: Option<u64>,
    /// The last coding is chunks, if there is one.
    chunked: Option<bool>,
    codings: usize,
    upgrade: Option<&'a [u8]>,
    takes_trailers: bool,
    expects: bool,
}

impl<'a> Said<'a> {
    fn connection(&mut self, value: &'a [u8]) {
        for token in tokens(value) {
            match token {
                _ if token.eq_ignore_ascii_case(b"close") => self.close = true,
                _ if token.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                _ if token.eq_ignore_ascii_case(b"upgrade") => self.upgrades = true,
                // A client may not have its Host removed by calling it its connection's.
                _ if token.eq_ignore_ascii_case(b"host") => {}
                _ => self.named.push(token),
            }
        }
    }

    fn content_length(&mut self, value: &[u8], may_repeat: bool) -> Result<(), Unreadable> {
        let length = digits(value).ok_or_else(|| Unreadable::because("Content-Length is not a number"))?;
        match self.length.replace(length) {
            Some(before) if before != length || !may_repeat => {
                Err(Unreadable::because("there is more than one Content-Length"))
            }
            _ => Ok(()),
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) {
        // Empty elements of the list count: who writes `chunked,` leaves it open what else there is.
        for coding in value.split(|byte| *byte == b',') {
            self.codings += 1;
            self.chunked = Some(coding.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        }
    }

    fn is_named(&self, name: &str) -> bool {
        self.named.iter().any(|named| named.eq_ignore_ascii_case(name.as_bytes()))
    }

    fn keeps_alive(&self, is_old: bool) -> bool {
        !self.close && (!is_old || self.keep_alive)
    }
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// A number in digits and nothing else.
fn digits(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}

/// Whether a head that was incomplete may be complete since so many bytes were looked at.
pub(crate) fn may_end(unread: &[u8], looked_at: usize) -> bool {
    let rest = &unread[looked_at.saturating_sub(3).min(unread.len())..];
    let mut ends = rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.any(|(at, _)| matches!(rest[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

/// Takes the head of a request from the buffer; `None` where it is not complete.
pub(crate) fn request(unread: &mut BytesMut, bounds: Bounds) -> Result<Option<RequestHead>, Unreadable> {
    // Empty lines before a request are no part of it (RFC 9112, section 2.2).
    while let Some(line) = [b"\r\n".as_slice(), b"\n"].iter().find(|line| unread.starts_with(line)) {
        unread.advance(line.len());
    }
    if unread.is_empty() {
        return Ok(None);
    }
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let most = bounds.fields.min(FIELDS_MAX);
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(unread, &mut fields[..most]) {
        Ok(httparse::Status::Complete(length)) if length <= bounds.bytes => length,
        Ok(httparse::Status::Partial) if unread.len() < bounds.bytes => return Ok(None),
        Ok(_) => return Err(too_large(unread, bounds)),
        Err(error) => return Err(unparsed(error, unread, bounds)),
    };
    // The parser has set all of them where it says that the head is complete.
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Unreadable::because("the first line cannot be read"));
    };
    if target.len() > TARGET_MAX {
        return Err(Unreadable::TargetTooLong);
    }
    let is_old = version == 0;
    let head = Bytes::copy_from_slice(&unread[..length]);
    let mut parts = Request::new(()).into_parts().0;
    let mut said = Said::default();
    parts.headers = HeaderMap::with_capacity(request.headers.len() + ADDED);
    for field in &*request.headers {
        match Role::of(field.name) {
            Role::Connection => said.connection(field.value),
            Role::ContentLength => said.content_length(field.value, false)?,
            Role::TransferEncoding => said.transfer_encoding(field.value),
            Role::Upgrade => said.upgrade = Some(field.value),
            Role::Te => {
                said.takes_trailers |=
                    tokens(field.value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
            }
            Role::Expect => said.expects |= field.value.eq_ignore_ascii_case(b"100-continue"),
            Role::HopByHop => {}
            Role::Date | Role::RetryAfter | Role::Other => {
                let name = HeaderName::from_bytes(field.name.as_bytes());
                let value = HeaderValue::from_maybe_shared(head.slice(within(unread, field.value)));
                let (Ok(name), Ok(value)) = (name, value) else {
                    return Err(Unreadable::because(format!("the field {:?} cannot be read", field.name)));
                };
                parts.headers.append(name, value);
            }
        }
    }
    for name in &said.named {
        if let Ok(name) = HeaderName::from_bytes(name) {
            parts.headers.remove(name);
        }
    }
    parts.method = Method::from_bytes(method.as_bytes())
        .map_err(|_| Unreadable::because("the method cannot be read"))?;
    if method == "PRI" {
        return Err(Unreadable::because("the method is how HTTP/2 begins (RFC 9113, section 11.6)"));
    }
    parts.uri = Uri::from_maybe_shared(head.slice(within(unread, target.as_bytes())))
        .map_err(|error| Unreadable::because(format!("the target cannot be read: {error}")))?;
    let is_authority = parts.uri.scheme().is_none() && parts.uri.authority().is_some();
    if is_authority && parts.method != Method::CONNECT {
        return Err(Unreadable::because("the target is neither a path nor a URL"));
    }
    parts.version = if is_old { Version::HTTP_10 } else { Version::HTTP_11 };
    let framing = match (said.chunked, said.length) {
        (Some(_), _) if is_old => {
            return Err(Unreadable::because("HTTP/1.0 has no Transfer-Encoding"));
        }
        (Some(false), _) => return Err(Unreadable::because("the last transfer coding is not chunked")),
        (Some(true), _) => Framing::Chunked,
        (None, Some(length)) => Framing::Length(length),
        (None, None) => Framing::None,
    };
    // Who sends both lengths means no good, or cannot count: nothing of what follows is believed.
    let ambiguous = said.chunked.is_some() && said.length.is_some();
    // HTTP/2 by this way would be a tunnel past routes, limits and breakers.
    let is_h2c = |protocols: &&[u8]| tokens(protocols).any(|protocol| protocol.eq_ignore_ascii_case(b"h2c"));
    let may_switch = said.upgrades && !is_old && framing.is_empty();
    let upgrade = said.upgrade.filter(|protocols| may_switch && !is_h2c(protocols));
    let request = RequestHead {
        upgrade: upgrade.and_then(|protocol| HeaderValue::from_bytes(protocol).ok()),
        keep_alive: said.keeps_alive(is_old) && !ambiguous,
        expects: said.expects && !is_old && !framing.is_empty(),
        is_coded: said.codings > 1,
        takes_trailers: said.takes_trailers,
        framing,
        parts,
    };
    unread.advance(length);
    Ok(Some(request))
}

/// Fields that a request gets on its way.
const ADDED: usize = 4;

/// Where a part of the buffer lies in it.
fn within(whole: &[u8], part: &[u8]) -> std::ops::Range<usize> {
    let begin = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    begin..begin + part.len()
}

fn too_large(unread: &[u8], bounds: Bounds) -> Unreadable {
    match unread.iter().position(|byte| *byte == b'\n') {
        Some(line) if line < bounds.bytes => Unreadable::TooLarge,
        _ => Unreadable::LineTooLong,
    }
}

fn unparsed(error: httparse::Error, unread: &[u8], bounds: Bounds) -> Unreadable {
    match error {
        httparse::Error::TooManyHeaders => too_large(unread, bounds),
        error => Unreadable::because(error.to_string()),
    }
}

/// Takes the head of an answer to `method` from the buffer; `None` where it is not complete.
pub(crate) fn response(
    unread: &mut BytesMut,
    method: &Method,
    bounds: Bounds,
) -> Result<Option<ResponseHead>, Unreadable> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        unread,
        &mut fields,
    );
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) if length <= bounds.bytes => length,
        Ok(httparse::Status::Partial) if unread.len() < bounds.bytes => return Ok(None),
        Ok(_) => return Err(Unreadable::TooLarge),
        Err(error) => return Err(unparsed(error, unread, bounds)),
    };
    let (Some(code), Some(version)) = (response.code, response.version) else {
        return Err(Unreadable::because("the first line cannot be read"));
    };
    let status = StatusCode::from_u16(code).map_err(|_| Unreadable::because("the status is none"))?;
    let is_old = version == 0;
    let mut said = Said::default();
    let (mut retry_after, mut date) = (None, None);
    let mut lines = BytesMut::with_capacity(length);
    for field in &*response.headers {
        let role = Role::of(field.name);
        if role.passes() {
            line(&mut lines, field);
        }
        match role {
            Role::Connection => said.connection(field.value),
            // Some servers say the same length twice.
            Role::ContentLength => said.content_length(field.value, true)?,
            Role::TransferEncoding => said.transfer_encoding(field.value),
            Role::Upgrade => said.upgrade = Some(field.value),
            Role::Date => date = Some(field.value),
            Role::RetryAfter => retry_after = Some(field.value),
            Role::Te | Role::Expect | Role::HopByHop | Role::Other => {}
        }
    }
    let framing = match (said.chunked, said.length) {
        _ if *method == Method::HEAD || code < 200 || matches!(code, 204 | 304) => Framing::None,
        // Unwrapping only the chunks of a body that is compressed for the way would deliver rubbish.
        (Some(_), _) if is_old || said.chunked == Some(false) || said.codings != 1 => {
            return Err(Unreadable::because("the response has a transfer coding other than chunked"));
        }
        (Some(_), _) => Framing::Chunked,
        (None, Some(length)) => Framing::Length(length),
        (None, None) => Framing::UntilEnd,
    };
    if !said.named.is_empty() {
        lines.clear();
        let passes =
            |field: &&httparse::Header<'_>| Role::of(field.name).passes() && !said.is_named(field.name);
        for field in response.headers.iter().filter(passes) {
            line(&mut lines, field);
        }
    }
    let copy = |value: Option<&[u8]>| value.map(Box::from);
    let retry_after = copy(retry_after).map(|value| Box::new(RetryAfter { value, date: copy(date) }));
    let ambiguous = said.chunked.is_some() && said.length.is_some();
    let response = ResponseHead {
        status,
        fields: lines,
        framing,
        length: said.length.filter(|_| said.chunked.is_none()),
        keep_alive: said.keeps_alive(is_old) && !ambiguous && framing != Framing::UntilEnd,
        upgrade: copy(said.upgrade.filter(|_| said.upgrades)),
        retry_after,
        has_date: date.is_some() && !said.is_named("date"),
    };
    unread.advance(length);
    Ok(Some(response))
}

/// A field as it goes on.
fn line(out: &mut BytesMut, field: &httparse::Header<'_>) {
    for part in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

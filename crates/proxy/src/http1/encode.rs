//! Messages as bytes.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use super::framing::Framing;

/// What a server says before a body that its client holds back.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// The end of a chunked body without trailers.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The first line of a request.
pub(crate) fn request_line(out: &mut BytesMut, method: &Method, uri: &Uri) {
    out.put_slice(method.as_str().as_bytes());
    out.put_slice(b" ");
    // `/` where the target has no path of its own.
    out.put_slice(uri.path().as_bytes());
    if let Some(query) = uri.query() {
        out.put_slice(b"?");
        out.put_slice(query.as_bytes());
    }
    out.put_slice(b" HTTP/1.1\r\n");
}

/// The first line of an answer.
pub(crate) fn status_line(out: &mut BytesMut, status: StatusCode) {
    if status == StatusCode::OK {
        return out.put_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_slice(b" ");
    out.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.put_slice(b"\r\n");
}

/// A field.
pub(crate) fn field(out: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    let name = name.as_str().as_bytes();
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// All of these fields.
pub(crate) fn fields(out: &mut BytesMut, fields: &HeaderMap<HeaderValue>) {
    for (name, value) in fields {
        field(out, name, value.as_bytes());
    }
}

/// Where the body ends, in fields.
pub(crate) fn framing(out: &mut BytesMut, framing: Framing) {
    match framing {
        Framing::None | Framing::UntilEnd => {}
        Framing::Length(length) => content_length(out, length),
        Framing::Chunked => field(out, &header::TRANSFER_ENCODING, b"chunked"),
    }
}

/// A length in digits.
pub(crate) fn content_length(out: &mut BytesMut, length: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = length;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    field(out, &header::CONTENT_LENGTH, &digits[at..]);
}

/// A piece of a body. An empty one is none: as a chunk it would be the end.
pub(crate) fn piece(out: &mut BytesMut, piece: &[u8], chunked: bool) {
    if !chunked {
        return out.put_slice(piece);
    }
    if piece.is_empty() {
        return;
    }
    let mut digits = [0; 16];
    let mut at = digits.len();
    let mut left = piece.len();
    while left > 0 {
        at -= 1;
        digits[at] = b"0123456789abcdef"[left % 16];
        left /= 16;
    }
    out.reserve(digits.len() + piece.len() + 4);
    out.put_slice(&digits[at..]);
    out.put_slice(b"\r\n");
    out.put_slice(piece);
    out.put_slice(b"\r\n");
}

/// The end of a body.
pub(crate) fn end(out: &mut BytesMut, trailers: Option<&HeaderMap>, chunked: bool) {
    match trailers {
        _ if !chunked => {}
        None => out.put_slice(LAST_CHUNK),
        Some(trailers) => {
            out.put_slice(b"0\r\n");
            fields(out, trailers);
            out.put_slice(b"\r\n");
        }
    }
}

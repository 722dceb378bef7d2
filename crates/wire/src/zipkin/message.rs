//! Zipkin's Protocol Buffers: `zipkin.proto3.ListOfSpans`, version 1.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::borrow::Cow;

use super::{Endpoint, Kind, Malformed, Span, rewrite::rewrite};
use crate::protobuf::{Broken, Fields, Raw};

/// Rewrites a list of spans in Protocol Buffers as a request of OTLP.
///
/// # Errors
/// The bytes are no message.
pub fn from_protobuf(list: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut spans = Vec::new();
    let mut fields = Fields::of(list);
    let malformed = |Broken { what, .. }: Broken| Malformed(what.to_owned());
    while let Some((number, raw)) = fields.next().map_err(malformed)? {
        if let (1, Raw::Bytes(message)) = (number, raw) {
            spans.push(span(message).map_err(malformed)?);
        }
    }
    Ok(rewrite(spans))
}

fn span(message: &[u8]) -> Result<Span<'_>, Broken> {
    let mut span = Span::default();
    let mut fields = Fields::of(message);
    while let Some((number, raw)) = fields.next()? {
        match (number, raw) {
            // A trace id of 64 bits stands for one with zeros before it.
            (1, Raw::Bytes(id)) => span.trace_id = number_of(id).filter(|_| matches!(id.len(), 8 | 16)),
            (2, Raw::Bytes(id)) => span.parent = id_of(id),
            (3, Raw::Bytes(id)) => span.id = id_of(id),
            (4, Raw::Varint(1)) => span.kind = Kind::Client,
            (4, Raw::Varint(2)) => span.kind = Kind::Server,
            (4, Raw::Varint(3)) => span.kind = Kind::Producer,
            (4, Raw::Varint(4)) => span.kind = Kind::Consumer,
            (5, Raw::Bytes(name)) => span.name = text(name),
            (6, Raw::Fixed64(time)) => span.timestamp = time,
            (7, Raw::Varint(duration)) => span.duration = duration,
            (8, Raw::Bytes(message)) => span.local = endpoint(message)?,
            (9, Raw::Bytes(message)) => span.remote = endpoint(message)?,
            (10, Raw::Bytes(message)) => span.annotations.push(annotation(message)?),
            (11, Raw::Bytes(message)) => {
                let (key, value) = tag(message)?;
                span.tags.insert(key, value);
            }
            (13, Raw::Varint(shared)) => span.shared = shared != 0,
            _ => {}
        }
    }
    Ok(span)
}

fn endpoint(message: &[u8]) -> Result<Endpoint<'_>, Broken> {
    let mut endpoint = Endpoint::default();
    let mut fields = Fields::of(message);
    while let Some((number, raw)) = fields.next()? {
        match (number, raw) {
            (1, Raw::Bytes(name)) => endpoint.service = text(name),
            (2, Raw::Bytes(address)) => {
                if let Ok(address) = <[u8; 4]>::try_from(address) {
                    endpoint.address = Ipv4Addr::from(address).to_string().into();
                }
            }
            (3, Raw::Bytes(address)) => {
                if let (true, Ok(address)) = (endpoint.address.is_empty(), <[u8; 16]>::try_from(address)) {
                    endpoint.address = Ipv6Addr::from(address).to_string().into();
                }
            }
            (4, Raw::Varint(port)) => endpoint.port = u16::try_from(port).unwrap_or_default(),
            _ => {}
        }
    }
    Ok(endpoint)
}

fn annotation(message: &[u8]) -> Result<(u64, Cow<'_, str>), Broken> {
    let mut annotation = (0, Cow::default());
    let mut fields = Fields::of(message);
    while let Some((number, raw)) = fields.next()? {
        match (number, raw) {
            (1, Raw::Fixed64(time)) => annotation.0 = time,
            (2, Raw::Bytes(value)) => annotation.1 = text(value),
            _ => {}
        }
    }
    Ok(annotation)
}

fn tag(message: &[u8]) -> Result<(Cow<'_, str>, Cow<'_, str>), Broken> {
    let mut tag = (Cow::default(), Cow::default());
    let mut fields = Fields::of(message);
    while let Some((number, raw)) = fields.next()? {
        match (number, raw) {
            (1, Raw::Bytes(key)) => tag.0 = text(key),
            (2, Raw::Bytes(value)) => tag.1 = text(value),
            _ => {}
        }
    }
    Ok(tag)
}

/// What is not UTF-8 keeps what of it is.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn number_of(bytes: &[u8]) -> Option<u128> {
    (bytes.len() <= 16).then(|| bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
}

fn id_of(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

//! SkyWalking's `sw8`, version 3 of its protocol: eight fields joined by dashes, the decision, the trace, the
//! caller's segment and the number of the span in it, then the caller's service, instance and endpoint and the
//! address that it calls, all texts in Base64.

use identity::{SpanId, TraceId};

use super::{Extracted, Format, MAX_HEADER, Sampling, base64, context, hex};
use crate::context::TraceContext;

/// What the header says beyond ids and decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The trace, as SkyWalking calls it.
    pub trace: Box<str>,
    /// The calling service.
    pub service: Box<str>,
    /// Its instance.
    pub instance: Box<str>,
    /// What it was doing.
    pub endpoint: Box<str>,
    /// What it called.
    pub peer: Box<str>,
}

/// Who makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hop<'a> {
    /// The service.
    pub service: &'a str,
    /// Its instance.
    pub instance: &'a str,
    /// What it is doing.
    pub endpoint: &'a str,
    /// What it calls: an address.
    pub peer: &'a str,
}

pub(super) fn read(text: &str) -> Option<Extracted> {
    let parts: Vec<&str> = text.splitn(9, '-').collect();
    let [decision, trace, segment, number, service, instance, endpoint, peer] = parts[..] else {
        return None;
    };
    let sampling = match decision {
        "0" => Sampling::Drop,
        "1" => Sampling::Keep,
        _ => return None,
    };
    let is_number = (1..=9).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let (trace, segment) = (base64::decode(trace)?, base64::decode(segment)?);
    if !is_number || trace.is_empty() || segment.is_empty() {
        return None;
    }
    let context = context(trace_id(&trace)?, span_id(&segment, number)?, sampling);
    let segment = Segment {
        trace: trace.into(),
        service: base64::decode(service)?.into(),
        instance: base64::decode(instance)?.into(),
        endpoint: base64::decode(endpoint)?.into(),
        peer: base64::decode(peer)?.into(),
    };
    Some(Extracted { format: Format::Sw8, context: Some(context), sampling, segment: Some(segment) })
}

/// What is written for a span of ours: its trace as it is known to SkyWalking, its id as a segment of its own.
pub(super) fn write(context: &TraceContext, hop: &Hop<'_>, came: Option<&Segment>) -> String {
    let trace = match came {
        Some(segment) if trace_id(&segment.trace) == Some(context.trace_id) => segment.trace.to_string(),
        _ => context.trace_id.to_string(),
    };
    let field = |text: &str| base64::encode(&text[..text.floor_char_boundary(MAX_HEADER / 16)]);
    format!(
        "{}-{}-{}-0-{}-{}-{}-{}",
        u8::from(context.flags.sampled()),
        base64::encode(&trace),
        base64::encode(&context.span_id.to_string()),
        field(hop.service),
        field(hop.instance),
        field(hop.endpoint),
        field(hop.peer),
    )
}

/// A trace id of 32 digits is itself, any other text its hash.
fn trace_id(text: &str) -> Option<TraceId> {
    TraceId::new(hex(text, 32, 32).unwrap_or_else(|| hash(text.bytes())))
}

/// A segment that we wrote is a span's id, any other one makes one with the number of the span in it.
fn span_id(segment: &str, number: &str) -> Option<SpanId> {
    let ours = if number == "0" { hex(segment, 16, 16) } else { None };
    let hashed = || hash(segment.bytes().chain([b'-']).chain(number.bytes()));
    SpanId::new(ours.unwrap_or_else(hashed) as u64)
}

/// FNV-1a of 128 bits: the same in every process and version, and good enough for texts that nobody chooses
/// with the aim that they collide: whoever could, could as well send the same text.
fn hash(bytes: impl Iterator<Item = u8>) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

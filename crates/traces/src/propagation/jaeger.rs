//! Jaeger's `uber-trace-id: trace:span:parent:flags`. Ids may be written without their leading zeros, and the
//! colons as browsers write them in a URL.

use identity::TraceId;

use super::{Extracted, Format, Sampling, context, hex, span_id};
use crate::context::TraceContext;

const SAMPLED: u128 = 1;
const DEBUG: u128 = 2;

pub(super) fn read(text: &str) -> Option<Extracted> {
    let text = text.replace("%3A", ":").replace("%3a", ":");
    let mut parts = text.split(':');
    let (trace, span, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // The parent has no meaning any more, but has to be there.
    if parts.next().is_some() || hex(parent, 1, 16).is_none() {
        return None;
    }
    let flags = hex(flags, 1, 2)?;
    let sampling = match (flags & SAMPLED, flags & DEBUG) {
        (0, _) => Sampling::Drop,
        (_, 0) => Sampling::Keep,
        _ => Sampling::Debug,
    };
    let context = context(TraceId::new(hex(trace, 1, 32)?)?, span_id(hex(span, 1, 16)?)?, sampling);
    Some(Extracted { format: Format::Jaeger, context: Some(context), sampling, segment: None })
}

pub(super) fn write(context: &TraceContext, is_debug: bool) -> String {
    let flags = match (is_debug, context.flags.sampled()) {
        (true, _) => SAMPLED | DEBUG,
        (false, true) => SAMPLED,
        (false, false) => 0,
    };
    format!("{}:{}:0:{flags:x}", context.trace_id, context.span_id)
}

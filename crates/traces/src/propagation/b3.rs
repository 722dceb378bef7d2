//! Zipkin's B3, in one header (`b3: trace-span-decision-parent`) or in several.

use identity::TraceId;

use super::{B3_MULTI, Extracted, Format, Sampling, context, hex, span_id};
use crate::context::TraceContext;

/// Trace ids have 64 or 128 bits, always with all their digits.
fn trace_id(text: &str) -> Option<TraceId> {
    if text.len() == 16 || text.len() == 32 { TraceId::new(hex(text, 16, 32)?) } else { None }
}

fn extracted(format: Format, trace: &str, span: &str, sampling: Sampling) -> Option<Extracted> {
    let context = context(trace_id(trace)?, span_id(hex(span, 16, 16)?)?, sampling);
    Some(Extracted { format, context: Some(context), sampling, segment: None })
}

/// Reads the one header. Alone, a decision stands for a trace that is still to begin.
pub(super) fn read_single(text: &str) -> Option<Extracted> {
    let format = Format::B3;
    let decision = |text: &str| match text {
        "0" => Some(Sampling::Drop),
        "1" => Some(Sampling::Keep),
        "d" => Some(Sampling::Debug),
        _ => None,
    };
    if let Some(sampling) = decision(text) {
        return Some(Extracted { format, context: None, sampling, segment: None });
    }
    let mut parts = text.split('-');
    let (trace, span) = (parts.next()?, parts.next()?);
    let sampling = parts.next().map_or(Some(Sampling::Deferred), decision)?;
    let parent_is_fine = parts.next().is_none_or(|parent| hex(parent, 16, 16).is_some());
    if !parent_is_fine || parts.next().is_some() {
        return None;
    }
    extracted(format, trace, span, sampling)
}

/// Reads the several headers.
pub(super) fn read_multi<'a>(value: impl Fn(&'static str) -> Option<&'a str>) -> Option<Extracted> {
    let [trace, span, _, sampled, flags] = B3_MULTI;
    let sampling = match (value(flags), value(sampled)) {
        (Some("1"), _) => Sampling::Debug,
        // Some senders write the words that B3 had before it had numbers.
        (_, Some("1" | "true")) => Sampling::Keep,
        (_, Some("0" | "false")) => Sampling::Drop,
        (_, None) => Sampling::Deferred,
        (_, Some(_)) => return None,
    };
    let format = Format::B3Multi;
    match (value(trace), value(span)) {
        (Some(trace), Some(span)) => extracted(format, trace, span, sampling),
        (None, None) if sampling != Sampling::Deferred => {
            Some(Extracted { format, context: None, sampling, segment: None })
        }
        _ => None,
    }
}

/// Writes the one header.
pub(super) fn single(context: &TraceContext, is_debug: bool) -> String {
    let decision = if is_debug { "d" } else { digit(context) };
    format!("{}-{}-{decision}", context.trace_id, context.span_id)
}

/// Writes the several headers.
pub(super) fn multi(context: &TraceContext, is_debug: bool, headers: &mut Vec<(&'static str, String)>) {
    let [trace, span, _, sampled, flags] = B3_MULTI;
    headers.push((trace, context.trace_id.to_string()));
    headers.push((span, context.span_id.to_string()));
    // Debugging implies the decision, which must not be sent beside it.
    headers.push(if is_debug { (flags, "1".to_owned()) } else { (sampled, digit(context).to_owned()) });
}

fn digit(context: &TraceContext) -> &'static str {
    if context.flags.sampled() { "1" } else { "0" }
}

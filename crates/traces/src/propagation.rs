//! The context of a call in the headers of whoever sends it: W3C Trace Context and Baggage, Zipkin's B3 in one
//! header or in several, Jaeger's `uber-trace-id`, and SkyWalking's `sw8`.
//!
//! [`extract`] reads whichever is there, the W3C's first; [`inject`] writes those that are configured and the
//! one that the call came with, since a header that is left as it came would name the wrong parent. Reading is
//! strict: what breaks its format's rule is as if it were not there, and the next format is tried. Nothing is
//! read beyond [`MAX_HEADER`] bytes.
//!
//! SkyWalking's ids are texts. One that is no number of 128 bits becomes its hash, the same in every process;
//! the text travels along, so that a SkyWalking agent further on still knows its trace.

mod b3;
mod baggage;
mod base64;
mod jaeger;
mod sw8;

use std::{fmt, str::FromStr};

use identity::{Invalid, SpanId, TraceId};

use crate::context::{Flags, TRACEPARENT, TRACESTATE, TraceContext};

pub use baggage::Baggage;
pub use sw8::{Hop, Segment};

/// The header of W3C Baggage.
pub const BAGGAGE: &str = "baggage";
/// Zipkin's one header.
pub const B3: &str = "b3";
/// Zipkin's several headers: trace, span, parent, decision, and `1` for debugging.
pub const B3_MULTI: [&str; 5] =
    ["x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"];
/// Jaeger's header.
pub const UBER_TRACE_ID: &str = "uber-trace-id";
/// SkyWalking's header.
pub const SW8: &str = "sw8";

/// Longer headers are not read: the longest that a sender has reason for is an `sw8` with long names.
pub const MAX_HEADER: usize = 4_096;

/// A way to write a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// `traceparent` and `tracestate`.
    TraceContext,
    /// `b3`.
    B3,
    /// `x-b3-traceid` and the others.
    B3Multi,
    /// `uber-trace-id`.
    Jaeger,
    /// `sw8`.
    Sw8,
}

impl Format {
    /// All formats, in the order in which they are looked for.
    pub const ALL: [Format; 5] =
        [Format::TraceContext, Format::B3, Format::B3Multi, Format::Jaeger, Format::Sw8];

    /// The name that OpenTelemetry's propagators have for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TraceContext => "tracecontext",
            Self::B3 => "b3",
            Self::B3Multi => "b3multi",
            Self::Jaeger => "jaeger",
            Self::Sw8 => "sw8",
        }
    }

    /// The headers that it consists of.
    pub const fn headers(self) -> &'static [&'static str] {
        match self {
            Self::TraceContext => &[TRACEPARENT, TRACESTATE],
            Self::B3 => &[B3],
            Self::B3Multi => &B3_MULTI,
            Self::Jaeger => &[UBER_TRACE_ID],
            Self::Sw8 => &[SW8],
        }
    }
}

/// A set of formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Formats(u8);

impl Formats {
    /// No format.
    pub const NONE: Formats = Formats(0);

    /// This set with one more.
    #[must_use]
    pub const fn with(self, format: Format) -> Self {
        Self(self.0 | 1 << format as u8)
    }

    /// Whether a format is in it.
    pub const fn has(self, format: Format) -> bool {
        self.0 & 1 << format as u8 != 0
    }

    /// Its formats, in the order of [`Format::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Format> {
        Format::ALL.into_iter().filter(move |format| self.has(*format))
    }
}

impl Default for Formats {
    fn default() -> Self {
        Self::NONE.with(Format::TraceContext)
    }
}

impl fmt::Display for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(Format::as_str).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for Formats {
    type Err = Invalid;

    /// Reads names joined by commas, as OpenTelemetry's `OTEL_PROPAGATORS` has them.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.split(',').map(str::trim).try_fold(Self::NONE, |formats, name| {
            let named = Format::ALL.into_iter().find(|format| format.as_str() == name);
            named.map(|format| formats.with(format)).ok_or_else(|| {
                let rule = "names of tracecontext, b3, b3multi, jaeger and sw8, joined by ','";
                Invalid::new("propagation", text, rule)
            })
        })
    }
}

/// What a caller has decided about keeping a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sampling {
    /// Nothing: whoever comes next decides.
    #[default]
    Deferred,
    /// Not to keep it.
    Drop,
    /// To keep it.
    Keep,
    /// To keep it, whatever anyone else thinks of it.
    Debug,
}

/// What the headers of a call say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// In which format.
    pub format: Format,
    /// Where the call stands in its trace; `None` where a caller only says what is to be kept.
    pub context: Option<TraceContext>,
    /// What its caller has decided.
    pub sampling: Sampling,
    /// What SkyWalking's header says beyond that.
    pub segment: Option<Segment>,
}

/// Whether a header, by its lower-case name, can make [`extract`] find something. Most calls have none such, and
/// one look at each of their names says so sooner than a search for each of these.
pub fn is_header(name: &str) -> bool {
    // Not `tracestate`, which says nothing alone.
    matches!(name, TRACEPARENT | B3 | UBER_TRACE_ID | SW8) || B3_MULTI.contains(&name)
}

/// Reads the context of a call. `values` gives all values of a header, in order, and is asked for lower-case
/// names.
pub fn extract<'a, V>(values: impl Fn(&'static str) -> V) -> Option<Extracted>
where
    V: IntoIterator<Item = &'a str>,
{
    Format::ALL.into_iter().find_map(|format| match format {
        Format::TraceContext => {
            let context = TraceContext::extract(values(TRACEPARENT), values(TRACESTATE))?;
            // The W3C's flag says that a caller may have recorded the call. Cleared, it decides nothing.
            let sampling = if context.flags.sampled() { Sampling::Keep } else { Sampling::Drop };
            Some(Extracted { format, context: Some(context), sampling, segment: None })
        }
        Format::B3 => b3::read_single(only(values(B3))?),
        Format::B3Multi => b3::read_multi(|name| only(values(name))),
        Format::Jaeger => jaeger::read(only(values(UBER_TRACE_ID))?),
        Format::Sw8 => sw8::read(only(values(SW8))?),
    })
}

/// Writes the headers of a call to make. `hop` is who makes it, as SkyWalking's header wants to know;
/// `came` is what the call's own caller said.
pub fn inject(
    context: &TraceContext,
    formats: Formats,
    hop: &Hop<'_>,
    came: Option<&Extracted>,
) -> Vec<(&'static str, String)> {
    let formats = came.map_or(formats, |came| formats.with(came.format));
    let is_debug = came.is_some_and(|came| came.sampling == Sampling::Debug);
    let mut headers = Vec::with_capacity(4);
    for format in formats.iter() {
        match format {
            Format::TraceContext => {
                headers.push((TRACEPARENT, context.traceparent()));
                if !context.state.is_empty() {
                    headers.push((TRACESTATE, context.state.as_str().to_owned()));
                }
            }
            Format::B3 => headers.push((B3, b3::single(context, is_debug))),
            Format::B3Multi => b3::multi(context, is_debug, &mut headers),
            Format::Jaeger => headers.push((UBER_TRACE_ID, jaeger::write(context, is_debug))),
            Format::Sw8 => {
                let segment = came.and_then(|came| came.segment.as_ref());
                headers.push((SW8, sw8::write(context, hop, segment)));
            }
        }
    }
    headers
}

/// The one value of a header. Of two nobody knows which one is right.
fn only<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut values = values.into_iter();
    let value = values.next()?.trim_matches([' ', '\t']);
    (values.next().is_none() && value.len() <= MAX_HEADER).then_some(value)
}

/// The context that foreign ids make. A trace id of 64 bits is one with leading zeros.
fn context(trace_id: TraceId, span_id: SpanId, sampling: Sampling) -> TraceContext {
    let kept = matches!(sampling, Sampling::Keep | Sampling::Debug);
    TraceContext::new(trace_id, span_id, Flags::default().with_sampled(kept))
}

/// The number that lower-case hexadecimal digits write, between so many of them.
fn hex(text: &str, least: usize, most: usize) -> Option<u128> {
    let fits = (least..=most).contains(&text.len());
    let is_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (fits && is_hex).then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

fn span_id(number: u128) -> Option<SpanId> {
    SpanId::new(u64::try_from(number).ok()?)
}

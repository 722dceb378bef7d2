//! The context that travels with a call: `traceparent` and `tracestate`, as the W3C recommendation
//! Trace Context (level 1) has them, reading and writing.
//!
//! Strict with version 00, tolerant with later versions as the recommendation demands: what follows
//! after a dash is ignored and the call goes on as version 00. A `tracestate` that breaks a rule is
//! dropped as a whole without harm to the `traceparent`; a `traceparent` that breaks one starts a new
//! trace. Of the flags, `sampled` and level 2's `random` (the low 56 bits of the trace id are random,
//! which [`crate::sampling::Ratio`] relies on) are passed on, all others are written as zero.

use std::fmt;

use identity::{Invalid, SpanId, TraceId};

/// The header that names the trace and the caller's span.
pub const TRACEPARENT: &str = "traceparent";
/// The header with what vendors add.
pub const TRACESTATE: &str = "tracestate";

/// The length of a `traceparent` of version 00, and of the part of later ones that can be read.
const TRACEPARENT_LEN: usize = 55;

const TRACEPARENT_RULE: &str = "version, 32 hexadecimal digits of trace id, 16 of span id and 2 of flags, lower-case, joined by '-', \
     neither id all zero";

/// The flags of a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u8);

impl Flags {
    const SAMPLED: u8 = 0b01;
    const RANDOM: u8 = 0b10;

    /// Flags with only the known bits of `byte`.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte & (Self::SAMPLED | Self::RANDOM))
    }

    /// The flags as the byte of the header.
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// Whether the caller may have recorded the call.
    pub const fn sampled(self) -> bool {
        self.0 & Self::SAMPLED != 0
    }

    /// Whether the low 56 bits of the trace id are random.
    pub const fn random(self) -> bool {
        self.0 & Self::RANDOM != 0
    }

    /// These flags with `sampled` set or cleared.
    #[must_use]
    pub const fn with_sampled(self, sampled: bool) -> Self {
        Self(if sampled { self.0 | Self::SAMPLED } else { self.0 & !Self::SAMPLED })
    }

    /// These flags with `random` set or cleared.
    #[must_use]
    pub const fn with_random(self, random: bool) -> Self {
        Self(if random { self.0 | Self::RANDOM } else { self.0 & !Self::RANDOM })
    }
}

/// Where a call stands in its trace: what one process tells the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span that makes the call, parent of what the callee does.
    pub span_id: SpanId,
    /// The flags.
    pub flags: Flags,
    /// What vendors add.
    pub state: TraceState,
}

impl TraceContext {
    /// The start of a new trace without vendors' state.
    pub fn new(trace_id: TraceId, span_id: SpanId, flags: Flags) -> Self {
        Self { trace_id, span_id, flags, state: TraceState::default() }
    }

    /// Reads the headers of a call: all values of `traceparent` and all values of `tracestate`, in order.
    ///
    /// `None` where there is no context to continue: no `traceparent`, more than one, or a wrong one.
    pub fn extract<'a>(
        traceparents: impl IntoIterator<Item = &'a str>,
        tracestates: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        let mut traceparents = traceparents.into_iter();
        let mut context = Self::parse(traceparents.next()?).ok()?;
        if traceparents.next().is_some() {
            return None;
        }
        context.state = TraceState::parse(tracestates).unwrap_or_default();
        Some(context)
    }

    /// Reads one `traceparent`.
    pub fn parse(traceparent: &str) -> Result<Self, Invalid> {
        let text = traceparent.trim_matches([' ', '\t']);
        Self::read(text.as_bytes()).ok_or_else(|| Invalid::new(TRACEPARENT, traceparent, TRACEPARENT_RULE))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(TRACEPARENT_LEN)?;
        let version = hex(&head[..2])?;
        let ended_well = match version {
            0x00 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest[0] == b'-',
        };
        let dashed = head[2] == b'-' && head[35] == b'-' && head[52] == b'-';
        if !ended_well || !dashed {
            return None;
        }
        let trace_id = TraceId::new(hex(&head[3..35])?)?;
        let span_id = SpanId::new(u64::try_from(hex(&head[36..52])?).ok()?)?;
        let flags = Flags::from_byte(u8::try_from(hex(&head[53..55])?).ok()?);
        Some(Self::new(trace_id, span_id, flags))
    }

    /// This context as seen by what `span_id` calls.
    #[must_use]
    pub fn with_span(&self, span_id: SpanId) -> Self {
        Self { span_id, ..self.clone() }
    }

    /// The `traceparent` to send, of version 00.
    pub fn traceparent(&self) -> String {
        // By hand, since every attempt of every call writes one.
        let (trace, span, flags) = (self.trace_id.to_hex(), self.span_id.to_hex(), self.flags.to_byte());
        let mut text = String::with_capacity(55);
        for part in
            ["00", str::from_utf8(&trace).unwrap_or_default(), str::from_utf8(&span).unwrap_or_default()]
        {
            text.push_str(part);
            text.push('-');
        }
        text.extend([flags >> 4, flags & 0xf].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')));
        text
    }
}

/// The number that these lower-case hexadecimal digits write; at most 32 of them.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// The most members that a `tracestate` may have.
pub const MAX_STATE_MEMBERS: usize = 32;

const STATE_RULE: &str = "at most 32 members key=value joined by ',', each key at most once, keys of lower-case letters, digits \
     and _-*/ with at most one '@', values of up to 256 printable characters without ',' and '='";

/// What vendors add to a context: members `key=value`, the latest writer first.
///
/// Kept as the normalised text, because nearly every call only passes it on. A member is at most 513
/// bytes, so the whole is at most 17 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceState(Box<str>);

impl TraceState {
    /// Reads all values of the header, which together make one list.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, Invalid> {
        let mut state = String::new();
        let mut members: Vec<(&str, &str)> = Vec::new();
        for member in values.into_iter().flat_map(|value| value.split(',')) {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue; // Allowed, so that a list may be put together carelessly.
            }
            let invalid = || Invalid::new(TRACESTATE, member, STATE_RULE);
            let (key, value) = member.split_once('=').ok_or_else(invalid)?;
            let repeated = members.iter().any(|(known, _)| *known == key);
            if !is_key(key) || !is_value(value) || repeated || members.len() == MAX_STATE_MEMBERS {
                return Err(invalid());
            }
            members.push((key, value));
            push_member(&mut state, key, value);
        }
        Ok(Self(state.into()))
    }

    /// The header's value; empty where there is nothing to send.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The members in order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.split(',').filter_map(|member| member.split_once('='))
    }

    /// The value of the member `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.members().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// This state with the member `key` first, as its latest writer puts it; the last member makes room
    /// where there were 32 others.
    pub fn with(&self, key: &str, value: &str) -> Result<Self, Invalid> {
        if !is_key(key) || !is_value(value) {
            return Err(Invalid::new(TRACESTATE, &format!("{key}={value}"), STATE_RULE));
        }
        let mut state = String::with_capacity(self.0.len() + key.len() + value.len() + 2);
        push_member(&mut state, key, value);
        for (other, value) in self.members().filter(|(other, _)| *other != key).take(MAX_STATE_MEMBERS - 1) {
            push_member(&mut state, other, value);
        }
        Ok(Self(state.into()))
    }
}

impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn push_member(state: &mut String, key: &str, value: &str) {
    if !state.is_empty() {
        state.push(',');
    }
    state.push_str(key);
    state.push('=');
    state.push_str(value);
}

/// `simple-key` or `multi-tenant-key` (`tenant@system`) of the recommendation.
fn is_key(key: &str) -> bool {
    let rest_is_fine = |rest: &[u8]| {
        rest.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/".contains(b))
    };
    let part = |part: &str, max: usize, digit_first: bool| match part.as_bytes() {
        [first, rest @ ..] => {
            (first.is_ascii_lowercase() || digit_first && first.is_ascii_digit())
                && rest.len() < max
                && rest_is_fine(rest)
        }
        [] => false,
    };
    match key.split_once('@') {
        None => part(key, 256, false),
        Some((tenant, system)) => part(tenant, 241, true) && part(system, 14, false),
    }
}

/// Up to 256 printable characters other than `,` and `=`, the last of them no space.
fn is_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    (1..=256).contains(&bytes.len())
        && bytes.iter().all(|b| matches!(b, b' '..=b'~') && *b != b',' && *b != b'=')
        && bytes.last() != Some(&b' ')
}

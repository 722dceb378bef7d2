//! What senders of spans say of their own sampling, and what we say of ours: OpenTelemetry's member `ot` of a
//! `tracestate`, as its specification of consistent probability sampling has it.
//!
//! `th` is the threshold below which the random bits of a trace were not kept, as up to 14 hexadecimal digits
//! without the zeros at their end; `rv` are those random bits, where they are not those of the trace's id. From a
//! threshold follows for how many spans a kept one stands: its *adjusted count*. It is said only of what was
//! kept by probability alone, so where nothing is said nothing is known: the sum of adjusted counts is an
//! estimate of what there was, never less than what was seen.

use identity::TraceId;

use super::{RANDOM_BITS, Ratio};
use crate::context::TraceState;

/// The member of a `tracestate` that OpenTelemetry writes.
const MEMBER: &str = "ot";
/// How many hexadecimal digits 56 bits have.
const DIGITS: usize = RANDOM_BITS as usize / 4;

/// What a `tracestate` says of sampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// The share of traces that were kept where this one was.
    pub kept: Option<Ratio>,
    /// The random bits of the trace, where they are not those of its id.
    pub random: Option<u64>,
}

impl Told {
    /// What this `tracestate` says. A value that breaks the rules says nothing.
    pub fn of(trace_state: &str) -> Self {
        let mut told = Self::default();
        let member = trace_state.split(',').find_map(|member| member.trim().strip_prefix("ot="));
        for (key, value) in
            member.into_iter().flat_map(|all| all.split(';')).filter_map(|of| of.split_once(':'))
        {
            match key {
                "th" if (1..=DIGITS).contains(&value.len()) => {
                    let threshold = digits(value).map(|bits| bits << (4 * (DIGITS - value.len())));
                    told.kept = threshold.and_then(Ratio::of_threshold);
                }
                "rv" if value.len() == DIGITS => told.random = digits(value),
                _ => {}
            }
        }
        told
    }

    /// For how many such spans one stands by what this `tracestate` says; nothing where it says nothing, or that
    /// all were kept.
    pub fn one_in(trace_state: &str) -> Option<f64> {
        // Nearly no span has any.
        if trace_state.is_empty() {
            return None;
        }
        Self::of(trace_state).kept.filter(|kept| *kept != Ratio::ALL)?.one_in()
    }

    /// Whether this share has the trace, by the bits that were told, else by those of its id.
    pub fn is_kept(self, share: Ratio, trace_id: TraceId) -> bool {
        self.random.map_or_else(|| share.keeps(trace_id), |random| share.has(random))
    }
}

/// Eight digits more than 56 bits are never asked for.
fn digits(text: &str) -> Option<u64> {
    let are_digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if are_digits { u64::from_str_radix(text, 16).ok() } else { None }
}

impl Ratio {
    /// The random bits below which a trace is not kept, for whoever stores a share; below 2^56 for all but none.
    pub fn threshold(self) -> u64 {
        self.threshold
    }

    /// The share with this threshold; nothing for one that is no number of 56 bits.
    pub fn of_threshold(threshold: u64) -> Option<Self> {
        (threshold < 1 << RANDOM_BITS).then_some(Self { threshold })
    }

    /// For how many traces one stands that this share has; nothing where it has none.
    pub fn one_in(self) -> Option<f64> {
        let of = 1_u64 << RANDOM_BITS;
        (self.threshold < of).then(|| of as f64 / (of - self.threshold) as f64)
    }

    /// This `tracestate` with the word that the trace was kept as one of this share. What else is in the member
    /// stays. Where there is no room for it the state stays as it is, and then nothing is known.
    pub fn tell(self, state: &TraceState) -> TraceState {
        if self.threshold >= 1 << RANDOM_BITS {
            return state.clone();
        }
        let digits = format!("{:014x}", self.threshold);
        let digits = digits.trim_end_matches('0');
        let mut member = format!("th:{}", if digits.is_empty() { "0" } else { digits });
        let others = state.get(MEMBER).into_iter().flat_map(|of| of.split(';'));
        for other in others.filter(|of| !of.is_empty() && !of.starts_with("th:")) {
            member.push(';');
            member.push_str(other);
        }
        state.with(MEMBER, &member).unwrap_or_else(|_| state.clone())
    }
}

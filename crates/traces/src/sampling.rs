//! Which traces are kept.
//!
//! Decisions at three moments. [`Ratio`] decides at the *head* of a trace, by its id alone, so that
//! every process that sees the trace decides the same without asking anyone; [`Told`] is what one process says of
//! it to the next, and what senders say of what they left out. [`Budget`] decides at the *end* of a call that a proxy has traced itself, when it is known how the call went: so many a second
//! are kept whatever they were, and failures have a budget of their own beyond that, so that a flood of
//! successes can never crowd out the one failure that someone will look for. [`Tail`] decides about a whole trace, when it is over.

mod tail;
mod told;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use identity::{Mono, TraceId};

pub use tail::{Decided, Glimpse, MAX_PINNED, Tail, TailCounts, TailPolicy, Verdict};
pub use told::Told;

/// How many bits of a trace id are random by W3C Trace Context, level 2: the lowest 56.
const RANDOM_BITS: u32 = 56;

/// A share of all traces, chosen by the low 56 bits of their ids.
///
/// The smaller share is contained in the larger: what is kept at 1 % is also kept at 10 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    /// Ids whose random bits are below this are not kept.
    threshold: u64,
}

impl Ratio {
    /// Every trace.
    pub const ALL: Ratio = Ratio { threshold: 0 };
    /// No trace.
    pub const NONE: Ratio = Ratio { threshold: 1 << RANDOM_BITS };

    /// The share `ratio`, or `None` if that is not a number from 0 to 1.
    pub fn new(ratio: f64) -> Option<Self> {
        if !(0.0..=1.0).contains(&ratio) {
            return None;
        }
        let of = (1_u64 << RANDOM_BITS) as f64;
        // A number within 0..=2^56, where the conversion is exact.
        Some(Self { threshold: ((1.0 - ratio) * of).round() as u64 })
    }

    /// Whether this trace belongs to the share.
    pub fn keeps(self, trace_id: TraceId) -> bool {
        self.has((trace_id.get() & ((1 << RANDOM_BITS) - 1)) as u64)
    }

    fn has(self, random: u64) -> bool {
        random >= self.threshold
    }
}

/// At most so many a second, evenly, with a burst: the generic cell rate algorithm in one atomic word.
///
/// The word is the moment at which all that was admitted will be paid off. A call is admitted if that
/// moment lies no more than the burst ahead of now. One load and, when admitted, one compare-and-swap;
/// nothing is ever refilled by a timer.
#[derive(Debug)]
pub struct RateLimit {
    /// Nanoseconds that one admission costs; zero where nothing is admitted.
    cost: u64,
    /// How far ahead of now the debt may be before an admission is refused.
    tolerance: u64,
    paid_off_at: AtomicU64,
}

impl RateLimit {
    /// Admits `per_second`, and as many at once after a pause. Zero admits nothing.
    pub fn per_second(per_second: u32) -> Self {
        let cost = 1_000_000_000_u64.checked_div(u64::from(per_second)).unwrap_or(0);
        Self { cost, tolerance: cost.saturating_mul(u64::from(per_second)), paid_off_at: AtomicU64::new(0) }
    }

    /// Whether one more is admitted now.
    pub fn admit(&self, now: Mono) -> bool {
        if self.cost == 0 {
            return false;
        }
        // Relaxed: the word guards nothing but itself.
        let admitted = self.paid_off_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |paid_off_at| {
            let next = paid_off_at.max(now.0).saturating_add(self.cost);
            (next - now.0 <= self.tolerance).then_some(next)
        });
        admitted.is_ok()
    }

    /// How long until one would be admitted again.
    pub fn wait(&self, now: Mono) -> Duration {
        let next = self.paid_off_at.load(Ordering::Relaxed).max(now.0).saturating_add(self.cost);
        Duration::from_nanos((next - now.0).saturating_sub(self.tolerance))
    }
}

/// What happens to a trace that a proxy started, decided when its call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// All its spans are kept.
    Keep,
    /// Only the spans of failed and refused attempts are kept, marked as a part of something whose rest
    /// was not.
    KeepPartial,
    /// Nothing is kept; its spans count as sampled out.
    SampleOut,
}

/// How many traces a proxy keeps of those that it starts.
#[derive(Debug)]
pub struct Budget {
    any: RateLimit,
    remarkable: RateLimit,
}

impl Budget {
    /// Traces of any kind that a proxy keeps a second.
    pub const DEFAULT_PER_SECOND: u32 = 100;
    /// Traces with a failure that a proxy keeps a second beyond those.
    pub const DEFAULT_REMARKABLE_PER_SECOND: u32 = 100;

    /// Keeps `per_second` of any kind and `remarkable_per_second` more of the remarkable ones.
    pub fn new(per_second: u32, remarkable_per_second: u32) -> Self {
        Self {
            any: RateLimit::per_second(per_second),
            remarkable: RateLimit::per_second(remarkable_per_second),
        }
    }

    /// Decides about one call; `remarkable` is one that failed, was refused, or is a breaker's exemplar. What is
    /// not `in_share` was left out when it began, and only its failures may still be kept.
    pub fn decide(&self, now: Mono, remarkable: bool, in_share: bool) -> Decision {
        if in_share && self.any.admit(now) {
            Decision::Keep
        } else if remarkable && self.remarkable.admit(now) {
            Decision::KeepPartial
        } else {
            Decision::SampleOut
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Self::DEFAULT_PER_SECOND, Self::DEFAULT_REMARKABLE_PER_SECOND)
    }
}

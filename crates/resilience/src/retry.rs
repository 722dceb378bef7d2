//! Whether to try again, how soon, and how often at most.
//!
//! A budget and not a number of tries alone, because a number multiplies: with three tries each, an
//! outage gets three times the load at the moment when it can bear it least. The budget ties retries to
//! the calls that really come in, with a floor so that a quiet service can retry at all.

use std::{
    cmp::Ordering,
    fmt,
    str::FromStr,
    sync::atomic::Ordering::{Relaxed, SeqCst},
    time::Duration,
};

use identity::{Invalid, Mono};

use crate::{
    Ending, Fault, RetryPolicy,
    sync::{AtomicU64, fence},
};

/// How many retries a stream of calls may cause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetPolicy {
    /// Retries per call, 0 to 1.
    pub ratio: f64,
    /// Retries per second that are allowed in any case.
    pub min_per_second: u32,
}

/// The seconds over which calls and retries are compared.
const WINDOW_SECONDS: u64 = 10;
/// One slot for each second of the window.
const SLOTS: usize = WINDOW_SECONDS as usize;

/// Counts calls and retries of the last ten seconds, and says whether one more retry keeps the ratio.
///
/// Each retry finds at most `ratio · calls + 10 · min_per_second` retries in the ten whole seconds up to
/// it, itself included. Counting a call is one atomic update, and 160 bytes is all there is.
#[derive(Debug, Default)]
pub struct RetryBudget {
    calls: [AtomicU64; SLOTS],
    retries: [AtomicU64; SLOTS],
}

impl RetryBudget {
    /// A budget without history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a call (not its retries).
    pub fn call(&self, now: Mono) {
        add(&self.calls, now);
    }

    /// Whether a retry is within the budget; if so it is counted.
    pub fn retry(&self, policy: &BudgetPolicy, now: Mono) -> bool {
        let floor = u64::from(policy.min_per_second) * WINDOW_SECONDS;
        // Rounded down: the promise is an upper bound.
        let earned = (policy.ratio * sum(&self.calls, now, false) as f64) as u64;
        // Counted first and looked at then, so that two at once cannot both take the last one: of two fences
        // one comes first, and whoever passes the second sees what was counted before the first.
        add(&self.retries, now);
        fence(SeqCst);
        if sum(&self.retries, now, true) <= floor + earned {
            return true;
        }
        take_back(&self.retries, now);
        false
    }
}

/// A slot holds the second that it counts (high 32 bits) and the count.
fn second(now: Mono) -> u64 {
    (now.0 / 1_000_000_000) & 0xffff_ffff
}

fn slot(slots: &[AtomicU64; SLOTS], now: Mono) -> &AtomicU64 {
    &slots[(second(now) % WINDOW_SECONDS) as usize]
}

fn add(slots: &[AtomicU64; SLOTS], now: Mono) {
    let second = second(now);
    let next = |word: u64| {
        match (word >> 32).cmp(&second) {
            Ordering::Less => Some(second << 32 | 1), // The count of a window that is over.
            Ordering::Equal => Some(word.saturating_add(1)),
            Ordering::Greater => None,
        }
    };
    let _ = slot(slots, now).fetch_update(Relaxed, Relaxed, next);
}

fn take_back(slots: &[AtomicU64; SLOTS], now: Mono) {
    let second = second(now);
    let next = |word: u64| (word >> 32 == second && word & 0xffff_ffff > 0).then(|| word - 1);
    let _ = slot(slots, now).fetch_update(Relaxed, Relaxed, next);
}

/// What the window up to now holds; with `ahead`, also what others have counted whose clock is a little ahead.
fn sum(slots: &[AtomicU64; SLOTS], now: Mono, ahead: bool) -> u64 {
    let now = second(now);
    let within = |word: u64| {
        let second = word >> 32;
        (ahead || second <= now) && now.abs_diff(second) < WINDOW_SECONDS
    };
    let held = slots.iter().map(|slot| slot.load(Relaxed)).filter(|word| within(*word));
    held.map(|word| word & 0xffff_ffff).sum()
}

/// How long to wait before the next try: exponential, with full jitter.
///
/// Full jitter (anything from nothing to the bound) and not a little around the bound, because it is
/// what spreads a crowd that was turned away at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The bound of the first wait.
    pub base: Duration,
    /// The largest bound.
    pub max: Duration,
}

impl Backoff {
    /// The wait before retry number `retry` (the first is 0); `random` is from 0 to 1.
    ///
    /// ```
    /// use std::time::Duration;
    /// let backoff = resilience::Backoff { base: Duration::from_millis(100), max: Duration::from_secs(5) };
    /// assert_eq!(backoff.delay(2, 0.5), Duration::from_millis(200));
    /// ```
    pub fn delay(&self, retry: u32, random: f64) -> Duration {
        let bound = self.base.saturating_mul(1_u32.checked_shl(retry).unwrap_or(u32::MAX)).min(self.max);
        bound.mul_f64(random.clamp(0.0, 1.0))
    }
}

/// The endings of an attempt after which it may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryOn {
    /// There was no connection.
    ConnectFailure,
    /// The endpoint refused the stream before it processed anything.
    RefusedStream,
    /// The connection ended before the answer did.
    Reset,
    /// There was no answer within the time for one attempt.
    AttemptTimeout,
    /// An answer of any status from 500 to 599.
    ServerError,
    /// An answer of this status, 400 to 599.
    Status(u16),
}

impl RetryOn {
    /// The conditions with a name; any status from 400 to 599 is one as well.
    pub const NAMED: [(&'static str, RetryOn); 5] = [
        ("connect_failure", RetryOn::ConnectFailure),
        ("refused_stream", RetryOn::RefusedStream),
        ("reset", RetryOn::Reset),
        ("attempt_timeout", RetryOn::AttemptTimeout),
        ("5xx", RetryOn::ServerError),
    ];

    /// Whether an attempt that ended like this may be repeated.
    pub const fn covers(self, ending: Ending) -> bool {
        match (self, ending) {
            (RetryOn::ConnectFailure, Ending::Failed(Fault::Connect | Fault::ConnectTimeout))
            | (RetryOn::RefusedStream, Ending::Failed(Fault::RefusedStream))
            | (RetryOn::Reset, Ending::Failed(Fault::Reset))
            | (RetryOn::AttemptTimeout, Ending::Failed(Fault::AttemptTimeout))
            | (RetryOn::ServerError, Ending::Answered(500..=599)) => true,
            (RetryOn::Status(status), Ending::Answered(answered)) => status == answered,
            _ => false,
        }
    }
}

impl fmt::Display for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, Self::NAMED.iter().find(|(_, on)| on == self)) {
            (_, Some((name, _))) => f.pad(name),
            (RetryOn::Status(status), None) => write!(f, "{status}"),
            (_, None) => Ok(()),
        }
    }
}

impl FromStr for RetryOn {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let named = Self::NAMED.iter().find(|(name, _)| *name == text).map(|(_, on)| *on);
        let status = || text.parse().ok().filter(|status| (400..=599).contains(status)).map(RetryOn::Status);
        named.or_else(status).ok_or_else(|| Invalid::new("retry.on", text, RETRY_ON_RULE))
    }
}

const RETRY_ON_RULE: &str =
    "connect_failure, refused_stream, reset, attempt_timeout, 5xx, or a status from 400 to 599";

/// What to do after an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// Try again.
    Again,
    /// Not an ending after which this policy tries again.
    NotRetryable,
    /// All tries are used up.
    Exhausted,
    /// There have been too many retries lately.
    OverBudget,
}

impl RetryDecision {
    /// Decides after attempt number `attempt` (the first is 1) ended like this. Only [`RetryDecision::Again`]
    /// takes something out of the budget.
    pub fn after(
        policy: &RetryPolicy,
        budget: &RetryBudget,
        ending: Ending,
        attempt: u32,
        now: Mono,
    ) -> RetryDecision {
        if !policy.on.iter().any(|on| on.covers(ending)) {
            RetryDecision::NotRetryable
        } else if attempt > policy.max_retries {
            RetryDecision::Exhausted
        } else if budget.retry(&policy.budget, now) {
            RetryDecision::Again
        } else {
            RetryDecision::OverBudget
        }
    }
}

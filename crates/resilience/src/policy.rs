//! What a call may take, how often it is tried, and when it is refused.
//!
//! [`Parts`] is what someone wrote, [`CallPolicy`] is what was found good: there is no other way to
//! make one, so nothing downstream checks again. Without any policy document, [`CallPolicy::default`]
//! is in force.

use std::{ops::Deref, time::Duration};

use identity::{Invalid, duration};

use crate::{
    Backoff, BudgetPolicy, ConcurrencyPolicy, Fallback, LoadBalancing, OpenFor, OutlierPolicy,
    RATE_LIMITS_MAX, RateLimitPolicy, RetryOn, WINDOW_CALLS_MAX, Window,
};

/// The most probes that a half-open breaker can have under way: it has a slot for each.
pub const PROBES_MAX: usize = 16;

/// The most conditions for a retry.
pub const RETRY_ON_MAX: usize = 32;

/// A policy for calls, validated.
#[derive(Debug, Clone, PartialEq)]
pub struct CallPolicy(Parts);

/// A policy for calls as it is written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parts {
    /// How long things may take.
    pub timeouts: Timeouts,
    /// When to try again.
    pub retry: RetryPolicy,
    /// When to refuse; `None` for never.
    pub circuit_breaker: Option<BreakerPolicy>,
    /// When to take a single endpoint out; `None` for never.
    pub outlier_detection: Option<OutlierPolicy>,
    /// Which endpoint to choose.
    pub load_balancing: LoadBalancing,
    /// How many calls in how much time; a call has to be within each of them.
    pub rate_limits: Vec<RateLimitPolicy>,
    /// How many calls at once; `None` for any number.
    pub concurrency: Option<ConcurrencyPolicy>,
    /// What to answer instead of an error; `None` for the error.
    pub fallback: Option<Fallback>,
    /// Which of the traces that begin here are kept.
    pub tracing: Tracing,
}

/// Which of the traces that begin with these calls are kept: decided before the first attempt, by the trace's id,
/// so that everyone who is called decides the same. What a caller has decided holds instead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tracing {
    /// Their share, from 0 to 1.
    pub share: f64,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { share: 1.0 }
    }
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To a connection, name resolution included.
    pub connect: Duration,
    /// From a connection to the head of the response, for one attempt; `None` leaves it to `call`.
    pub attempt: Option<Duration>,
    /// From the request's head to the head of the response, over all attempts.
    pub call: Duration,
    /// Between two pieces of a body, in either direction.
    pub idle: Duration,
}

/// When to try again.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// How many tries beside the first.
    pub max_retries: u32,
    /// After what.
    pub on: Vec<RetryOn>,
    /// Whether a call may be repeated that the service may have processed and whose method is not
    /// idempotent, such as POST.
    pub non_idempotent: bool,
    /// How long to wait before.
    pub backoff: Backoff,
    /// How many at most over all calls.
    pub budget: BudgetPolicy,
}

/// When to refuse. Each rule that is there can open by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct BreakerPolicy {
    /// What is done with what the rules say.
    pub mode: Mode,
    /// How many failures in a row are still accepted; one more opens.
    pub consecutive_failures: Option<u32>,
    /// Which share of the window's calls may fail.
    pub failure_rate: Option<Rate>,
    /// Which share of the window's calls may be slow; needs `slow_after`.
    pub slow_call_rate: Option<Rate>,
    /// Beyond what duration a call counts as slow; `None` counts none.
    pub slow_after: Option<Duration>,
    /// Which calls the rates are taken of.
    pub window: Window,
    /// How long it stays open.
    pub open_for: OpenFor,
    /// How it finds out about recovery.
    pub half_open: HalfOpen,
    /// How long it takes from the first call after a recovery to all of them; `None` for no time.
    pub ramp: Option<Duration>,
}

/// What is done with what a breaker's rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Calls are refused.
    #[default]
    Enforce,
    /// Every call passes; the breaker says what it would have done.
    Shadow,
    /// Nothing is counted and nothing refused.
    Disabled,
}

/// A share of calls that opens a breaker when it is reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The share, above 0 and up to 1.
    pub threshold: f64,
    /// Fewer calls in the window say nothing. More than the window holds are taken for as many as it
    /// holds.
    pub min_calls: u32,
}

/// How a breaker finds out about recovery.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HalfOpen {
    /// How many calls may be under way at once; up to [`PROBES_MAX`].
    pub probes: u32,
    /// How many of them must succeed to close it; with `close_at`, how many must have ended.
    pub successes: u32,
    /// The share of ended probes that must have succeeded to close it, above 0 and up to 1. Without
    /// it, one failure opens again.
    pub close_at: Option<f64>,
    /// How long a probe may hold its place before another call may take it.
    pub lease: Duration,
    /// How long the probes may take to decide; after it, it is open again. `None` for as long as it
    /// takes.
    pub max: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            attempt: None,
            call: Duration::from_secs(15),
            idle: Duration::from_secs(300),
        }
    }
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        Self { ratio: 0.2, min_per_second: 3 }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(25), max: Duration::from_millis(250) }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 1,
            on: vec![RetryOn::ConnectFailure, RetryOn::RefusedStream],
            non_idempotent: false,
            backoff: Backoff::default(),
            budget: BudgetPolicy::default(),
        }
    }
}

impl Default for OpenFor {
    fn default() -> Self {
        Self { base: Duration::from_secs(5), multiplier: 1.0, max: Duration::from_secs(60), jitter: 0.0 }
    }
}

impl Default for HalfOpen {
    fn default() -> Self {
        Self { probes: 3, successes: 3, close_at: None, lease: Duration::from_secs(20), max: None }
    }
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            consecutive_failures: Some(5),
            failure_rate: None,
            slow_call_rate: None,
            slow_after: None,
            window: Window::Time(Duration::from_secs(10)),
            open_for: OpenFor::default(),
            half_open: HalfOpen::default(),
            ramp: None,
        }
    }
}

impl Default for CallPolicy {
    /// What holds without any policy document.
    fn default() -> Self {
        Self(Parts {
            circuit_breaker: Some(BreakerPolicy::default()),
            outlier_detection: Some(OutlierPolicy::default()),
            ..Parts::default()
        })
    }
}

impl Deref for CallPolicy {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl CallPolicy {
    /// Checks every part.
    ///
    /// # Errors
    /// The first field that breaks its rule, by its path.
    pub fn new(parts: Parts) -> Result<Self, Invalid> {
        parts.timeouts.check()?;
        parts.retry.check()?;
        parts.circuit_breaker.as_ref().map_or(Ok(()), |breaker| breaker.check(Place::Breaker))?;
        parts.outlier_detection.as_ref().map_or(Ok(()), OutlierPolicy::check)?;
        parts.load_balancing.check()?;
        let limits = u32::try_from(parts.rate_limits.len()).unwrap_or(u32::MAX);
        check_number("rate_limits", limits, 0..=RATE_LIMITS_MAX as u32, "at most 8 limits")?;
        parts.rate_limits.iter().try_for_each(RateLimitPolicy::check)?;
        parts.concurrency.as_ref().map_or(Ok(()), ConcurrencyPolicy::check)?;
        parts.fallback.as_ref().map_or(Ok(()), Fallback::check)?;
        check_ratio("tracing.share", parts.tracing.share)?;
        Ok(Self(parts))
    }
}

const DURATION_RULE: &str = "from 1ms to 1d";

pub(crate) fn check_duration(field: &'static str, value: Duration) -> Result<(), Invalid> {
    let range = Duration::from_millis(1)..=Duration::from_secs(86_400);
    if range.contains(&value) {
        Ok(())
    } else {
        Err(Invalid::new(field, &duration::format(value), DURATION_RULE))
    }
}

pub(crate) fn check_number(
    field: &'static str,
    value: u32,
    range: std::ops::RangeInclusive<u32>,
    rule: &'static str,
) -> Result<(), Invalid> {
    if range.contains(&value) { Ok(()) } else { Err(Invalid::new(field, &value.to_string(), rule)) }
}

pub(crate) fn check_ratio(field: &'static str, value: f64) -> Result<(), Invalid> {
    let rule = "from 0% to 100%";
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(Invalid::new(field, &value.to_string(), rule)) }
}

/// A share that something has to reach: none at all would always be reached.
pub(crate) fn check_share(field: &'static str, value: f64) -> Result<(), Invalid> {
    if value > 0.0 && value <= 1.0 {
        Ok(())
    } else {
        Err(Invalid::new(field, &value.to_string(), "above 0% and up to 100%"))
    }
}

impl Timeouts {
    fn check(&self) -> Result<(), Invalid> {
        check_duration("timeouts.connect", self.connect)?;
        check_duration("timeouts.attempt", self.attempt.unwrap_or(self.call))?;
        check_duration("timeouts.call", self.call)?;
        check_duration("timeouts.idle", self.idle)
    }
}

impl RetryPolicy {
    fn check(&self) -> Result<(), Invalid> {
        check_number("retry.max_retries", self.max_retries, 0..=10, "0 to 10")?;
        let conditions = u32::try_from(self.on.len()).unwrap_or(u32::MAX);
        check_number("retry.on", conditions, 0..=RETRY_ON_MAX as u32, "at most 32 conditions")?;
        for on in &self.on {
            let RetryOn::Status(status) = on else { continue };
            check_number("retry.on", (*status).into(), 400..=599, "a status from 400 to 599")?;
        }
        check_duration("retry.backoff.base", self.backoff.base)?;
        check_duration("retry.backoff.max", self.backoff.max)?;
        if self.backoff.max < self.backoff.base {
            let given = duration::format(self.backoff.max);
            return Err(Invalid::new("retry.backoff.max", &given, "at least retry.backoff.base"));
        }
        check_ratio("retry.budget.ratio", self.budget.ratio)?;
        check_number("retry.budget.min_per_second", self.budget.min_per_second, 0..=1000, "0 to 1000")
    }
}

/// Whose rules are checked, so that an error names the field that was written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Breaker,
    Outliers,
}

macro_rules! field {
    ($place:expr, $name:literal) => {
        match $place {
            Place::Breaker => concat!("circuit_breaker.", $name),
            Place::Outliers => concat!("outlier_detection.", $name),
        }
    };
}

impl BreakerPolicy {
    pub(crate) fn check(&self, place: Place) -> Result<(), Invalid> {
        if let Some(failures) = self.consecutive_failures {
            let threshold = field!(place, "consecutive_failures.threshold");
            check_number(threshold, failures, 1..=100_000, "1 to 100000")?;
        }
        for (rate, [threshold, min_calls]) in [
            (
                self.failure_rate,
                [field!(place, "failure_rate.threshold"), field!(place, "failure_rate.min_calls")],
            ),
            (
                self.slow_call_rate,
                [field!(place, "slow_call_rate.threshold"), field!(place, "slow_call_rate.min_calls")],
            ),
        ] {
            let Some(rate) = rate else { continue };
            check_share(threshold, rate.threshold)?;
            check_number(min_calls, rate.min_calls, 1..=1_000_000, "1 to 1000000")?;
        }
        if self.slow_call_rate.is_some() && self.slow_after.is_none() {
            let rule = "together with the duration beyond which a call is slow";
            return Err(Invalid::new(field!(place, "slow_call_rate"), "", rule));
        }
        match self.window {
            Window::Time(length) => check_duration(field!(place, "window"), length)?,
            Window::Calls(calls) => {
                check_number(field!(place, "window"), calls, 1..=WINDOW_CALLS_MAX, "1 to 1024 calls")?;
            }
        }
        self.open_for.check(place)?;
        self.half_open.check(place)?;
        self.ramp.map_or(Ok(()), |ramp| check_duration(field!(place, "ramp"), ramp))?;
        self.slow_after.map_or(Ok(()), |slow| check_duration(field!(place, "slow_after"), slow))
    }

    /// Whether anything is asked of the window.
    pub(crate) fn has_rates(&self) -> bool {
        self.failure_rate.is_some() || self.slow_call_rate.is_some()
    }
}

impl OpenFor {
    fn check(&self, place: Place) -> Result<(), Invalid> {
        check_duration(field!(place, "open_for"), self.base)?;
        check_duration(field!(place, "open_for.max"), self.max)?;
        check_ratio(field!(place, "open_for.jitter"), self.jitter)?;
        if (1.0..=10.0).contains(&self.multiplier) {
            return Ok(());
        }
        Err(Invalid::new(field!(place, "open_for.multiplier"), &self.multiplier.to_string(), "1 to 10"))
    }
}

impl HalfOpen {
    fn check(&self, place: Place) -> Result<(), Invalid> {
        check_number(field!(place, "half_open.probes"), self.probes, 1..=PROBES_MAX as u32, "1 to 16")?;
        check_number(field!(place, "half_open.successes"), self.successes, 1..=255, "1 to 255")?;
        self.close_at.map_or(Ok(()), |share| check_share(field!(place, "half_open.close_at"), share))?;
        self.max.map_or(Ok(()), |max| check_duration(field!(place, "half_open.max"), max))?;
        check_duration(field!(place, "half_open.lease"), self.lease)
    }
}

//! When not to call, and what to do instead.
//!
//! A [`Breaker`] refuses calls to what keeps failing, [`Ejections`] and [`Deviation`] guard and judge
//! single endpoints, a [`RetryBudget`] keeps retries from becoming an attack, a [`RateLimit`] and a
//! [`ConcurrencyLimit`] keep callers from doing harm, a [`Deadline`] says when an answer has no use any
//! more, [`classify`] says what the end of a call tells about the callee, and a [`CallPolicy`] holds the
//! numbers, checked.
//!
//! **Absent on purpose:** no I/O, no clock, no randomness of its own: time and random numbers are
//! arguments, so that the same breaker runs in a proxy, in a library, and in a simulation.
//!
//! ```
//! use identity::Mono;
//! use resilience::{Breaker, BreakerPolicy, Outcome, Permit, State};
//!
//! let policy = BreakerPolicy::default();
//! let breaker = Breaker::new(42, Mono(0));
//! for _ in 0..6 {
//!     let (permit, _) = Permit::acquire(&breaker, &policy, Mono(1))?;
//!     permit.end(&policy, Outcome::Failure, Mono(2));
//! }
//! assert_eq!(breaker.state(), State::Open);
//! let refused = Permit::acquire(&breaker, &policy, Mono(3)).unwrap_err();
//! assert_eq!(refused.until, Mono(5_000_000_002));
//! # Ok::<(), resilience::Refused>(())
//! ```

mod balancing;
mod breaker;
mod concurrency;
mod deadline;
mod fallback;
mod open_for;
mod outcome;
mod outlier;
mod permit;
mod policy;
mod rate;
mod retry;
mod state;
mod sync;
mod transition;
mod verdict;
mod window;
mod word;

pub use balancing::{Algorithm, BOUNDED_MAX, HashKey, KEY_NAME_MAX, LoadBalancing};
pub use breaker::{Breaker, Force, Snapshot};
pub use concurrency::{ConcurrencyLimit, ConcurrencyPolicy, Entry, Waiter};
pub use deadline::{Deadline, GRPC_TIMEOUT_HEADER, TIMEOUT_HEADER, format_grpc_timeout, grpc_timeout};
pub use fallback::{CONTENT_TYPE_MAX, FALLBACK_BODY_MAX, Fallback};
pub use open_for::OpenFor;
pub use outcome::{Ending, Fault, Outcome, classify};
pub use outlier::{Deviation, Ejections, Outlier, OutlierPolicy, Record};
pub use permit::{Permit, Refused};
pub use policy::{
    BreakerPolicy, CallPolicy, HalfOpen, Mode, PROBES_MAX, Parts, RETRY_ON_MAX, Rate, RetryPolicy, Timeouts,
    Tracing,
};
pub use rate::{KeyedRateLimit, LimitKey, RATE_LIMITS_MAX, RateLimit, RateLimitPolicy, RatePolicy};
pub use retry::{Backoff, BudgetPolicy, RetryBudget, RetryDecision, RetryOn};
pub use state::{Counts, State};
pub use transition::{Reason, Transition};
pub use window::{BUCKETS, WINDOW_CALLS_MAX, Window, WindowCounts};

#[cfg(test)]
mod tests;

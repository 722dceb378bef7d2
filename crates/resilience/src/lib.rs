//! When not to call, and what to do instead.
//!
//! A [`Breaker`] refuses calls to what keeps failing, a [`RetryBudget`] keeps retries from becoming an
//! attack, [`classify`] says what the end of a call tells about the callee, and a [`CallPolicy`] holds
//! the numbers, checked.
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

mod breaker;
mod outcome;
mod policy;
mod retry;
mod state;
mod transition;
mod word;

pub use breaker::{Breaker, OpenFor, Permit, Refused, Snapshot};
pub use outcome::{Ending, Fault, Outcome, classify};
pub use policy::{BreakerPolicy, CallPolicy, HalfOpen, PROBES_MAX, Parts, RetryPolicy, Timeouts};
pub use retry::{Backoff, BudgetPolicy, RetryBudget, RetryDecision, RetryOn};
pub use state::{Counts, State};
pub use transition::{Reason, Transition};

#[cfg(test)]
mod tests;

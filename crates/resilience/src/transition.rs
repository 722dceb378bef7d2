//! What happens to a breaker, as a value that can be written down.

use std::fmt;

use identity::Mono;

use crate::{Counts, State, WindowCounts};

/// One change of a breaker's state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transition {
    /// The state that ended.
    pub from: State,
    /// The state that began.
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// What the breaker had seen by then.
    pub counts: Counts,
    /// What the window held of it.
    pub window: WindowCounts,
    /// The epoch that began with it.
    pub epoch: u32,
    /// Until when calls are refused, where it opened.
    pub until: Option<Mono>,
}

/// Why a breaker changed its state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// More failures in a row than the threshold.
    ConsecutiveFailures {
        /// How many there were.
        failures: u32,
        /// How many would have been too few.
        threshold: u32,
    },
    /// Too large a share of the window's calls failed.
    FailureRate {
        /// The share, 0 to 1.
        rate: f64,
        /// What would have been too little.
        threshold: f64,
        /// Of how many calls.
        calls: u64,
    },
    /// Too large a share of the window's calls was slow.
    SlowCallRate {
        /// The share, 0 to 1.
        rate: f64,
        /// What would have been too little.
        threshold: f64,
        /// Of how many calls.
        calls: u64,
    },
    /// It succeeds less often than its siblings.
    Deviation {
        /// Its success rate, 0 to 1.
        rate: f64,
        /// What would have been enough: their mean less some standard deviations.
        threshold: f64,
    },
    /// It was open long enough.
    OpenForPassed,
    /// A probe failed.
    ProbeFailed,
    /// A probe was slow, and slow calls count.
    ProbeSlow,
    /// Too few probes succeeded.
    ProbesFailed {
        /// How many succeeded.
        successes: u32,
        /// Of how many.
        ended: u32,
    },
    /// The probes did not decide in time.
    ProbesUndecided,
    /// Enough probes succeeded.
    ProbesSucceeded {
        /// How many.
        successes: u32,
    },
    /// It has let through more and more until all passed.
    RampPassed,
    /// An operator wants it so.
    Forced,
    /// The time of the operator's word is over.
    ForceEnded,
    /// An operator has it begin anew.
    Reset,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::ConsecutiveFailures { failures, threshold } => {
                write!(f, "{failures} failures in a row, threshold {threshold}")
            }
            Reason::FailureRate { rate, threshold, calls } => {
                write!(f, "{} of {calls} calls failed, threshold {}", percent(*rate), percent(*threshold))
            }
            Reason::SlowCallRate { rate, threshold, calls } => {
                write!(f, "{} of {calls} calls were slow, threshold {}", percent(*rate), percent(*threshold))
            }
            Reason::Deviation { rate, threshold } => {
                let (rate, threshold) = (percent(*rate), percent(*threshold));
                write!(f, "{rate} of its calls succeed, and {threshold} would do among its siblings")
            }
            Reason::OpenForPassed => f.write_str("open_for has passed"),
            Reason::ProbeFailed => f.write_str("a probe failed"),
            Reason::ProbeSlow => f.write_str("a probe was slow"),
            Reason::ProbesFailed { successes, ended } => {
                write!(f, "only {successes} of {ended} probes succeeded")
            }
            Reason::ProbesUndecided => f.write_str("the probes did not decide in time"),
            Reason::RampPassed => f.write_str("the ramp has passed"),
            Reason::Forced => f.write_str("forced by an operator"),
            Reason::ForceEnded => f.write_str("the time of the operator's word is over"),
            Reason::Reset => f.write_str("reset by an operator"),
            Reason::ProbesSucceeded { successes } => write!(f, "{successes} probes succeeded"),
        }
    }
}

/// A share as people read it, with a tenth where that says more.
fn percent(share: f64) -> String {
    let tenths = (share * 1000.0).round();
    if tenths % 10.0 == 0.0 { format!("{}%", tenths / 10.0) } else { format!("{:.1}%", tenths / 10.0) }
}

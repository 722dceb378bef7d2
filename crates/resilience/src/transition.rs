//! What happens to a breaker, as a value that can be written down.

use std::fmt;

use identity::Mono;

use crate::{Counts, State};

/// One change of a breaker's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The state that ended.
    pub from: State,
    /// The state that began.
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// What the breaker had seen by then.
    pub counts: Counts,
    /// The epoch that began with it.
    pub epoch: u32,
    /// Until when calls are refused, where it opened.
    pub until: Option<Mono>,
}

/// Why a breaker changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// More failures in a row than the threshold.
    ConsecutiveFailures {
        /// How many there were.
        failures: u32,
        /// How many would have been too few.
        threshold: u32,
    },
    /// It was open long enough.
    OpenForPassed,
    /// A probe failed.
    ProbeFailed,
    /// Enough probes succeeded.
    ProbesSucceeded {
        /// How many.
        successes: u32,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::ConsecutiveFailures { failures, threshold } => {
                write!(f, "{failures} failures in a row, threshold {threshold}")
            }
            Reason::OpenForPassed => f.write_str("open_for has passed"),
            Reason::ProbeFailed => f.write_str("a probe failed"),
            Reason::ProbesSucceeded { successes } => write!(f, "{successes} probes succeeded"),
        }
    }
}

//! The policy that a service's calls follow at one revision, and what is worked out from it once rather
//! than for each call.

use std::ops::Deref;

use resilience::{CallPolicy, Parts};
use traces::sampling::Ratio;

/// What the calls of a service follow.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// The revision of the policy document; 0 for the built-in one.
    pub(crate) revision: u64,
    /// Which of the traces that begin with a call are kept.
    pub(crate) head: Ratio,
    call: CallPolicy,
}

impl Policy {
    pub(crate) fn new(revision: u64, call: CallPolicy) -> Self {
        let head = Ratio::new(call.tracing.share).unwrap_or(Ratio::ALL);
        Self { revision, head, call }
    }

    /// Whether it says this.
    pub(crate) fn is(&self, call: &CallPolicy) -> bool {
        self.call == *call
    }
}

impl Deref for Policy {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.call
    }
}

//! What a breaker decides by, in one atomic word.

use crate::State;

/// State, epoch and both counts, which change together or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Word {
    pub(crate) state: State,
    /// Counts the transitions; wraps, which no permit lives long enough to meet.
    pub(crate) epoch: u32,
    /// Failures since the last success, up to [`FAILURES_MAX`].
    pub(crate) failures: u32,
    /// Probes that succeeded in this epoch.
    pub(crate) probes: u8,
}

/// The largest count of failures that the word holds; beyond it the count stands still.
pub(crate) const FAILURES_MAX: u32 = (1 << 20) - 1;

impl Word {
    /// `epoch` (32 bits), `failures` (20), `probes` (8), `state` (4), from high to low.
    pub(crate) fn pack(self) -> u64 {
        u64::from(self.epoch) << 32
            | u64::from(self.failures.min(FAILURES_MAX)) << 12
            | u64::from(self.probes) << 4
            | self.state as u64
    }

    #[inline]
    pub(crate) fn unpack(word: u64) -> Self {
        let state = State::ALL.get((word & 0xf) as usize).copied().unwrap_or_default();
        Self {
            state,
            epoch: (word >> 32) as u32,
            failures: (word >> 12) as u32 & FAILURES_MAX,
            probes: (word >> 4) as u8,
        }
    }
}

//! Telemetry is accounted for exactly.
//!
//! `received = stored + sampled_out + Σ dropped + spooled` holds at every moment, for each batch and for
//! all of them together, across restarts, because the counters of a batch stand in the very record of the
//! journal that holds the batch. What retention removes was stored before, so it is counted apart.

use std::collections::BTreeMap;

/// What became of the spans or the samples that were received.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// All that came in.
    pub received: u64,
    /// What was stored, including what has expired since.
    pub stored: u64,
    /// What a sampling decision left out.
    pub sampled_out: u64,
    /// What was left out for another reason, by that reason.
    pub dropped: BTreeMap<Box<str>, u64>,
    /// What a proxy keeps on its own disk until it can be delivered.
    pub spooled: u64,
    /// What was stored and has been removed by retention, by age or by size.
    pub expired: u64,
}

impl Ledger {
    /// How many reasons are told apart. A sender that invents more of them has them counted together
    /// under [`Self::OTHER`], so that a ledger stays small whoever writes into it.
    pub const MAX_REASONS: usize = 32;
    /// The longest name of a reason; longer ones are counted under [`Self::OTHER`] as well.
    pub const MAX_REASON_BYTES: usize = 64;
    /// The reason of what has none of its own.
    pub const OTHER: &str = "other";

    /// Counts `count` as dropped for `reason`.
    pub fn drop_for(&mut self, reason: &str, count: u64) {
        if count == 0 {
            return;
        }
        if let Some(sum) = self.dropped.get_mut(reason) {
            *sum = sum.saturating_add(count);
            return;
        }
        let room = self.dropped.len() < Self::MAX_REASONS && reason.len() <= Self::MAX_REASON_BYTES;
        let reason = if room && !reason.is_empty() { reason } else { Self::OTHER };
        let sum = self.dropped.entry(reason.into()).or_default();
        *sum = sum.saturating_add(count);
    }

    /// What was dropped, for all reasons.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Moves what had been stored to what was left out, by a decision that came later; never more than was stored.
    pub fn sample_out(&mut self, count: u64) {
        let count = count.min(self.stored);
        self.stored -= count;
        self.sampled_out = self.sampled_out.saturating_add(count);
    }

    /// Adds another ledger, such as a batch's to a store's or a proxy's to a server's.
    pub fn add(&mut self, other: &Ledger) {
        self.received = self.received.saturating_add(other.received);
        self.stored = self.stored.saturating_add(other.stored);
        self.sampled_out = self.sampled_out.saturating_add(other.sampled_out);
        for (reason, count) in &other.dropped {
            self.drop_for(reason, *count);
        }
        self.spooled = self.spooled.saturating_add(other.spooled);
        self.expired = self.expired.saturating_add(other.expired);
    }

    /// Whether everything received is accounted for, and nothing expired that was never stored.
    pub fn balances(&self) -> bool {
        let accounted = [self.stored, self.sampled_out, self.dropped_total(), self.spooled]
            .iter()
            .try_fold(0_u64, |sum, count| sum.checked_add(*count));
        accounted == Some(self.received) && self.expired <= self.stored
    }
}

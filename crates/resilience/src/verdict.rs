//! What the end of a call does to its breaker.

use identity::Mono;

use crate::{
    Breaker, BreakerPolicy, Outcome, Rate, Reason, State, Transition, Window, permit::Ticket, window::Sample,
    word::Word,
};

impl Breaker {
    /// Takes in how a permitted call ended.
    #[inline]
    pub(crate) fn judge(
        &self,
        ticket: &Ticket,
        policy: &BreakerPolicy,
        outcome: Outcome,
        now: Mono,
        may_open: impl FnOnce() -> bool,
    ) -> Option<Box<Transition>> {
        if !ticket.counts {
            return None;
        }
        let slow = policy.slow_after.is_some_and(|slow| now.since(ticket.began) > slow);
        let (success, failure) = (outcome == Outcome::Success, outcome == Outcome::Failure);
        self.tally.count(success, failure, slow);
        let in_time = ticket.probe.is_some_and(|probe| now.0 < probe.lease_ends);
        let held = self.give_back(ticket) && in_time;
        let word = self.word();
        let epoch = ticket.epoch.filter(|epoch| *epoch == word.epoch)?;
        // Whoever is impatient with a hanging service must not hide that it hangs.
        let is_sample = success || failure || (slow && outcome == Outcome::Cancelled);
        if !is_sample {
            return None;
        }
        match word.state {
            State::Closed | State::Ramp => {
                if policy.has_rates() {
                    self.tally.record(policy.window, epoch, now, Sample { failed: failure, slow });
                }
                if success && !slow {
                    self.set_back(epoch, word);
                    return None;
                }
                let reason = self.reason_to_open(policy, epoch, word, outcome, now)?;
                if may_open() { self.open(policy, epoch, reason, ticket.retry_after, now) } else { None }
            }
            State::HalfOpen => {
                let probe = Probed { held, failure, slow: slow && policy.slow_call_rate.is_some() };
                if outcome == Outcome::Cancelled && !probe.slow {
                    return None;
                }
                self.decide(ticket, policy, epoch, probe, now)
            }
            _ => None,
        }
    }

    /// A success among the failures begins their count anew.
    #[inline]
    fn set_back(&self, epoch: u32, word: Word) {
        if word.failures > 0 {
            self.update(|word| {
                (word.epoch == epoch && word.failures > 0).then_some(Word { failures: 0, ..word })
            });
        }
    }

    /// Counts a failure or a slow call, and says which rule opens for it.
    fn reason_to_open(
        &self,
        policy: &BreakerPolicy,
        epoch: u32,
        word: Word,
        outcome: Outcome,
        now: Mono,
    ) -> Option<Reason> {
        if outcome == Outcome::Failure {
            let counted = self.update(|word| {
                let failures = word.failures.saturating_add(1);
                (word.epoch == epoch).then_some(Word { failures, ..word })
            });
            let failures = counted?.failures;
            if let Some(threshold) = policy.consecutive_failures.filter(|threshold| failures > *threshold) {
                return Some(Reason::ConsecutiveFailures { failures, threshold });
            }
        } else if outcome == Outcome::Success {
            self.set_back(epoch, word);
        }
        if !policy.has_rates() {
            return None;
        }
        let window = self.tally.window(policy.window, epoch, now);
        let reached = |rule: Option<Rate>, count: u64| {
            let Rate { threshold, min_calls } = rule?;
            let least = match policy.window {
                Window::Calls(size) => min_calls.min(size),
                Window::Time(_) => min_calls,
            };
            let rate = count as f64 / window.calls.max(1) as f64;
            (window.calls >= u64::from(least) && rate >= threshold).then_some((rate, threshold, window.calls))
        };
        if let Some((rate, threshold, calls)) = reached(policy.failure_rate, window.failures) {
            return Some(Reason::FailureRate { rate, threshold, calls });
        }
        let (rate, threshold, calls) = reached(policy.slow_call_rate, window.slow)?;
        Some(Reason::SlowCallRate { rate, threshold, calls })
    }

    /// What a call that ended in half-open decides.
    fn decide(
        &self,
        ticket: &Ticket,
        policy: &BreakerPolicy,
        epoch: u32,
        probe: Probed,
        now: Mono,
    ) -> Option<Box<Transition>> {
        let bad = probe.failure || probe.slow;
        // A probe that outlived its lease took too long to count as a good sign; as a bad one it counts
        // however late it comes.
        if !bad && !probe.held {
            return None;
        }
        let counted = self.update(|word| {
            let next = if bad {
                Word { failures: word.failures.saturating_add(1), ..word }
            } else {
                let failures = if policy.half_open.close_at.is_some() { word.failures } else { 0 };
                Word { failures, probes: word.probes.saturating_add(1), ..word }
            };
            (word.epoch == epoch).then_some(next)
        })?;
        let successes = u32::from(counted.probes);
        let Some(share) = policy.half_open.close_at else {
            return match bad {
                true => {
                    let reason = if probe.failure { Reason::ProbeFailed } else { Reason::ProbeSlow };
                    self.open(policy, epoch, reason, ticket.retry_after, now)
                }
                false if successes >= policy.half_open.successes => {
                    self.close(policy, epoch, Reason::ProbesSucceeded { successes }, now)
                }
                false => None,
            };
        };
        let ended = successes.saturating_add(counted.failures);
        if ended < policy.half_open.successes {
            None
        } else if f64::from(successes) >= share * f64::from(ended) {
            self.close(policy, epoch, Reason::ProbesSucceeded { successes }, now)
        } else {
            let reason = Reason::ProbesFailed { successes, ended };
            self.open(policy, epoch, reason, ticket.retry_after, now)
        }
    }
}

/// How a probe ended.
struct Probed {
    /// Whether its lease had lasted.
    held: bool,
    failure: bool,
    /// Whether it was slow, and slow calls count.
    slow: bool,
}

//! Taking a single endpoint out, and letting it back in.
//!
//! Each endpoint has a breaker of its own that sees its attempts; open means ejected, and half-open that
//! a few attempts try it. What it may not do alone is to go: the endpoints of a service share a number of
//! places for those that are out, and without a place an endpoint whose breaker is open takes its calls
//! like before. So a service that fails everywhere loses a third of its endpoints and not all of them.
//!
//! An endpoint to which no calls are sent anyway needs no place, and gives back its own: one that has
//! crashed and is down by the registry's word would otherwise keep another, that fails as well, from
//! being taken out.

use std::sync::{
    Arc,
    atomic::{
        AtomicU8, AtomicU64,
        Ordering::{AcqRel, Acquire, SeqCst},
    },
};

use identity::{Now, TraceId};
use resilience::{
    Counts, Ejections, Mode, Outcome, OutlierPolicy, Reason, Record, Refused, State, Transition,
};

use crate::watched::{CallPermit, Watched};

/// What is known of an endpoint's health.
#[derive(Debug)]
pub(crate) struct Outlier {
    pub(crate) watched: Watched,
    ejections: Arc<Ejections>,
    place: AtomicU8,
    /// Successes and failures when it was compared with its siblings the last time.
    compared: [AtomicU64; 2],
}

/// It takes calls.
const IN: u8 = 0;
/// It holds one of the places for those that are out.
const OUT: u8 = 1;
/// No calls are sent there anyway.
const AWAY: u8 = 2;

impl Outlier {
    pub(crate) fn new(ejections: Arc<Ejections>, seed: u64, now: Now) -> Self {
        Self {
            watched: Watched::new(seed, now),
            ejections,
            place: AtomicU8::new(IN),
            compared: Default::default(),
        }
    }

    /// Whether calls pass it over, but for those that try it.
    pub(crate) fn is_out(&self) -> bool {
        self.place.load(Acquire) == OUT
    }

    /// Whether a call may try it now.
    pub(crate) fn is_due(&self, policy: &OutlierPolicy, now: Now) -> bool {
        self.is_out() && self.watched.breaker().admits(&policy.rules, now.mono)
    }

    /// Asks for a permit for one attempt.
    pub(crate) fn permit(
        &self,
        policy: &OutlierPolicy,
        now: Now,
    ) -> Result<(CallPermit, Option<Box<Transition>>), Refused> {
        self.watched.permit(&policy.rules, now)
    }

    /// Takes in how an attempt ended; `siblings` is how many endpoints calls go to, this one included.
    pub(crate) fn end(
        &self,
        permit: CallPermit,
        policy: &OutlierPolicy,
        siblings: usize,
        outcome: Outcome,
        trace: TraceId,
        now: Now,
    ) -> Option<Box<Transition>> {
        let mut took = false;
        let may_open = || {
            took = self.go(policy, siblings);
            took
        };
        let transition = self.watched.end(permit, &policy.rules, outcome, trace, now, may_open);
        self.settle(took, transition.as_deref());
        transition
    }

    /// Takes it out for what it does in comparison with its siblings, if the guards agree.
    pub(crate) fn trip(
        &self,
        policy: &OutlierPolicy,
        siblings: usize,
        reason: Reason,
        now: Now,
    ) -> Option<Box<Transition>> {
        let passes = matches!(self.watched.state(), State::Closed | State::Ramp);
        let took = passes && self.go(policy, siblings);
        let transition = took.then(|| self.watched.breaker().trip(&policy.rules, reason, now.mono)).flatten();
        self.settle(took, transition.as_deref());
        transition
    }

    /// Says whether calls are sent here; that is the registry's word.
    pub(crate) fn seat(&self, seated: bool, policy: Option<&OutlierPolicy>, siblings: usize) {
        if !seated {
            if self.place.swap(AWAY, SeqCst) == OUT {
                self.ejections.readmit();
            }
        } else if self.place.compare_exchange(AWAY, IN, AcqRel, Acquire).is_ok()
            && let Some(policy) = policy
            && matches!(self.watched.state(), State::Open | State::HalfOpen)
        {
            self.go(policy, siblings);
        }
    }

    /// Why no call is sent there; empty while calls are.
    pub(crate) fn ejected(&self, policy: Option<&OutlierPolicy>) -> String {
        let is_out = policy.is_some_and(|policy| policy.rules.mode == Mode::Enforce) && self.is_out();
        if is_out { self.watched.since().1 } else { String::new() }
    }

    /// What it has done since this was asked the last time.
    pub(crate) fn since_last(&self) -> Record {
        let Counts { successes, failures, .. } = self.counts();
        let [before_successes, before_failures] = &self.compared;
        let successes = successes.saturating_sub(before_successes.swap(successes, SeqCst));
        let failures = failures.saturating_sub(before_failures.swap(failures, SeqCst));
        Record { calls: successes + failures, failures }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.watched.breaker().counts()
    }

    /// Takes a place among those that are out, if there is one.
    fn go(&self, policy: &OutlierPolicy, siblings: usize) -> bool {
        let siblings = u32::try_from(siblings).unwrap_or(u32::MAX);
        if self.place.load(Acquire) != IN || !self.ejections.eject(policy, siblings) {
            return false;
        }
        let went = self.place.compare_exchange(IN, OUT, AcqRel, Acquire).is_ok();
        if !went {
            self.ejections.readmit();
        }
        went
    }

    /// Comes back into the place where calls are sent.
    fn come_back(&self) {
        if self.place.compare_exchange(OUT, IN, AcqRel, Acquire).is_ok() {
            self.ejections.readmit();
        }
    }

    /// Brings the place into line with what the breaker made of it.
    fn settle(&self, took: bool, transition: Option<&Transition>) {
        let opened = transition.is_some_and(|transition| transition.to == State::Open);
        let closed =
            transition.is_some_and(|transition| matches!(transition.to, State::Closed | State::Ramp));
        // Someone else may have made another transition meanwhile.
        if closed || (took && !opened) {
            self.come_back();
        }
    }
}

impl Drop for Outlier {
    fn drop(&mut self) {
        if *self.place.get_mut() == OUT {
            self.ejections.readmit();
        }
    }
}

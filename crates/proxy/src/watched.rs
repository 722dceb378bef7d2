//! A breaker together with what people want to know of it: since when it is as it is, why, and which
//! calls made it so.
//!
//! The breaker itself is the core's and knows neither the time of day nor traces. What is kept here is
//! written by failures and transitions only, so that a call that succeeds takes no lock.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use identity::{Now, TraceId, Wall};
use resilience::{Breaker, BreakerPolicy, Outcome, Permit, Refused, State, Transition};

/// How many traces a transition names: enough for the failures that open by the built-in policy.
const EXEMPLARS: usize = 8;

/// Leave to make a call or an attempt; it holds its breaker.
pub(crate) type CallPermit = Permit<Arc<Breaker>>;

/// A breaker and its story.
#[derive(Debug)]
pub(crate) struct Watched {
    breaker: Arc<Breaker>,
    story: Mutex<Story>,
}

/// What only failures and transitions write.
#[derive(Debug)]
struct Story {
    /// The traces of the latest failures.
    failed: VecDeque<TraceId>,
    epoch: u32,
    since: Wall,
    reason: String,
}

/// A transition, with what the breaker does not know of it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) transition: Transition,
    pub(crate) reason: String,
    /// Calls that led to it.
    pub(crate) exemplars: Vec<TraceId>,
}

impl Watched {
    /// A closed breaker without a past.
    pub(crate) fn new(seed: u64, now: Now) -> Self {
        let story = Story { failed: VecDeque::new(), epoch: 0, since: now.wall, reason: String::new() };
        Self { breaker: Arc::new(Breaker::new(seed, now.mono)), story: Mutex::new(story) }
    }

    pub(crate) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    pub(crate) fn state(&self) -> State {
        self.breaker.state()
    }

    /// Asks for a permit.
    pub(crate) fn permit(
        &self,
        policy: &BreakerPolicy,
        now: Now,
    ) -> Result<(CallPermit, Option<Box<Transition>>), Refused> {
        Permit::acquire(self.breaker.clone(), policy, now.mono)
    }

    /// Tells the breaker how a call or an attempt ended. It opens only where `may_open` agrees.
    pub(crate) fn end(
        &self,
        permit: CallPermit,
        policy: &BreakerPolicy,
        outcome: Outcome,
        trace: TraceId,
        now: Now,
        may_open: impl FnOnce() -> bool,
    ) -> Option<Box<Transition>> {
        if outcome == Outcome::Failure {
            // Before the breaker knows, so that a transition that this one causes can name it.
            let mut story = self.lock();
            if story.failed.len() == EXEMPLARS {
                story.failed.pop_front();
            }
            story.failed.push_back(trace);
        }
        permit.end_if(policy, outcome, now.mono, may_open)
    }

    /// Takes a transition into the story; `note` is what is to be said beside its reason.
    pub(crate) fn tell(&self, transition: Transition, note: &str, now: Now) -> Told {
        let reason = match note {
            "" => transition.reason.to_string(),
            note => format!("{}: {note}", transition.reason),
        };
        let mut story = self.lock();
        let opened = transition.to == State::Open;
        // Failures that led to an opening are told once.
        let exemplars = if opened { story.failed.drain(..).collect() } else { Vec::new() };
        // Two transitions may come here in the other order.
        if transition.epoch.wrapping_sub(story.epoch) < u32::MAX / 2 {
            story.epoch = transition.epoch;
            story.since = now.wall;
            story.reason.clone_from(&reason);
        }
        Told { transition, reason, exemplars }
    }

    /// Since when it is as it is, and why.
    pub(crate) fn since(&self) -> (Wall, String) {
        let story = self.lock();
        (story.since, story.reason.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Story> {
        self.story.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

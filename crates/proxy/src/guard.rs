//! What stands before a service as a whole: its policy, its breaker, its retry budget.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use identity::{Now, RouteName, ServiceName, TraceId, Wall};
use resilience::{Breaker, CallPolicy, Counts, Outcome, Permit, Refused, RetryBudget, Transition};
use wire::native::channel;

use crate::{meter::Meter, routing::Service};

/// Lasts as long as the service is known.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) policy: CallPolicy,
    pub(crate) budget: RetryBudget,
    pub(crate) meter: Meter,
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

/// How many traces a transition names: enough for the failures that open by the built-in policy.
const EXEMPLARS: usize = 8;

/// Leave to make a call; it holds its breaker.
pub(crate) type CallPermit = Permit<Arc<Breaker>>;

impl Guard {
    pub(crate) fn new(policy: CallPolicy, meter: Meter, seed: u64, now: Now) -> Self {
        let story = Story { failed: VecDeque::new(), epoch: 0, since: now.wall, reason: String::new() };
        Self {
            policy,
            budget: RetryBudget::new(),
            meter,
            breaker: Arc::new(Breaker::new(seed, now.mono)),
            story: Mutex::new(story),
        }
    }

    pub(crate) fn state(&self) -> resilience::State {
        self.breaker.state()
    }

    /// Asks the breaker; `None` where the policy has none.
    pub(crate) fn permit(&self, now: Now) -> Result<(Option<CallPermit>, Option<Transition>), Refused> {
        let Some(policy) = &self.policy.circuit_breaker else { return Ok((None, None)) };
        let (permit, transition) = Permit::acquire(self.breaker.clone(), policy, now.mono)?;
        Ok((Some(permit), transition))
    }

    /// Tells the breaker how a call ended.
    pub(crate) fn end(
        &self,
        permit: CallPermit,
        outcome: Outcome,
        trace: TraceId,
        now: Now,
    ) -> Option<Transition> {
        if outcome == Outcome::Failure {
            // Before the breaker knows, so that a transition that this one causes can name it.
            let mut story = self.lock();
            if story.failed.len() == EXEMPLARS {
                story.failed.pop_front();
            }
            story.failed.push_back(trace);
        }
        permit.end(self.policy.circuit_breaker.as_ref()?, outcome, now.mono)
    }

    /// How long until another call may pass.
    pub(crate) fn wait(&self, refused: Refused, now: Now) -> Duration {
        refused.until.since(now.mono)
    }

    /// The transition as it is reported.
    pub(crate) fn tell(
        &self,
        transition: Transition,
        service: &Service,
        caller: &ServiceName,
        now: Now,
    ) -> channel::Transition {
        let reason = transition.reason.to_string();
        let mut story = self.lock();
        let opened = transition.to == resilience::State::Open;
        // Failures that led to an opening are told once.
        let exemplar_trace_ids = if opened { story.failed.drain(..).collect() } else { Vec::new() };
        // Two transitions may come here in the other order.
        if transition.epoch.wrapping_sub(story.epoch) < u32::MAX / 2 {
            story.epoch = transition.epoch;
            story.since = now.wall;
            story.reason.clone_from(&reason);
        }
        channel::Transition {
            namespace: service.namespace.clone(),
            service: service.name.clone(),
            caller: caller.clone(),
            route: RouteName::default(),
            from: transition.from,
            to: transition.to,
            at: now.wall,
            reason,
            counts: transition.counts,
            exemplar_trace_ids,
            policy_revision: 0,
        }
    }

    /// The breaker as it is reported; `None` as long as it has seen nothing.
    pub(crate) fn row(&self, service: &Service, caller: &ServiceName) -> Option<channel::BreakerRow> {
        let snapshot = self.breaker.snapshot();
        if snapshot.counts == Counts::default() && snapshot.epoch == 0 {
            return None;
        }
        let story = self.lock();
        Some(channel::BreakerRow {
            namespace: service.namespace.clone(),
            service: service.name.clone(),
            caller: caller.clone(),
            route: RouteName::default(),
            state: snapshot.state,
            since: story.since,
            reason: story.reason.clone(),
            counts: snapshot.counts,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Story> {
        self.story.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

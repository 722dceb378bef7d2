//! What stands before a service as a whole: its breaker, its retry budget, what its endpoints share.
//!
//! It holds state and no policy: the policy is an argument, and belongs to the service at one revision.
//! So a changed policy finds everything as it was.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use identity::{Mono, Now, RouteName, ServiceName, TraceId};
use resilience::{Counts, Ejections, Outcome, Refused, RetryBudget, State, Transition};
use wire::native::channel;

use crate::{
    meter::Meter,
    policy::Policy,
    routing::Service,
    watched::{CallPermit, Watched},
};

/// Lasts as long as the service is known.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) budget: RetryBudget,
    pub(crate) meter: Meter,
    /// How many of its endpoints are out.
    pub(crate) ejections: Arc<Ejections>,
    pub(crate) watched: Watched,
    /// When its endpoints were compared with each other the last time.
    compared: AtomicU64,
}

impl Guard {
    pub(crate) fn new(meter: Meter, seed: u64, now: Now) -> Self {
        Self {
            budget: RetryBudget::new(),
            meter,
            ejections: Arc::default(),
            watched: Watched::new(seed, now),
            compared: AtomicU64::new(now.mono.0),
        }
    }

    /// What the breaker does with calls, in the policy's words where it has one for it.
    pub(crate) fn state(&self, policy: &Policy) -> State {
        policy
            .circuit_breaker
            .as_ref()
            .map_or(State::Disabled, |rules| self.watched.breaker().state_under(rules))
    }

    /// Asks the breaker; `None` where the policy has none.
    pub(crate) fn permit(
        &self,
        policy: &Policy,
        now: Now,
    ) -> Result<(Option<CallPermit>, Option<Transition>), Refused> {
        let Some(rules) = &policy.circuit_breaker else { return Ok((None, None)) };
        let (permit, transition) = self.watched.permit(rules, now)?;
        Ok((Some(permit), transition))
    }

    /// Tells the breaker how a call ended.
    pub(crate) fn end(
        &self,
        permit: CallPermit,
        policy: &Policy,
        outcome: Outcome,
        trace: TraceId,
        now: Now,
    ) -> Option<Transition> {
        let rules = policy.circuit_breaker.as_ref()?;
        self.watched.end(permit, rules, outcome, trace, now, || true)
    }

    /// How long until another call may pass.
    pub(crate) fn wait(&self, refused: &Refused, now: Now) -> Duration {
        refused.until.since(now.mono)
    }

    /// Whether a window over which endpoints are compared is over; then another one begins.
    pub(crate) fn begins_window(&self, window: Duration, now: Mono) -> bool {
        let is_over = now.since(Mono(self.compared.load(Relaxed))) >= window;
        if is_over {
            self.compared.store(now.0, Relaxed);
        }
        is_over
    }

    /// The breaker as it is reported; `None` as long as it has seen nothing.
    pub(crate) fn row(&self, service: &Service, caller: &ServiceName) -> Option<channel::BreakerRow> {
        let snapshot = self.watched.breaker().snapshot();
        if snapshot.counts == Counts::default() && snapshot.epoch == 0 {
            return None;
        }
        let (since, reason) = self.watched.since();
        Some(channel::BreakerRow {
            namespace: service.namespace.clone(),
            service: service.name.clone(),
            caller: caller.clone(),
            route: RouteName::default(),
            state: self.state(&service.policy),
            since,
            reason,
            counts: snapshot.counts,
        })
    }
}

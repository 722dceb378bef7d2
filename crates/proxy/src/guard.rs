//! What stands before a service as a whole: its breaker, its retry budget, what its endpoints share.
//!
//! It holds state and no policy: the policy is an argument, and belongs to the service at one revision.
//! So a changed policy finds everything as it was.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use identity::{Mono, Now, RouteName, ServiceName, TraceId};
use resilience::{BreakerPolicy, Counts, Ejections, Force, Outcome, Refused, RetryBudget, State, Transition};
use wire::native::channel;

use crate::{
    limits::Concurrency,
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
    /// The number of the latest operator's word that was followed.
    followed: AtomicU64,
    /// Whose turn it is, where endpoints take turns.
    pub(crate) turn: AtomicU64,
    pub(crate) concurrency: Concurrency,
    pub(crate) counts: crate::counts::Counts,
}

/// What an operator's word stands on where the policy has no breaker.
static PLAIN: LazyLock<BreakerPolicy> = LazyLock::new(BreakerPolicy::default);

impl Guard {
    pub(crate) fn new(meter: Meter, seed: u64, now: Now) -> Self {
        Self {
            budget: RetryBudget::new(),
            meter,
            ejections: Arc::default(),
            watched: Watched::new(seed, now),
            compared: AtomicU64::new(now.mono.0),
            followed: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            concurrency: Concurrency::default(),
            counts: Default::default(),
        }
    }

    /// The breaker's rules: the policy's, and while an operator forces it also without any.
    fn rules<'a>(&self, policy: &'a Policy) -> Option<&'a BreakerPolicy> {
        let forced = || self.watched.state().is_forced().then(|| &*PLAIN);
        policy.circuit_breaker.as_ref().or_else(forced)
    }

    /// What the breaker does with calls, in the policy's words where it has one for it.
    pub(crate) fn state(&self, policy: &Policy) -> State {
        self.rules(policy).map_or(State::Disabled, |rules| self.watched.breaker().state_under(rules))
    }

    /// Asks the breaker; `None` where the policy has none.
    pub(crate) fn permit(
        &self,
        policy: &Policy,
        now: Now,
    ) -> Result<(Option<CallPermit>, Option<Box<Transition>>), Refused> {
        let Some(rules) = self.rules(policy) else { return Ok((None, None)) };
        let (permit, transition) = self.watched.permit(rules, now)?;
        Ok((Some(permit), transition))
    }

    /// Follows an operator's word, once; `None` where it is followed already.
    pub(crate) fn force(
        &self,
        number: u64,
        force: Option<Force>,
        until: Mono,
        now: Mono,
    ) -> Option<Box<Transition>> {
        if self.followed.fetch_max(number, SeqCst) >= number {
            return None;
        }
        let breaker = self.watched.breaker();
        match force {
            Some(force) => Some(Box::new(breaker.force(force, until, now))),
            // Nothing is held against a breaker that has seen nothing.
            None => (breaker.snapshot().epoch > 0 || breaker.counts() != Counts::default())
                .then(|| Box::new(breaker.reset(now))),
        }
    }

    /// Ends an operator's word whose time is over, without waiting for the next call to do so.
    pub(crate) fn end_force(&self, policy: &Policy, now: Now) -> Option<Box<Transition>> {
        let snapshot = self.watched.breaker().snapshot();
        let is_over = snapshot.state.is_forced() && snapshot.until.is_some_and(|until| until <= now.mono);
        let rules = is_over.then(|| self.rules(policy)).flatten()?;
        // The permit is given back at once.
        self.watched.permit(rules, now).ok()?.1
    }

    /// Tells the breaker how a call ended.
    pub(crate) fn end(
        &self,
        permit: CallPermit,
        policy: &Policy,
        outcome: Outcome,
        trace: TraceId,
        now: Now,
    ) -> Option<Box<Transition>> {
        let rules = policy.circuit_breaker.as_ref().unwrap_or(&PLAIN);
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

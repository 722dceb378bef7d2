//! How many calls a service takes: in how much time, and at once.
//!
//! What a limit has counted belongs to the service and not to its policy, so that a changed policy does
//! not begin by letting everything pass. A limit is the same one as long as it stands at the same place
//! in the policy and is counted by the same thing.
//!
//! Each proxy counts for itself: nothing is asked of anybody else, and a limit holds also where the
//! control plane is away. Of two proxies each lets its own rate pass.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::request::Parts;
use identity::Mono;
use resilience::{
    ConcurrencyLimit, ConcurrencyPolicy, Entry, HashKey, KeyedRateLimit, LimitKey, RateLimit,
    RateLimitPolicy, Waiter,
};
use tokio::{sync::oneshot, time::timeout};

use crate::{
    gateway::Gateway,
    hash_key,
    policy::Policy,
    refusal::{Reason, Refusal},
    routing::Service,
};

/// Keys that one limit tells apart, some 100 bytes each; beyond them new ones share one rate.
const KEYS: usize = 10_000;

/// What the rate limits of a service have counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rates(Vec<Counted>);

#[derive(Debug, Clone)]
enum Counted {
    All(Arc<RateLimit>),
    ByKey(HashKey, Arc<KeyedRateLimit>),
}

impl Rates {
    /// What is counted for this policy; as far as it was counted before, it goes on.
    pub(crate) fn new(policy: &Policy, before: Option<&Rates>) -> Self {
        let known = |at: usize| before.and_then(|before| before.0.get(at));
        let counted = |(at, limit): (usize, &RateLimitPolicy)| match (&limit.by, known(at)) {
            (Some(LimitKey::Request(key)), Some(Counted::ByKey(same, counted))) if same == key => {
                Counted::ByKey(key.clone(), counted.clone())
            }
            (Some(LimitKey::Request(key)), _) => {
                Counted::ByKey(key.clone(), Arc::new(KeyedRateLimit::new(KEYS)))
            }
            // All calls of a proxy have one caller.
            (Some(LimitKey::Caller) | None, Some(Counted::All(counted))) => Counted::All(counted.clone()),
            (Some(LimitKey::Caller) | None, _) => Counted::All(Arc::default()),
        };
        Self(policy.rate_limits.iter().enumerate().map(counted).collect())
    }
}

/// Refuses a call that is not within each of its service's rates.
pub(crate) fn within_rates(service: &Service, parts: &Parts, peer: IpAddr, now: Mono) -> Result<(), Refusal> {
    for (limit, counted) in service.policy.rate_limits.iter().zip(&service.rates.0) {
        let taken = match counted {
            Counted::All(all) => all.take(&limit.rate, now),
            Counted::ByKey(key, counted) => {
                counted.take(&limit.rate, &hash_key::of(key, parts, peer).unwrap_or_default(), now)
            }
        };
        taken.map_err(|wait| {
            let (calls, per) = (limit.rate.calls, identity::duration::format(limit.rate.per));
            let detail = format!("service {:?} takes {calls} calls in {per}", service.name.as_str());
            Refusal::new(Reason::RateLimited, detail).retry_after(wait)
        })?;
    }
    Ok(())
}

/// How many calls of a service are under way, and who waits.
#[derive(Debug, Default)]
pub(crate) struct Concurrency(Mutex<Turnstile>);

#[derive(Debug, Default)]
struct Turnstile {
    limit: ConcurrencyLimit,
    /// How those that wait are told.
    waiting: HashMap<u64, oneshot::Sender<()>>,
}

/// A place inside, or in the queue before it; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    service: Arc<Service>,
    policy: ConcurrencyPolicy,
    gateway: Arc<Gateway>,
    /// `None` once it is inside.
    waits: Option<Waiter>,
}

/// Waits for a place where calls at once are limited; `None` where they are not.
pub(crate) async fn enter(gateway: &Arc<Gateway>, service: &Arc<Service>) -> Result<Option<Place>, Refusal> {
    let Some(policy) = service.policy.concurrency else { return Ok(None) };
    let place = |waits| Place { service: service.clone(), policy, gateway: gateway.clone(), waits };
    let (mut place, turn) = {
        let mut turnstile = service.guard.concurrency.lock();
        match turnstile.limit.enter(&policy, gateway.clock.mono()) {
            Entry::Entered => return Ok(Some(place(None))),
            Entry::Refused => {
                let (limit, queue) = (policy.limit, policy.queue);
                return Err(refusal(service, format!("{limit} are under way and {queue} wait")));
            }
            Entry::Waits(waiter) => {
                let (sender, receiver) = oneshot::channel();
                turnstile.waiting.insert(waiter.number, sender);
                (place(Some(waiter)), receiver)
            }
        }
    };
    if let Ok(Ok(())) = timeout(policy.wait, turn).await {
        place.waits = None;
        return Ok(Some(place));
    }
    let wait = identity::duration::format(policy.wait);
    Err(refusal(service, format!("{} are under way, and none ended within {wait}", policy.limit)))
}

fn refusal(service: &Service, detail: String) -> Refusal {
    let detail = format!("service {:?} has no room for another call: {detail}", service.name.as_str());
    Refusal::new(Reason::ConcurrencyLimited, detail).retry_after(Duration::from_secs(1))
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = self.gateway.clock.mono();
        let mut turnstile = self.service.guard.concurrency.lock();
        let Turnstile { limit, waiting } = &mut *turnstile;
        if let Some(waiter) = self.waits {
            limit.give_up(waiter);
            // One that cannot be told any more has been: it is inside without having noticed.
            if waiting.remove(&waiter.number).is_some() {
                return;
            }
        }
        for waiter in limit.leave(&self.policy, now) {
            if let Some(waiting) = waiting.remove(&waiter.number) {
                // Whoever has just stopped to wait gives the place back by itself.
                let _ = waiting.send(());
            }
        }
    }
}

impl Concurrency {
    fn lock(&self) -> MutexGuard<'_, Turnstile> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

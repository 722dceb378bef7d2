//! What time asks of an instance, and when.
//!
//! A heartbeat must cost next to nothing, and it comes under a lock that others share; so it moves the
//! lease's deadline in place, and leaves the queue of timers as it is. An entry of the queue is
//! therefore a promise to look, not a deadline: whoever finds it looks at the timers themselves.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use identity::{Mono, Now};

use crate::Instance;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The lease lapses.
    Lease,
    /// It has lapsed, but a heartbeat was answered before that was durable.
    Recover,
    /// It has lapsed long enough to be forgotten.
    Forget,
    /// It has warmed up.
    WarmUp,
    /// An operator's word does not hold any more.
    Override,
}

const NEVER: Mono = Mono(u64::MAX);

/// The deadlines of an instance, all of them on the monotonic clock.
#[derive(Debug)]
pub(crate) struct Timers {
    /// Moved by heartbeats, which share the registry with each other and with readers.
    lease: AtomicU64,
    /// What a heartbeat is worth, in nanoseconds, and 0 where there is no lease; here, so that who looks at
    /// all leases looks nowhere else.
    ttl: u64,
    /// Of most instances nothing else is asked.
    rare: Option<Box<Rare>>,
}

/// What time asks of an instance besides its lease.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rare {
    has_lapsed: bool,
    recover: Mono,
    forget: Mono,
    /// When it began to take calls, while it warms up.
    warm_from: Mono,
    warm: Mono,
    release: Mono,
}

/// Nothing is asked.
const NOTHING: Rare =
    Rare { has_lapsed: false, recover: NEVER, forget: NEVER, warm_from: NEVER, warm: NEVER, release: NEVER };

impl Timers {
    /// The timers of an instance that is new here, as it is now.
    pub(crate) fn new(now: Now, instance: &Instance) -> Self {
        let never = Self { lease: AtomicU64::new(NEVER.0), ttl: 0, rare: None };
        never.after(now, None, instance, true)
    }

    /// The timers after a change: what goes on keeps its deadline, what begins gets one.
    pub(crate) fn after(
        self,
        now: Now,
        before: Option<&Instance>,
        instance: &Instance,
        renews: bool,
    ) -> Self {
        let (registration, condition) = (&instance.registration, &instance.condition);
        let has_lapsed = condition.lapsed.is_some();
        let had_lapsed = before.is_some_and(|before| before.condition.lapsed.is_some());
        let forget = match registration.forget_after().filter(|_| has_lapsed) {
            Some(_) if had_lapsed => self.rare().forget,
            Some(after) => now.mono + after,
            None => NEVER,
        };
        let recover = if has_lapsed && had_lapsed { self.rare().recover } else { NEVER };
        let warm_from = condition.is_warming().then(|| self.warm_from().unwrap_or(now.mono));
        let warm = warm_from.zip(registration.warm_up).map_or(NEVER, |(from, over)| from + over.into());
        let until = |of: &Instance| of.condition.pinned.as_ref().and_then(|pinned| pinned.until);
        let release = match until(instance) {
            Some(at) if before.and_then(until) == Some(at) => self.rare().release,
            // The record has the wall clock; what is left of it is counted on the monotonic one.
            Some(at) => now.mono + at.since(now.wall),
            None => NEVER,
        };
        let ttl = registration.ttl.map(Duration::from).unwrap_or_default();
        let ttl = u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX);
        let warm_from = warm_from.unwrap_or(NEVER);
        let rare = Rare { has_lapsed, recover, forget, warm_from, warm, release };
        let rare = (rare != NOTHING).then(|| Box::new(rare));
        let timers = Self { lease: self.lease, ttl, rare };
        if renews {
            timers.renew(now);
        }
        timers
    }

    fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING)
    }

    /// The lease begins anew.
    pub(crate) fn renew(&self, now: Now) {
        let lease = self.ttl().map_or(NEVER, |ttl| now.mono + ttl);
        self.lease.store(lease.0, Relaxed);
    }

    /// The lease holds for at least this long yet.
    pub(crate) fn spare(&self, until: Mono) {
        self.lease.fetch_max(until.0, Relaxed);
    }

    /// To be called when a lapse that was decided at `now` is durable: a heartbeat that was answered
    /// meanwhile must not have been for nothing. Whether there was one.
    pub(crate) fn recover_if_answered(&mut self, now: Now) -> bool {
        let is_answered = self.lease().is_some_and(|lease| lease > now.mono);
        if is_answered {
            self.rare.get_or_insert_with(|| Box::new(NOTHING)).recover = now.mono;
        }
        is_answered
    }

    /// When the lease lapses, `None` where there is none.
    pub(crate) fn lease(&self) -> Option<Mono> {
        Some(Mono(self.lease.load(Relaxed))).filter(|at| *at != NEVER)
    }

    /// How long the lease holds without a heartbeat.
    pub(crate) fn ttl(&self) -> Option<Duration> {
        (self.ttl > 0).then(|| Duration::from_nanos(self.ttl))
    }

    /// Whether the lease has been found lapsed.
    pub(crate) fn has_lapsed(&self) -> bool {
        self.rare().has_lapsed
    }

    /// When it began to take calls, while it warms up.
    pub(crate) fn warm_from(&self) -> Option<Mono> {
        Some(self.rare().warm_from).filter(|at| *at != NEVER)
    }

    /// What is due first, and when.
    pub(crate) fn next(&self) -> Option<(Mono, Timer)> {
        let rare = self.rare();
        let lease = if rare.has_lapsed { NEVER.0 } else { self.lease.load(Relaxed) };
        let all = [
            (rare.release, Timer::Override),
            (rare.warm, Timer::WarmUp),
            (rare.recover, Timer::Recover),
            (rare.forget, Timer::Forget),
            (Mono(lease), Timer::Lease),
        ];
        all.into_iter().filter(|(at, _)| *at != NEVER).min_by_key(|(at, _)| *at)
    }
}

//! A registry as one would write it who cares for nothing but what is right: plain structs, walked from
//! end to end, with everything worked out anew each time. It knows nothing of protection (there are
//! never enough leases in one zone here) and nothing of disks.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// An instance, as plain facts.
#[derive(Debug, Clone)]
pub(super) struct Plain {
    pub(super) registration: Registration,
    pub(super) lease: LeaseId,
    pub(super) verdicts: Vec<&'static str>,
    pub(super) is_cold: bool,
    pub(super) is_drained: bool,
    /// When it was drained, and when its override was said, last.
    drained_at: Wall,
    pinned_at: Wall,
    weighed_at: Wall,
    pub(super) weighed: Option<u32>,
    pub(super) pinned: Option<(Pinned, Option<Wall>)>,
    pub(super) lapsed: Option<Now>,
    pub(super) status: Status,
    pub(super) since: Wall,
    /// Of its last change.
    pub(super) revision: u64,
    renewed: Mono,
    warms_since: Option<Mono>,
    /// Its lease lapsed, but a heartbeat was answered before that was durable.
    answered: Option<Mono>,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Plains {
    pub(super) all: BTreeMap<Target, Plain>,
    pub(super) revision: u64,
    /// What this batch has decided, which time does not touch.
    decided: BTreeSet<Target>,
    /// What it has restored: a sign of life of what was there before says nothing of that.
    restored: BTreeSet<Target>,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) action: Option<Action>,
    pub(super) created: bool,
    pub(super) lease: Option<LeaseId>,
}

const IDLE: Done = Done { action: None, created: false, lease: None };

impl Plain {
    fn new(now: Now, registration: Registration, lease: LeaseId) -> Self {
        Self {
            verdicts: vec!["pending"; registration.checks.len()],
            is_cold: registration.warm_up.is_some(),
            registration,
            lease,
            is_drained: false,
            drained_at: Wall(0),
            pinned_at: Wall(0),
            weighed_at: Wall(0),
            weighed: None,
            pinned: None,
            lapsed: None,
            status: Status::Starting,
            since: now.wall,
            revision: 0,
            renewed: now.mono,
            warms_since: None,
            answered: None,
        }
    }

    /// As a backup has it; whatever is not written down begins anew.
    fn known(now: Now, instance: &Instance) -> Self {
        let condition = &instance.condition;
        Self {
            verdicts: condition.verdicts.iter().map(Verdict::as_str).collect(),
            is_cold: condition.is_cold,
            is_drained: condition.drain.is_some(),
            drained_at: condition.drain.as_ref().map_or(Wall(0), |drain| drain.note.at),
            pinned: condition.pinned.as_ref().map(|pinned| (pinned.status, pinned.until)),
            pinned_at: condition.pinned.as_ref().map_or(Wall(0), |pinned| pinned.note.at),
            weighed: condition.weighed.as_ref().map(|weighed| weighed.weight),
            weighed_at: condition.weighed.as_ref().map_or(Wall(0), |weighed| weighed.note.at),
            lapsed: condition.lapsed.map(|wall| Now { wall, ..now }),
            status: instance.status,
            since: instance.since,
            ..Self::new(now, instance.registration.clone(), instance.lease)
        }
    }

    /// Whether the same is said and known of both.
    fn is_as(&self, other: &Self) -> bool {
        let drained = |of: &Self| of.is_drained.then_some(of.drained_at);
        let pinned = |of: &Self| of.pinned.map(|pinned| (pinned, of.pinned_at));
        self.registration == other.registration
            && self.lease == other.lease
            && self.verdicts == other.verdicts
            && self.is_cold == other.is_cold
            && self.lapsed.map(|lapsed| lapsed.wall) == other.lapsed.map(|lapsed| lapsed.wall)
            && self.weighed.map(|of| (of, self.weighed_at)) == other.weighed.map(|of| (of, other.weighed_at))
            && (drained(self), pinned(self)) == (drained(other), pinned(other))
    }

    /// Its share of the calls.
    pub(super) fn weight(&self) -> u32 {
        self.weighed.unwrap_or(self.registration.weight)
    }

    fn is_warming(&self) -> bool {
        let is_healthy = self.verdicts.iter().all(|verdict| *verdict == "passing");
        self.is_cold && is_healthy && self.lapsed.is_none() && !self.is_drained && self.pinned.is_none()
    }

    fn work_out(&mut self, now: Now) {
        let status = match &self.pinned {
            Some((Pinned::Up, _)) => Status::Up,
            Some((Pinned::Down, _)) => Status::Down,
            Some((Pinned::Maintenance, _)) => Status::Maintenance,
            None if self.lapsed.is_some() => Status::Down,
            None if self.is_drained => Status::Draining,
            None if self.verdicts.contains(&"failing") => Status::Down,
            None if self.verdicts.contains(&"pending") || self.is_cold => Status::Starting,
            None => Status::Up,
        };
        if status != self.status {
            (self.status, self.since) = (status, now.wall);
        }
        self.warms_since = self.is_warming().then(|| self.warms_since.unwrap_or(now.mono));
        self.answered = self.answered.filter(|_| self.lapsed.is_some());
    }

    /// What time asks of it, and when. Of what comes at the same moment the first is first.
    pub(super) fn timers(&self, now: Now) -> Vec<(Mono, &'static str)> {
        let mut timers = Vec::new();
        if let Some((_, Some(until))) = self.pinned {
            // The clocks run alike here, so that either can be told from the other.
            timers.push((Mono((now.mono.0 + until.0).saturating_sub(now.wall.0)), "release"));
        }
        if let Some((from, over)) = self.warms_since.zip(self.registration.warm_up) {
            timers.push((from + over.into(), "warm"));
        }
        timers.extend(self.answered.map(|at| (at, "recover")));
        match (self.lapsed, self.registration.ttl.map(Duration::from)) {
            (None, Some(ttl)) => timers.push((self.renewed + ttl, "lapse")),
            (Some(lapsed), Some(ttl)) => {
                let after = self.registration.deregister_after.map_or(ttl * 10, Duration::from);
                timers.push((lapsed.mono + after, "forget"));
            }
            (_, None) => {}
        }
        timers.sort_by_key(|(at, _)| *at);
        timers
    }

    /// Begins everything anew that is not written down.
    fn restart(&mut self, now: Now) {
        (self.renewed, self.answered) = (now.mono, None);
        self.lapsed = self.lapsed.map(|lapsed| Now { mono: now.mono, ..lapsed });
        self.warms_since = self.is_warming().then_some(now.mono);
    }
}

impl Plains {
    pub(super) fn begin_batch(&mut self) {
        self.decided.clear();
        self.restored.clear();
    }

    pub(super) fn restart(&mut self, now: Now) {
        self.all.values_mut().for_each(|plain| plain.restart(now));
    }

    pub(super) fn lease(&self, target: &Target) -> Option<LeaseId> {
        self.all.get(target).map(|plain| plain.lease)
    }

    /// The common heartbeat: whether the lease held.
    pub(super) fn beat(
        &mut self,
        now: Now,
        target: &Target,
        held: Option<LeaseId>,
    ) -> Result<bool, &'static str> {
        let plain = self.held(target, held)?;
        if plain.lapsed.is_some() {
            return Ok(false);
        }
        plain.renewed = now.mono;
        Ok(true)
    }

    /// A heartbeat that was answered by what `before` held, while this was becoming durable.
    pub(super) fn beat_meanwhile(
        &mut self,
        now: Now,
        before: &mut Plains,
        target: &Target,
    ) -> Result<bool, &'static str> {
        let answer = before.beat(now, target, None);
        let is_its = answer == Ok(true) && !self.restored.contains(target);
        if let Some(plain) = self.all.get_mut(target).filter(|_| is_its) {
            match plain.lapsed {
                Some(_) => plain.answered = Some(now.mono),
                None => plain.renewed = now.mono,
            }
        }
        answer
    }

    pub(super) fn apply(&mut self, now: Now, target: &Target, ask: Ask) -> Result<Done, &'static str> {
        match ask {
            Ask::Register { registration, lease, held } => {
                self.register(now, target, *registration, lease, held)
            }
            Ask::Deregister { held, .. } => {
                self.held(target, held)?;
                Ok(self.remove(target, Action::Deregistered))
            }
            Ask::Heartbeat { held } => {
                self.held(target, held)?;
                self.answer_time(now, target);
                if self.beat(now, target, held)? {
                    return Ok(Done { lease: self.lease(target), ..IDLE });
                }
                Ok(self.change(now, target, Action::Recovered, |plain| {
                    (plain.lapsed, plain.renewed) = (None, now.mono);
                }))
            }
            Ask::Judge { lease, check, verdict } => {
                let Some(plain) = self.all.get(target).filter(|plain| plain.lease == lease) else {
                    return Ok(IDLE);
                };
                let at = plain.registration.checks.iter().position(|of| *of == check);
                let (Some(at), said) = (at, verdict.as_str()) else { return Ok(IDLE) };
                if said == "pending" || plain.verdicts[at] == said {
                    return Ok(IDLE);
                }
                let action = if said == "passing" { Action::CheckPassed } else { Action::CheckFailed };
                Ok(self.change(now, target, action, |plain| plain.verdicts[at] = said))
            }
            Ask::Drain { held, force, reason } => {
                if reason.contains('\n') {
                    return Err("invalid");
                }
                let plain = self.held(target, held)?.clone();
                if plain.is_drained {
                    return Ok(Done { lease: Some(plain.lease), ..IDLE });
                }
                if self.is_last(target) && !force {
                    return Err("last");
                }
                Ok(self.change(now, target, Action::Draining, |plain| {
                    (plain.is_drained, plain.drained_at) = (true, now.wall);
                }))
            }
            Ask::Undrain { held, .. } => {
                if !self.held(target, held)?.is_drained {
                    return Ok(Done { lease: self.lease(target), ..IDLE });
                }
                Ok(self.change(now, target, Action::Undrained, |plain| plain.is_drained = false))
            }
            Ask::Override { status, lasts, .. } => {
                if lasts.is_some_and(|lasts| lasts < Duration::from_secs(1)) {
                    return Err("invalid");
                }
                // Said by the same person for the same reason, as everything is here.
                if self.held(target, None)?.pinned == Some((status, None)) && lasts.is_none() {
                    return Ok(Done { lease: self.lease(target), ..IDLE });
                }
                let until = lasts.map(|lasts| now.wall + lasts);
                Ok(self.change(now, target, Action::Overridden, |plain| {
                    (plain.pinned, plain.pinned_at) = (Some((status, until)), now.wall);
                }))
            }
            Ask::Release { .. } => {
                if self.held(target, None)?.pinned.is_none() {
                    return Ok(Done { lease: self.lease(target), ..IDLE });
                }
                Ok(self.change(now, target, Action::Released, |plain| plain.pinned = None))
            }
            Ask::Weigh { weight, force, .. } => {
                if weight > 10_000 {
                    return Err("invalid");
                }
                if self.held(target, None)?.weighed == Some(weight) {
                    return Ok(Done { lease: self.lease(target), ..IDLE });
                }
                if weight == 0 && self.is_last(target) && !force {
                    return Err("last");
                }
                Ok(self.change(now, target, Action::Weighed, |plain| {
                    (plain.weighed, plain.weighed_at) = (Some(weight), now.wall);
                }))
            }
            Ask::Unweigh { .. } => {
                if self.held(target, None)?.weighed.is_none() {
                    return Ok(Done { lease: self.lease(target), ..IDLE });
                }
                Ok(self.change(now, target, Action::Unweighed, |plain| plain.weighed = None))
            }
            Ask::Restore { instance, replace, after, .. } => {
                self.restore(now, target, &instance, replace, after)
            }
            Ask::At { revision, then } => {
                if self.held(target, None)?.revision != revision {
                    return Err("changed");
                }
                self.apply(now, target, *then)
            }
            Ask::Expire => Ok(self.expire(now, target)),
            Ask::Protect => match self.all.get(target) {
                Some(plain) if plain.lapsed.is_some() => {
                    Ok(self.change(now, target, Action::Protected, |plain| {
                        // The heartbeat that was answered is worth what any other is.
                        plain.renewed = plain.answered.unwrap_or(plain.renewed);
                        plain.lapsed = None;
                    }))
                }
                _ => Ok(IDLE),
            },
        }
    }

    /// Whether it takes calls, and nobody else of its service does.
    fn is_last(&self, target: &Target) -> bool {
        let of = |of: &Target| (of.namespace.clone(), of.service.clone());
        let takers = self.all.iter().filter(|(_, plain)| plain.status == Status::Up && plain.weight() > 0);
        takers.map(|(taker, _)| taker).filter(|taker| of(taker) == of(target)).eq([target])
    }

    fn register(
        &mut self,
        now: Now,
        target: &Target,
        registration: Registration,
        lease: LeaseId,
        held: Option<LeaseId>,
    ) -> Result<Done, &'static str> {
        if registration.port == 0 {
            return Err("invalid");
        }
        let Some(before) = self.all.get(target).cloned() else {
            self.all.insert(target.clone(), Plain::new(now, registration, lease));
            let done = self.change(now, target, Action::Registered, |_| {});
            return Ok(Done { created: true, ..done });
        };
        if held.is_some_and(|held| held != before.lease) {
            return Err("stale");
        }
        let is_new = held.is_none();
        let was_gone = before.lapsed.is_some();
        let mut after = Plain::new(now, registration, if is_new { lease } else { before.lease });
        for (check, verdict) in after.registration.checks.iter().zip(&mut after.verdicts) {
            let known = before.registration.checks.iter().position(|of| of == check);
            if let Some(at) = known.filter(|_| !was_gone) {
                *verdict = before.verdicts[at];
            }
        }
        after.is_cold &= before.is_cold || is_new && was_gone;
        after.is_drained = before.is_drained && !is_new;
        after.pinned = before.pinned;
        (after.weighed, after.weighed_at) = (before.weighed, before.weighed_at);
        (after.drained_at, after.pinned_at) = (before.drained_at, before.pinned_at);
        (after.status, after.since, after.warms_since) = (before.status, before.since, before.warms_since);
        after.revision = before.revision;
        let is_same = after.registration == before.registration
            && after.verdicts == before.verdicts
            && after.is_cold == before.is_cold
            && after.is_drained == before.is_drained
            && !was_gone;
        let (lease, created) = (Some(after.lease), false);
        self.answer_time(now, target);
        self.all.insert(target.clone(), after);
        if is_same {
            if is_new {
                self.decided.insert(target.clone());
            }
            let action = is_new.then_some(Action::Leased);
            return Ok(Done { action, created, lease });
        }
        Ok(self.change(now, target, Action::Updated, |_| {}))
    }

    fn restore(
        &mut self,
        now: Now,
        target: &Target,
        instance: &Instance,
        replace: bool,
        after: u64,
    ) -> Result<Done, &'static str> {
        if instance.registration.port == 0 {
            return Err("invalid");
        }
        let back = Plain::known(now, instance);
        if let Some(known) = self.all.get(target).filter(|known| !replace || known.is_as(&back)) {
            return Ok(Done { lease: Some(known.lease), ..IDLE });
        }
        let created = self.all.insert(target.clone(), back).is_none();
        self.revision = self.revision.max(after);
        self.restored.insert(target.clone());
        Ok(Done { created, ..self.change(now, target, Action::Restored, |_| {}) })
    }

    /// One thing that time asks of one instance.
    fn expire(&mut self, now: Now, target: &Target) -> Done {
        if self.decided.contains(target) {
            return IDLE;
        }
        let due = self.all.get(target).and_then(|plain| plain.timers(now).first().copied());
        match due.filter(|(at, _)| *at <= now.mono).map(|(_, timer)| timer) {
            Some("lapse") => self.change(now, target, Action::Lapsed, |plain| plain.lapsed = Some(now)),
            Some("recover") => self.change(now, target, Action::Recovered, |plain| {
                (plain.lapsed, plain.renewed) = (None, now.mono);
            }),
            Some("forget") => self.remove(target, Action::Forgotten),
            Some("warm") => self.change(now, target, Action::Warmed, |plain| plain.is_cold = false),
            Some("release") => self.change(now, target, Action::Released, |plain| plain.pinned = None),
            _ => IDLE,
        }
    }

    /// A sign of life, where time would ask for the lease.
    fn answer_time(&mut self, now: Now, target: &Target) {
        let first = self.all.get(target).and_then(|plain| plain.timers(now).first().copied());
        if first.is_some_and(|(_, timer)| timer == "lapse") {
            self.decided.insert(target.clone());
        }
    }

    fn held(&mut self, target: &Target, held: Option<LeaseId>) -> Result<&mut Plain, &'static str> {
        match self.all.get_mut(target) {
            None => Err("unknown"),
            Some(plain) if held.is_some_and(|held| held != plain.lease) => Err("stale"),
            Some(plain) => Ok(plain),
        }
    }

    fn remove(&mut self, target: &Target, action: Action) -> Done {
        self.all.remove(target);
        self.revision += 1;
        self.decided.insert(target.clone());
        Done { action: Some(action), ..IDLE }
    }

    fn change(&mut self, now: Now, target: &Target, action: Action, to: impl FnOnce(&mut Plain)) -> Done {
        let plain = self.all.get_mut(target).expect("only what is there is changed");
        to(plain);
        plain.work_out(now);
        let lease = Some(plain.lease);
        self.revision += 1;
        plain.revision = self.revision;
        self.decided.insert(target.clone());
        Done { action: Some(action), lease, ..IDLE }
    }
}

//! Deciding without doing: what a batch of commands would change.
//!
//! The caller makes a batch durable before the registry shows it, and several commands share one
//! fsync. So a draft sees the registry *and* what the commands before it in the same batch decided,
//! while everyone else still sees the registry alone. If the disk refuses the batch, the draft is
//! dropped, and nothing has happened.

use std::{borrow::Cow, sync::Arc, time::Duration};

use hashbrown::{HashMap, HashSet};
use identity::{Invalid, Now, duration};

use crate::{
    Action, Actor, Ask, Cause, Change, Check, Command, Condition, Drain, Effect, Error, Instance, LeaseId,
    Note, OVERRIDE_MAX, OVERRIDE_MIN, Outcome, Override, Pinned, Registration, Registry, Status, Target,
    Verdict, Weighed, check_reason, registration::check_weight, roll::INSTANCES_MAX, timers::Timer,
};

/// Decisions upon a registry that are not in it yet.
#[derive(Debug)]
pub struct Draft<'a> {
    base: &'a Registry,
    /// What this draft has decided of an instance: its new state, or that it is gone.
    decided: HashMap<Target, Option<Arc<Instance>>>,
    /// Whose lease begins anew with this batch, without a change.
    renewed: HashSet<Target>,
    revision: u64,
    instances: usize,
    batch: Batch,
}

/// The changes of a finished draft, and the leases that it renews without a change.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Batch {
    /// To be made durable, in this order, before the batch is committed.
    pub changes: Vec<Arc<Change>>,
    /// Leases that begin anew, though nothing changed.
    pub renewals: Vec<Target>,
}

/// Nothing to do: not an error, and not a change.
const NOTHING: Outcome = Outcome { change: None, created: false, lease: None };

impl<'a> Draft<'a> {
    pub(crate) fn new(base: &'a Registry) -> Self {
        let (revision, instances) = (base.revision(), base.instance_count());
        Self {
            base,
            decided: HashMap::new(),
            renewed: HashSet::new(),
            revision,
            instances,
            batch: Batch::default(),
        }
    }

    /// Decides one command.
    ///
    /// # Errors
    /// Why it is refused; the draft is as it was before.
    pub fn apply(&mut self, now: Now, command: Command) -> Result<Outcome, Error> {
        let Command { target, actor, ask } = command;
        match ask {
            Ask::Register { registration, lease, held } => {
                self.register(now, target, *registration, lease, held, actor)
            }
            Ask::Deregister { held, reason } => {
                check_reason(&reason)?;
                self.held(&target, held)?;
                let cause = Cause { action: Action::Deregistered, actor, reason: owned(reason) };
                let before = self.current(&target).cloned();
                Ok(self.change(now, target, before, Effect::Removed, cause))
            }
            Ask::Heartbeat { held } => self.heartbeat(now, target, held, actor),
            Ask::Judge { lease, check, verdict } => {
                Ok(self.judge(now, target, lease, &check, verdict, actor))
            }
            Ask::Drain { held, force, reason } => self.drain(now, target, held, force, actor, reason),
            Ask::Undrain { held, reason } => {
                check_reason(&reason)?;
                let current = self.held(&target, held)?;
                if current.condition.drain.is_none() {
                    return Ok(self.unchanged(&target));
                }
                let condition = Condition { drain: None, ..Condition::clone(&current.condition) };
                Ok(self.condition(now, target, condition, Action::Undrained, actor, Some(owned(reason))))
            }
            Ask::Override { status, lasts, reason } => self.pin(now, target, status, lasts, actor, reason),
            Ask::Release { reason } => {
                check_reason(&reason)?;
                let current = self.held(&target, None)?;
                if current.condition.pinned.is_none() {
                    return Ok(self.unchanged(&target));
                }
                let condition = Condition { pinned: None, ..Condition::clone(&current.condition) };
                Ok(self.condition(now, target, condition, Action::Released, actor, Some(owned(reason))))
            }
            Ask::Weigh { weight, force, reason } => self.weigh(now, target, weight, force, actor, reason),
            Ask::Unweigh { reason } => {
                check_reason(&reason)?;
                let current = self.held(&target, None)?;
                if current.condition.weighed.is_none() {
                    return Ok(self.unchanged(&target));
                }
                let condition = Condition { weighed: None, ..Condition::clone(&current.condition) };
                Ok(self.condition(now, target, condition, Action::Unweighed, actor, Some(owned(reason))))
            }
            Ask::Restore { instance, replace, after, reason } => {
                self.restore(now, target, *instance, replace, after, actor, reason)
            }
            Ask::At { revision: expected, then } => {
                let revision = self.held(&target, None)?.revision;
                if revision != expected {
                    return Err(Error::Changed { target, revision, expected });
                }
                self.apply(now, Command { target, actor, ask: *then })
            }
            Ask::Expire => Ok(self.expire(now, target, actor)),
            Ask::Protect => Ok(self.protect(now, target, actor)),
        }
    }

    /// The decisions as values.
    pub fn finish(self) -> Batch {
        self.batch
    }

    fn register(
        &mut self,
        now: Now,
        target: Target,
        registration: Registration,
        lease: LeaseId,
        held: Option<LeaseId>,
        actor: Actor,
    ) -> Result<Outcome, Error> {
        registration.check()?;
        self.base.allows(&registration.address)?;
        let Some(current) = self.current(&target).cloned() else {
            if self.instances >= INSTANCES_MAX {
                return Err(Error::Full { what: "the registry".to_owned(), limit: INSTANCES_MAX });
            }
            let instance = Instance {
                condition: Condition::fresh(&registration).into(),
                registration,
                status: Status::Starting,
                since: now.wall,
                lease,
                registered_at: now.wall,
                revision: 0,
            };
            let cause = Cause { action: Action::Registered, actor, reason: "registered".into() };
            return Ok(self.put(now, target, None, instance, cause));
        };
        if held.is_some_and(|held| held != current.lease) {
            return Err(Error::StaleLease(target));
        }
        let lease = if held.is_some() { current.lease } else { lease };
        let condition = self.taken_over(&current, &registration, held.is_none());
        if current.registration == registration && *current.condition == condition {
            if lease == current.lease {
                return Ok(self.renew(target, lease));
            }
            let reason = "another process registered the same".into();
            let cause = Cause { action: Action::Leased, actor, reason };
            return Ok(self.change(now, target, Some(current), Effect::Leased(lease), cause));
        }
        let condition = condition.into();
        let instance = Instance { registration, condition, lease, ..Instance::clone(&current) };
        let who =
            if held.is_some() { "its owner says something else" } else { "another process took it over" };
        let cause = Cause { action: Action::Updated, actor, reason: who.into() };
        Ok(self.put(now, target, Some(current), instance, cause))
    }

    /// What is known of an instance that is registered again: by its process, or by a new one.
    fn taken_over(&self, current: &Instance, registration: &Registration, by_new: bool) -> Condition {
        let before = &*current.condition;
        let was_gone = before.lapsed.is_some();
        let known = current.registration.checks.iter().zip(&before.verdicts);
        let verdict = |check: &Check| {
            let known = known.clone().find(|(of, _)| *of == check).filter(|_| !was_gone);
            known.map(|(_, verdict)| verdict.clone()).unwrap_or_default()
        };
        Condition {
            lapsed: None,
            verdicts: registration.checks.iter().map(verdict).collect(),
            is_cold: registration.warm_up.is_some() && (before.is_cold || (by_new && was_gone)),
            drain: before.drain.clone().filter(|_| !by_new),
            pinned: before.pinned.clone(),
            weighed: before.weighed.clone(),
        }
    }

    fn heartbeat(
        &mut self,
        now: Now,
        target: Target,
        held: Option<LeaseId>,
        actor: Actor,
    ) -> Result<Outcome, Error> {
        let current = self.held(&target, held)?;
        if current.condition.lapsed.is_none() {
            let lease = current.lease;
            return Ok(self.renew(target, lease));
        }
        let condition = Condition { lapsed: None, ..Condition::clone(&current.condition) };
        let reason = "a heartbeat came after the lease had lapsed".into();
        Ok(self.condition(now, target, condition, Action::Recovered, actor, Some(reason)))
    }

    fn judge(
        &mut self,
        now: Now,
        target: Target,
        lease: LeaseId,
        check: &Check,
        verdict: Verdict,
        actor: Actor,
    ) -> Outcome {
        let Some(current) = self.current(&target).filter(|current| current.lease == lease) else {
            return NOTHING;
        };
        let mut condition = Condition::clone(&current.condition);
        let at = current.registration.checks.iter().position(|of| of == check);
        let Some(known) = at.and_then(|at| condition.verdicts.get_mut(at)) else { return NOTHING };
        // Why it fails may be told anew with each question; that alone is no change.
        if known.as_str() == verdict.as_str() {
            return NOTHING;
        }
        *known = verdict;
        let (action, reason) = match known {
            Verdict::Failing(why) => (Action::CheckFailed, format!("check {check} fails: {why}")),
            Verdict::Passing => (Action::CheckPassed, format!("check {check} passes")),
            Verdict::Pending => return NOTHING,
        };
        self.condition(now, target, condition, action, actor, Some(reason.into()))
    }

    fn drain(
        &mut self,
        now: Now,
        target: Target,
        held: Option<LeaseId>,
        force: bool,
        actor: Actor,
        reason: Box<str>,
    ) -> Result<Outcome, Error> {
        check_reason(&reason)?;
        let current = self.held(&target, held)?;
        if current.condition.drain.is_some() {
            return Ok(self.unchanged(&target));
        }
        if !force && current.takes_calls() && self.is_last(&target) {
            return Err(Error::LastInstance(target));
        }
        let note = Note { by: actor.name.clone(), at: now.wall, reason: reason.clone() };
        let drain = Some(Box::new(Drain { note, revision: self.revision + 1 }));
        let condition = Condition { drain, ..Condition::clone(&current.condition) };
        Ok(self.condition(now, target, condition, Action::Draining, actor, Some(owned(reason))))
    }

    fn pin(
        &mut self,
        now: Now,
        target: Target,
        status: Pinned,
        lasts: Option<Duration>,
        actor: Actor,
        reason: Box<str>,
    ) -> Result<Outcome, Error> {
        check_reason(&reason)?;
        if let Some(lasts) = lasts.filter(|lasts| *lasts < OVERRIDE_MIN || *lasts > OVERRIDE_MAX) {
            return Err(Invalid::new("for", &duration::format(lasts), "from 1s to 30d").into());
        }
        let current = self.held(&target, None)?;
        let known = current.condition.pinned.as_deref();
        let is_same = |of: &Override| {
            (of.status, &of.note.by, &of.note.reason, of.until) == (status, &actor.name, &reason, None)
        };
        if lasts.is_none() && known.is_some_and(is_same) {
            return Ok(self.unchanged(&target));
        }
        let note = Note { by: actor.name.clone(), at: now.wall, reason: reason.clone() };
        let until = lasts.map(|lasts| now.wall + lasts);
        let pinned = Some(Box::new(Override { status, note, until }));
        let condition = Condition { pinned, ..Condition::clone(&current.condition) };
        Ok(self.condition(now, target, condition, Action::Overridden, actor, Some(owned(reason))))
    }

    fn weigh(
        &mut self,
        now: Now,
        target: Target,
        weight: u32,
        force: bool,
        actor: Actor,
        reason: Box<str>,
    ) -> Result<Outcome, Error> {
        check_reason(&reason)?;
        check_weight(weight)?;
        let current = self.held(&target, None)?;
        let is_same =
            |of: &Weighed| (of.weight, &of.note.by, &of.note.reason) == (weight, &actor.name, &reason);
        if current.condition.weighed.as_deref().is_some_and(is_same) {
            return Ok(self.unchanged(&target));
        }
        if weight == 0 && !force && current.takes_calls() && self.is_last(&target) {
            return Err(Error::LastInstance(target));
        }
        let note = Note { by: actor.name.clone(), at: now.wall, reason: reason.clone() };
        let weighed = Some(Box::new(Weighed { weight, note }));
        let condition = Condition { weighed, ..Condition::clone(&current.condition) };
        Ok(self.condition(now, target, condition, Action::Weighed, actor, Some(owned(reason))))
    }

    #[expect(clippy::too_many_arguments, reason = "the members of what was asked")]
    fn restore(
        &mut self,
        now: Now,
        target: Target,
        mut instance: Instance,
        replace: bool,
        after: u64,
        actor: Actor,
        reason: Box<str>,
    ) -> Result<Outcome, Error> {
        instance.check()?;
        let current = self.current(&target).cloned();
        if current.as_ref().is_some_and(|current| !replace || current.is_as(&instance)) {
            return Ok(self.unchanged(&target));
        }
        if current.is_none() && self.instances >= INSTANCES_MAX {
            return Err(Error::Full { what: "the registry".to_owned(), limit: INSTANCES_MAX });
        }
        self.revision = self.revision.max(after);
        // Its revisions are of the backup's own time, and may be of another server's.
        instance.condition.drained_since(self.revision + 1);
        let cause = Cause { action: Action::Restored, actor, reason: owned(reason) };
        Ok(self.put(now, target, current, instance, cause))
    }

    fn expire(&mut self, now: Now, target: Target, actor: Actor) -> Outcome {
        // What this batch has decided is younger than the deadline that asks.
        if self.decided.contains_key(&target) {
            return NOTHING;
        }
        let (Some(timer), Some(current)) = (self.base.due_timer(now, &target), self.current(&target)) else {
            return NOTHING;
        };
        let current = current.clone();
        let before = Condition::clone(&current.condition);
        match timer {
            Timer::Lease if self.renewed.contains(&target) => NOTHING,
            Timer::Lease => {
                let condition = Condition { lapsed: Some(now.wall), ..before };
                self.condition(now, target, condition, Action::Lapsed, actor, None)
            }
            Timer::Forget => {
                let after = current.registration.forget_after().map(duration::format).unwrap_or_default();
                let reason = format!("no heartbeat for {after} after its lease lapsed").into();
                let cause = Cause { action: Action::Forgotten, actor, reason };
                self.change(now, target, Some(current), Effect::Removed, cause)
            }
            Timer::Recover => {
                let condition = Condition { lapsed: None, ..before };
                let reason = Some("a heartbeat came while the lapse was being recorded".into());
                self.condition(now, target, condition, Action::Recovered, actor, reason)
            }
            Timer::WarmUp => {
                let condition = Condition { is_cold: false, ..before };
                let reason = Some("it has warmed up".into());
                self.condition(now, target, condition, Action::Warmed, actor, reason)
            }
            Timer::Override => {
                let condition = Condition { pinned: None, ..before };
                let reason = Some("the time of the override is over".into());
                self.condition(now, target, condition, Action::Released, actor, reason)
            }
        }
    }

    fn protect(&mut self, now: Now, target: Target, actor: Actor) -> Outcome {
        let current = self.current(&target).filter(|current| current.condition.lapsed.is_some());
        let Some(current) = current else { return NOTHING };
        let condition = Condition { lapsed: None, ..Condition::clone(&current.condition) };
        let reason = "too many leases of its zone lapsed at once to believe it".into();
        self.condition(now, target, condition, Action::Protected, actor, Some(reason))
    }

    /// What holds of an instance after all that this draft has decided.
    fn current(&self, target: &Target) -> Option<&Arc<Instance>> {
        match self.decided.get(target) {
            Some(decided) => decided.as_ref(),
            None => self.base.shared(target),
        }
    }

    fn held(&self, target: &Target, held: Option<LeaseId>) -> Result<&Arc<Instance>, Error> {
        let current = self.current(target).ok_or_else(|| Error::NotFound(target.clone()))?;
        match held {
            Some(held) if held != current.lease => Err(Error::StaleLease(target.clone())),
            _ => Ok(current),
        }
    }

    /// Whether no other instance of the service takes calls.
    fn is_last(&self, target: &Target) -> bool {
        let is_sibling =
            |of: &&Target| of.namespace == target.namespace && of.service == target.service && *of != target;
        let known = self.base.members(target).chain(self.decided.keys());
        !known.filter(is_sibling).any(|of| self.current(of).is_some_and(|i| i.takes_calls()))
    }

    fn unchanged(&self, target: &Target) -> Outcome {
        Outcome { lease: self.current(target).map(|current| current.lease), ..NOTHING }
    }

    fn renew(&mut self, target: Target, lease: LeaseId) -> Outcome {
        self.renewed.insert(target.clone());
        self.batch.renewals.push(target);
        Outcome { lease: Some(lease), ..NOTHING }
    }

    /// Another condition, and what follows from it. Without a reason, the one that follows is told.
    fn condition(
        &mut self,
        now: Now,
        target: Target,
        condition: Condition,
        action: Action,
        actor: Actor,
        reason: Option<Cow<'static, str>>,
    ) -> Outcome {
        let Some(current) = self.current(&target).cloned() else { return NOTHING };
        let mut instance = Instance { condition: condition.into(), ..Instance::clone(&current) };
        instance.settle(now.wall);
        let reason = reason.unwrap_or_else(|| instance.reason());
        self.put(now, target, Some(current), instance, Cause { action, actor, reason })
    }

    fn put(
        &mut self,
        now: Now,
        target: Target,
        before: Option<Arc<Instance>>,
        mut instance: Instance,
        cause: Cause,
    ) -> Outcome {
        instance.settle(now.wall);
        instance.revision = self.revision + 1;
        // Up to now calls may have gone there, drained or not.
        let took_calls = before.as_ref().is_none_or(|before| before.status.may_take_calls());
        if took_calls {
            instance.condition.drained_since(instance.revision);
        }
        self.change(now, target, before, Effect::Put(Arc::new(instance)), cause)
    }

    /// `before` is what holds of the instance so far.
    fn change(
        &mut self,
        now: Now,
        target: Target,
        before: Option<Arc<Instance>>,
        effect: Effect,
        cause: Cause,
    ) -> Outcome {
        if !matches!(effect, Effect::Leased(_)) {
            self.revision += 1;
        }
        let after = match &effect {
            Effect::Put(instance) => Some(instance.clone()),
            Effect::Removed => None,
            Effect::Leased(lease) => {
                before.as_ref().map(|before| Arc::new(Instance { lease: *lease, ..Instance::clone(before) }))
            }
        };
        let (was, is) = (before.is_some(), after.is_some());
        self.instances = self.instances + usize::from(is && !was) - usize::from(was && !is);
        let lease = after.as_ref().map(|instance| instance.lease);
        self.decided.insert(target.clone(), after);
        let target = self.base.known_names(target, was);
        let change = Arc::new(Change { revision: self.revision, at: now.wall, target, effect, cause });
        self.batch.changes.push(change.clone());
        Outcome { change: Some(change), created: is && !was, lease }
    }
}

/// What somebody gives as a reason, beside what we say ourselves.
fn owned(reason: Box<str>) -> Cow<'static, str> {
    reason.into_string().into()
}

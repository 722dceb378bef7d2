//! Deciding without doing: what a batch of commands would change.
//!
//! The caller makes a batch durable before the registry shows it, and several commands share one
//! fsync. So a draft sees the registry *and* what the commands before it in the same batch decided,
//! while everyone else still sees the registry alone. If the disk refuses the batch, the draft is
//! dropped, and nothing has happened.

use std::collections::HashMap;

use identity::Now;

use crate::{
    Action, Cause, Change, Command, Effect, Error, Instance, LeaseId, Outcome, Registration, Registry,
    Status, Target, roll::INSTANCES_MAX,
};

/// Decisions upon a registry that are not in it yet.
#[derive(Debug)]
pub struct Draft<'a> {
    base: &'a Registry,
    /// What this draft has decided of an instance: its new state, or that it is gone.
    decided: HashMap<Target, Option<Instance>>,
    revision: u64,
    instances: usize,
    batch: Batch,
}

/// The changes of a finished draft, and the leases that it renews without a change.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Batch {
    /// To be made durable, in this order, before the batch is committed.
    pub changes: Vec<Change>,
    /// Leases that begin anew, though nothing changed.
    pub renewals: Vec<Target>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(base: &'a Registry) -> Self {
        let (revision, instances) = (base.revision(), base.instance_count());
        Self { base, decided: HashMap::new(), revision, instances, batch: Batch::default() }
    }

    /// Decides one command.
    ///
    /// # Errors
    /// Why it is refused; the draft is as it was before.
    pub fn apply(&mut self, now: Now, command: Command) -> Result<Outcome, Error> {
        match command {
            Command::Register { target, registration, lease, held, actor } => {
                self.register(now, target, *registration, lease, held, actor)
            }
            Command::Deregister { target, held, actor, reason } => {
                self.held(&target, held)?;
                let cause = Cause { action: Action::Deregistered, actor, reason };
                Ok(self.change(now, target, Effect::Removed, cause))
            }
            Command::Heartbeat { target, held, actor } => self.heartbeat(now, target, held, actor),
            Command::Expire { target } => Ok(self.expire(now, target)),
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
        actor: Box<str>,
    ) -> Result<Outcome, Error> {
        registration.check()?;
        let Some(current) = self.current(&target).cloned() else {
            if self.instances >= INSTANCES_MAX {
                return Err(Error::Full { what: "the registry".to_owned(), limit: INSTANCES_MAX });
            }
            let reason = "registered".into();
            let instance = Instance {
                registration,
                status: Status::Up,
                reason,
                since: now.wall,
                lease,
                registered_at: now.wall,
                revision: 0,
            };
            let cause = Cause { action: Action::Registered, actor, reason: "registered by its owner".into() };
            return Ok(self.change(now, target, Effect::Put(instance), cause));
        };
        if held.is_some_and(|held| held != current.lease) {
            return Err(Error::StaleLease(target));
        }
        let lease = if held.is_some() { current.lease } else { lease };
        let lapsed = current.status == Status::Down;
        if current.registration == registration && !lapsed {
            if lease == current.lease {
                return Ok(self.renew(target, lease));
            }
            let cause = Cause { action: Action::Leased, actor, reason: "registered again, unchanged".into() };
            return Ok(self.change(now, target, Effect::Leased(lease), cause));
        }
        let status = if lapsed { Status::Up } else { current.status };
        let (reason, since) =
            if lapsed { ("registered again".into(), now.wall) } else { (current.reason, current.since) };
        let instance = Instance { registration, status, reason, since, lease, ..current };
        let cause = Cause { action: Action::Updated, actor, reason: "registered again by its owner".into() };
        Ok(self.change(now, target, Effect::Put(instance), cause))
    }

    fn heartbeat(
        &mut self,
        now: Now,
        target: Target,
        held: Option<LeaseId>,
        actor: Box<str>,
    ) -> Result<Outcome, Error> {
        let current = self.held(&target, held)?;
        if current.status != Status::Down {
            let lease = current.lease;
            return Ok(self.renew(target, lease));
        }
        let instance =
            Instance { status: Status::Up, reason: "heartbeat".into(), since: now.wall, ..current.clone() };
        let reason = "a heartbeat came after the lease had lapsed".into();
        Ok(self.change(
            now,
            target,
            Effect::Put(instance),
            Cause { action: Action::Recovered, actor, reason },
        ))
    }

    fn expire(&mut self, now: Now, target: Target) -> Outcome {
        let nothing = Outcome { change: None, created: false, lease: None };
        // What this batch has decided is younger than the deadline that asks.
        if self.decided.contains_key(&target) || !self.base.is_due(now, &target) {
            return nothing;
        }
        let Some(current) = self.current(&target) else { return nothing };
        let text = |period| identity::duration::format(period);
        let ttl = current.registration.ttl.map(text).unwrap_or_default();
        let (effect, action, reason) = if current.status == Status::Down {
            let after = current.registration.forget_after().map(text).unwrap_or_default();
            (Effect::Removed, Action::Forgotten, format!("no heartbeat for {after} after its lease lapsed"))
        } else {
            let reason = format!("lease lapsed: no heartbeat for {ttl}");
            let instance = Instance {
                status: Status::Down,
                reason: reason.as_str().into(),
                since: now.wall,
                ..current.clone()
            };
            (Effect::Put(instance), Action::Lapsed, reason)
        };
        self.change(now, target, effect, Cause { action, actor: "registry".into(), reason: reason.into() })
    }

    /// What holds of an instance after all that this draft has decided.
    fn current(&self, target: &Target) -> Option<&Instance> {
        match self.decided.get(target) {
            Some(decided) => decided.as_ref(),
            None => self.base.instance(target),
        }
    }

    fn held(&self, target: &Target, held: Option<LeaseId>) -> Result<&Instance, Error> {
        let current = self.current(target).ok_or_else(|| Error::NotFound(target.clone()))?;
        match held {
            Some(held) if held != current.lease => Err(Error::StaleLease(target.clone())),
            _ => Ok(current),
        }
    }

    fn renew(&mut self, target: Target, lease: LeaseId) -> Outcome {
        self.batch.renewals.push(target);
        Outcome { change: None, created: false, lease: Some(lease) }
    }

    fn change(&mut self, now: Now, target: Target, mut effect: Effect, cause: Cause) -> Outcome {
        if !matches!(effect, Effect::Leased(_)) {
            self.revision += 1;
        }
        let before = self.current(&target).cloned();
        let after = match &mut effect {
            Effect::Put(instance) => {
                instance.revision = self.revision;
                Some(instance.clone())
            }
            Effect::Removed => None,
            Effect::Leased(lease) => before.clone().map(|instance| Instance { lease: *lease, ..instance }),
        };
        let created = before.is_none() && after.is_some();
        self.instances =
            self.instances + usize::from(created) - usize::from(before.is_some() && after.is_none());
        let lease = after.as_ref().map(|instance| instance.lease);
        self.decided.insert(target.clone(), after);
        let change = Change { revision: self.revision, at: now.wall, target, effect, cause };
        self.batch.changes.push(change.clone());
        Outcome { change: Some(change), created, lease }
    }
}

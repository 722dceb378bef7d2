//! The registry itself: what is there now, and what time will ask of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock, atomic::AtomicUsize},
    time::Duration,
};

use hash_ring::Maglev;
use identity::{InstanceId, Invalid, Mono, Namespace, Now, ServiceName};
use slab::Slab;

use crate::{
    Action, Change, Command, Draft, Effect, Error, Host, Instance, LeaseId, Networks, Outcome, Scope, Since,
    Status, Target,
    circle::Circle,
    draft::Batch,
    log::{CHANGES_KEPT, Log},
    owner::ramp,
    protection::{Zones, zone_key},
    timers::{Timer, Timers},
};

/// How many instances a registry holds. At less than 1 KiB each this is less than 1 GiB.
pub(crate) const INSTANCES_MAX: usize = 1_000_000;

/// Every namespace's services and instances.
#[derive(Debug, Default)]
pub struct Registry {
    namespaces: BTreeMap<Namespace, BTreeMap<ServiceName, Service>>,
    pub(crate) slots: Slab<Slot>,
    revision: u64,
    log: Log,
    /// When to look at which slot: never later than its first timer, but for leases that are spared.
    pub(crate) timers: BTreeSet<(Mono, usize)>,
    pub(crate) zones: Zones,
    /// How many services have a table of slots.
    pub(crate) tables_kept: AtomicUsize,
    networks: Networks,
    /// How often a member came, went or changed its weight, in any service.
    moves: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Service {
    /// Where in the slots its instances are.
    pub(crate) members: BTreeMap<InstanceId, usize>,
    pub(crate) revision: u64,
    pub(crate) circle: Circle,
    /// Built when first asked for, dropped when a member comes, goes or changes its weight.
    pub(crate) maglev: OnceLock<Arc<Maglev>>,
}

/// An instance with what the registry needs beside it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) target: Target,
    pub(crate) instance: Arc<Instance>,
    pub(crate) timers: Timers,
    /// [`zone_key`] of its zone.
    pub(crate) zone: u64,
    /// Its entry in the queue of timers.
    queued: Option<Mono>,
}

impl Slot {
    /// What is due first, and when.
    pub(crate) fn next(&self) -> Option<(Mono, Timer)> {
        self.timers.next()
    }

    pub(crate) fn weight(&self) -> u32 {
        self.instance.registration.weight
    }

    /// Whether it takes the calls of this key.
    pub(crate) fn takes(&self, now: Now, key: &[u8]) -> bool {
        match self.timers.warm_from() {
            Some(from) => hash_ring::fraction(key) < ramp(now, from, &self.instance),
            None => self.instance.status == Status::Up,
        }
    }
}

/// What became of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// The lease begins anew.
    Renewed,
    /// It has lapsed: [`crate::Ask::Heartbeat`] must decide.
    Lapsed,
    /// Another process holds it.
    Stale,
    /// There is no such instance.
    Unknown,
}

/// A service at a revision: what a reader or a proxy is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceView {
    /// The revision of the service's last change; of one from before a snapshot, the snapshot's.
    pub revision: u64,
    /// Its instances, by id.
    pub instances: Vec<(InstanceId, Arc<Instance>)>,
}

/// A registry at rest: what has to be kept to have it again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The revision of the last change.
    pub revision: u64,
    /// Every instance, in order.
    pub instances: Vec<(Target, Arc<Instance>)>,
}

impl Registry {
    /// A registry as a snapshot has it. Its leases begin anew at `now`.
    pub fn restore(now: Now, snapshot: Snapshot) -> Self {
        let Snapshot { revision, instances } = snapshot;
        let mut registry = Self { revision, log: Log::new(revision, CHANGES_KEPT), ..Self::default() };
        for (target, instance) in instances {
            registry.put(now, target, instance, Action::Restored);
        }
        // The last change of a service may have been that an instance went, of which nothing is left.
        // Its revision must not go back for that, nor a watcher miss it.
        let services = registry.namespaces.values_mut().flat_map(BTreeMap::values_mut);
        services.for_each(|service| service.revision = revision);
        registry
    }

    /// Lets instances be registered in these networks only, by address. What is registered already stays.
    pub fn confine(&mut self, networks: Networks) {
        self.networks = networks;
    }

    /// Whether an address may be registered. What a name leads to may be another address each time, and is
    /// looked at by whoever dials it.
    pub(crate) fn allows(&self, host: &Host) -> Result<(), Invalid> {
        let Host::Ip(ip) = host else { return Ok(()) };
        let forbidden = self.networks.check(*ip);
        forbidden.map_or(Ok(()), |why| Err(Invalid::new("address", &ip.to_string(), why.rule())))
    }

    /// A registry of nothing that keeps this many changes.
    #[cfg(test)]
    pub(crate) fn keeping(changes: usize) -> Self {
        Self { log: Log::new(0, changes), ..Self::default() }
    }

    /// The same, after a restart.
    #[cfg(test)]
    pub(crate) fn restored_keeping(now: Now, snapshot: Snapshot, changes: usize) -> Self {
        let log = Log::new(snapshot.revision, changes);
        Self { log, ..Self::restore(now, snapshot) }
    }

    /// Everything that there is. It shares the instances, so that taking one costs some 100 bytes each.
    pub fn snapshot(&self) -> Snapshot {
        let instances = self.instances().map(|(target, instance)| (target.clone(), instance.clone()));
        Snapshot { revision: self.revision, instances: instances.collect() }
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many instances there are.
    pub fn instance_count(&self) -> usize {
        self.slots.len()
    }

    /// Begins to decide a batch of commands.
    pub fn draft(&self) -> Draft<'_> {
        Draft::new(self)
    }

    /// Decides one command and commits it at once: for those who need no durability.
    ///
    /// # Errors
    /// Why it is refused; nothing has changed.
    pub fn apply(&mut self, now: Now, command: Command) -> Result<Outcome, Error> {
        let mut draft = self.draft();
        let outcome = draft.apply(now, command)?;
        let batch = draft.finish();
        self.commit(now, batch);
        Ok(outcome)
    }

    /// Takes over what a draft decided. Leases that it touches begin anew at `now`.
    pub fn commit(&mut self, now: Now, batch: Batch) {
        for change in batch.changes {
            let lapsed = (change.cause.action == Action::Lapsed).then(|| change.target.clone());
            self.replay(now, change);
            let at = lapsed.and_then(|target| self.at(&target));
            if let Some(at) = at
                && self.slots.get_mut(at).is_some_and(|slot| slot.timers.recover_if_answered(now))
            {
                self.requeue(at);
            }
        }
        for slot in batch.renewals.iter().filter_map(|target| self.slot(target)) {
            slot.timers.renew(now);
        }
    }

    /// Takes over one durable change, also when recovering.
    pub fn replay(&mut self, now: Now, change: Change) {
        self.revision = change.revision;
        let Target { namespace, service, .. } = &change.target;
        let before = self.service_at(namespace, service).map(|service| service.revision);
        match &change.effect {
            Effect::Put(instance) => {
                self.put(now, change.target.clone(), instance.clone(), change.cause.action);
            }
            Effect::Removed => self.remove(&change.target),
            Effect::Leased(lease) => self.lease(now, &change.target, *lease),
        }
        if change.is_visible() {
            if let Some(service) = self.service_mut(&change.target) {
                service.revision = change.revision;
            }
            self.log.push(Arc::new(change), before);
        }
    }

    /// The common heartbeat, without a draft: moves the deadline of a lease that holds.
    /// `Ok(false)` says that the lease has lapsed, and that [`crate::Ask::Heartbeat`] must decide.
    ///
    /// # Errors
    /// There is no such instance, or another process holds its lease.
    pub fn heartbeat(&self, now: Now, target: &Target, held: Option<LeaseId>) -> Result<bool, Error> {
        let Target { namespace, service, instance } = target;
        match self.heartbeat_of(now, namespace, service.as_str(), instance.as_str(), held) {
            Heartbeat::Renewed => Ok(true),
            Heartbeat::Lapsed => Ok(false),
            Heartbeat::Stale => Err(Error::StaleLease(target.clone())),
            Heartbeat::Unknown => Err(Error::NotFound(target.clone())),
        }
    }

    /// The same for one of many, by names as they came: it allocates nothing.
    pub fn heartbeat_of(
        &self,
        now: Now,
        namespace: &Namespace,
        service: &str,
        instance: &str,
        held: Option<LeaseId>,
    ) -> Heartbeat {
        let service = self.namespaces.get(namespace).and_then(|services| services.get(service));
        let Some(slot) = service.and_then(|service| self.member(service, instance)) else {
            return Heartbeat::Unknown;
        };
        if held.is_some_and(|held| held != slot.instance.lease) {
            return Heartbeat::Stale;
        }
        if slot.timers.has_lapsed() {
            return Heartbeat::Lapsed;
        }
        slot.timers.renew(now);
        Heartbeat::Renewed
    }

    /// For how long a lease holds without a heartbeat, zero where it is overdue; `None` where there is
    /// none, or none any more.
    pub fn lease_left(&self, now: Now, target: &Target) -> Option<Duration> {
        let timers = &self.slot(target)?.timers;
        timers.lease().filter(|_| !timers.has_lapsed()).map(|lease| lease.since(now.mono))
    }

    /// When [`Registry::due`] is worth asking again.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.timers.first().map(|(deadline, _)| *deadline)
    }

    /// Decides and commits all that is due: for those who need no durability.
    pub fn advance(&mut self, now: Now) -> Vec<Change> {
        let due = self.due(now, usize::MAX).commands;
        let mut draft = self.draft();
        let changes = due.into_iter().filter_map(|command| draft.apply(now, command).ok()?.change).collect();
        let batch = draft.finish();
        self.commit(now, batch);
        changes
    }

    /// The timer of an instance that is due, the longest overdue first.
    pub(crate) fn due_timer(&self, now: Now, target: &Target) -> Option<Timer> {
        let (_, timer) = self.slot(target)?.next().filter(|(when, _)| *when <= now.mono)?;
        Some(timer)
    }

    /// The namespaces that hold a service.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.namespaces.keys()
    }

    /// The services of a namespace, by name.
    pub fn services(&self, namespace: &Namespace) -> impl Iterator<Item = &ServiceName> {
        self.namespaces.get(namespace).into_iter().flat_map(BTreeMap::keys)
    }

    /// Every instance, in order.
    pub fn instances(&self) -> impl Iterator<Item = (&Target, &Arc<Instance>)> {
        let services = self.namespaces.values().flat_map(BTreeMap::values);
        let slots = services.flat_map(|service| service.members.values());
        slots.filter_map(|at| self.slots.get(*at)).map(|slot| (&slot.target, &slot.instance))
    }

    /// A service as it is now; `None` where no instance of it is registered.
    pub fn service(&self, namespace: &Namespace, service: &ServiceName) -> Option<ServiceView> {
        let Service { members, revision, .. } = self.service_at(namespace, service)?;
        let slot =
            |(id, at): (&InstanceId, &usize)| Some((id.clone(), self.slots.get(*at)?.instance.clone()));
        Some(ServiceView { revision: *revision, instances: members.iter().filter_map(slot).collect() })
    }

    /// An instance as it is now.
    pub fn instance(&self, target: &Target) -> Option<&Instance> {
        self.slot(target).map(|slot| &*slot.instance)
    }

    /// How far an instance has warmed up, from 0 to 1; `None` where it is not about to.
    pub fn ramp(&self, now: Now, target: &Target) -> Option<f64> {
        let slot = self.slot(target)?;
        slot.timers.warm_from().map(|from| ramp(now, from, &slot.instance))
    }

    /// What a watcher has missed since `revision`.
    pub fn since(&self, revision: u64, scope: &Scope) -> Since {
        if revision > self.revision {
            return Since::Resync;
        }
        let last = match scope {
            Scope::Service(namespace, service) => self.service_at(namespace, service).map(|of| of.revision),
            _ => None,
        };
        self.log.since(revision, scope, last)
    }

    /// The oldest revision that [`Registry::since`] can answer for; it needs a resync for those before.
    pub fn complete_after(&self) -> u64 {
        self.log.complete_after()
    }

    pub(crate) fn shared(&self, target: &Target) -> Option<&Arc<Instance>> {
        self.slot(target).map(|slot| &slot.instance)
    }

    /// The instances of a target's service.
    pub(crate) fn members(&self, target: &Target) -> impl Iterator<Item = &Target> {
        let service = self.service_at(&target.namespace, &target.service);
        let members = service.into_iter().flat_map(|service| service.members.values());
        members.filter_map(|at| self.slots.get(*at)).map(|slot| &slot.target)
    }

    pub(crate) fn service_at(&self, namespace: &Namespace, service: &ServiceName) -> Option<&Service> {
        self.namespaces.get(namespace)?.get(service)
    }

    pub(crate) fn member(&self, service: &Service, id: &str) -> Option<&Slot> {
        self.slots.get(*service.members.get(id)?)
    }

    fn at(&self, target: &Target) -> Option<usize> {
        self.service_at(&target.namespace, &target.service)?.members.get(&target.instance).copied()
    }

    fn slot(&self, target: &Target) -> Option<&Slot> {
        self.slots.get(self.at(target)?)
    }

    fn service_mut(&mut self, target: &Target) -> Option<&mut Service> {
        self.namespaces.get_mut(&target.namespace)?.get_mut(&target.service)
    }

    /// The members of a target's service have changed.
    fn forget_tables(&mut self, target: &Target) {
        self.moves += 1;
        let moves = self.moves;
        let Some(service) = self.service_mut(target) else { return };
        service.circle.moved(moves, &target.instance);
        if service.maglev.take().is_some() {
            *self.tables_kept.get_mut() -= 1;
        }
    }

    fn put(&mut self, now: Now, target: Target, instance: Arc<Instance>, action: Action) {
        let zone = zone_key(&instance.registration.zone);
        let (at, is_moved) = match self.at(&target) {
            Some(at) => {
                let Some(slot) = self.slots.get_mut(at) else { return };
                let before = std::mem::replace(&mut slot.instance, instance);
                let fresh = Timers::new(now, &slot.instance);
                let timers = std::mem::replace(&mut slot.timers, fresh);
                // What comes from a backup begins anew: the deadlines here are of something else.
                if action != Action::Restored {
                    slot.timers = timers.after(now, Some(&before), &slot.instance, action.renews());
                }
                slot.zone = zone;
                (at, before.registration.weight != slot.weight())
            }
            None => {
                let timers = Timers::new(now, &instance);
                let at =
                    self.slots.insert(Slot { target: target.clone(), instance, timers, zone, queued: None });
                self.enter(target.clone(), at);
                (at, true)
            }
        };
        if is_moved {
            self.forget_tables(&target);
        }
        self.requeue(at);
    }

    /// Puts a slot where its names lead. What is named already keeps its text, and shares it.
    fn enter(&mut self, target: Target, at: usize) {
        let Target { namespace, service, instance } = target;
        let known = self.namespaces.get_key_value(&namespace).map(|(name, _)| name.clone());
        let namespace = known.unwrap_or(namespace);
        let services = self.namespaces.entry(namespace.clone()).or_default();
        let known = services.get_key_value(&service).map(|(name, _)| name.clone());
        let name = known.unwrap_or(service);
        let entry = services.entry(name.clone()).or_default();
        entry.members.insert(instance.clone(), at);
        if let Some(slot) = self.slots.get_mut(at) {
            entry.revision = entry.revision.max(slot.instance.revision);
            slot.target = Target { namespace, service: name, instance };
        }
    }

    fn remove(&mut self, target: &Target) {
        self.forget_tables(target);
        let Some(services) = self.namespaces.get_mut(&target.namespace) else { return };
        let Some(service) = services.get_mut(&target.service) else { return };
        let Some(at) = service.members.remove(&target.instance) else { return };
        if service.members.is_empty() {
            services.remove(&target.service);
            if services.is_empty() {
                self.namespaces.remove(&target.namespace);
            }
        }
        if let Some(queued) = self.slots.try_remove(at).and_then(|slot| slot.queued) {
            self.timers.remove(&(queued, at));
        }
    }

    fn lease(&mut self, now: Now, target: &Target, lease: LeaseId) {
        let at = self.at(target);
        if let Some(slot) = at.and_then(|at| self.slots.get_mut(at)) {
            Arc::make_mut(&mut slot.instance).lease = lease;
            slot.timers.renew(now);
        }
    }

    /// Has a slot looked at in time. An entry that is early stays: whoever finds it looks and moves it.
    fn requeue(&mut self, at: usize) {
        let Some(slot) = self.slots.get(at) else { return };
        let next = slot.next().map(|(when, _)| when);
        if slot.queued.is_none() || next.is_some_and(|next| slot.queued.is_some_and(|queued| next < queued)) {
            self.queue(at, next);
        }
    }

    /// Has a slot looked at at this moment, and at no other.
    pub(crate) fn queue(&mut self, at: usize, when: Option<Mono>) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let before = std::mem::replace(&mut slot.queued, when);
        if let Some(before) = before {
            self.timers.remove(&(before, at));
        }
        if let Some(when) = when {
            self.timers.insert((when, at));
        }
    }
}

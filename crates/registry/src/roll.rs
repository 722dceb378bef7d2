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
    Action, Change, Command, Draft, Effect, Error, Host, Instance, LeaseId, Networks, Outcome, Policies,
    PolicyChange, PolicyCommand, PolicyError, Scope, Since, Status, Target,
    circle::Circle,
    draft::Batch,
    index::Index,
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
    /// Where the services are, in order.
    namespaces: BTreeMap<Namespace, BTreeMap<ServiceName, usize>>,
    services: Slab<Service>,
    pub(crate) slots: Slab<Slot>,
    index: Index,
    revision: u64,
    log: Log,
    policies: Policies,
    /// When to look at which slot: never later than its first timer, but for leases that are spared.
    pub(crate) timers: BTreeSet<(Mono, usize)>,
    pub(crate) zones: Zones,
    /// How many services have a table of slots.
    pub(crate) tables_kept: AtomicUsize,
    networks: Networks,
    /// How often a member came, went or changed its weight, in any service.
    moves: u64,
}

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) namespace: Namespace,
    pub(crate) name: ServiceName,
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
    /// Where its service is.
    service: usize,
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
        self.instance.weight()
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
    /// Every revision of every policy that is kept, in order.
    pub policies: Vec<PolicyChange>,
}

impl Registry {
    /// A registry as a snapshot has it. Its leases begin anew at `now`.
    pub fn restore(now: Now, snapshot: Snapshot) -> Self {
        let Snapshot { revision, instances, policies } = snapshot;
        let mut registry = Self { revision, log: Log::new(revision, CHANGES_KEPT), ..Self::default() };
        policies.into_iter().for_each(|change| registry.commit_policy(change));
        registry.policies.forget_up_to(revision);
        for (target, instance) in instances {
            registry.put(now, &target, instance, Action::Restored);
        }
        // The last change of a service may have been that an instance went, of which nothing is left.
        // Its revision must not go back for that, nor a watcher miss it.
        registry.services.iter_mut().for_each(|(_, service)| service.revision = revision);
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

    /// How many services and instances are known by name, in each of the two ways.
    #[cfg(test)]
    pub(crate) fn known(&self) -> [[usize; 2]; 2] {
        let services = self.namespaces.values().map(BTreeMap::len).sum();
        [self.index.lengths(), [services, self.instances().count()]]
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
        let policies = self.policies.changes();
        Snapshot { revision: self.revision, instances: instances.collect(), policies }
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The policies.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// What a command to a policy would do; `None` where it changes nothing. The change has to become
    /// durable, and then [`commit_policy`](Registry::commit_policy)s before anything else is decided.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn decide_policy(
        &self,
        now: Now,
        command: PolicyCommand,
    ) -> Result<Option<PolicyChange>, PolicyError> {
        self.policies.decide(now, self.revision, command)
    }

    /// Takes over a durable change of a policy, also when recovering.
    pub fn commit_policy(&mut self, change: PolicyChange) {
        self.revision = self.revision.max(change.made.revision);
        self.policies.commit(change);
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
            let is_lapse = change.cause.action == Action::Lapsed;
            let at = self.take_over(now, change);
            if let Some(at) = at.filter(|_| is_lapse)
                && self.slots.get_mut(at).is_some_and(|slot| slot.timers.recover_if_answered(now))
            {
                self.requeue(at);
            }
        }
        for slot in batch.renewals.iter().filter_map(|target| self.slot(target)) {
            slot.timers.renew(now);
        }
    }

    /// Takes over one durable change, when recovering.
    pub fn replay(&mut self, now: Now, change: impl Into<Arc<Change>>) {
        self.take_over(now, change.into());
    }

    /// Takes over one durable change, and says in which slot.
    fn take_over(&mut self, now: Now, change: Arc<Change>) -> Option<usize> {
        let Change { target, effect, .. } = &*change;
        self.revision = change.revision;
        let service = self.index.service(&self.services, target.namespace.as_str(), target.service.as_str());
        let before = service.and_then(|at| self.services.get(at)).map(|service| service.revision);
        let at = match effect {
            Effect::Put(instance) => self.put(now, target, instance.clone(), change.cause.action),
            Effect::Removed => {
                self.remove(target);
                None
            }
            Effect::Leased(lease) => self.lease(now, target, *lease),
        };
        if change.is_visible() {
            let place = at.and_then(|at| self.slots.get(at)).map(|slot| slot.service).or(service);
            if let Some(service) = place.and_then(|at| self.services.get_mut(at)) {
                service.revision = change.revision;
            }
            self.log.push(change, before);
        }
        at
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
        let at = self.index.slot(&self.slots, namespace.as_str(), service, instance);
        let Some(slot) = at.and_then(|at| self.slots.get(at)) else { return Heartbeat::Unknown };
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
    pub fn advance(&mut self, now: Now) -> Vec<Arc<Change>> {
        let due = self.due(now, usize::MAX).commands;
        let mut draft = self.draft();
        due.into_iter().for_each(|command| drop(draft.apply(now, command)));
        let batch = draft.finish();
        let changes = batch.changes.clone();
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
        let services = services.filter_map(|at| self.services.get(*at));
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

    /// The same names, by the texts that are there already: many changes are kept for watchers.
    pub(crate) fn known_names(&self, target: Target, is_there: bool) -> Target {
        if is_there && let Some(slot) = self.slot(&target) {
            return slot.target.clone();
        }
        match self.service_at(&target.namespace, &target.service) {
            Some(Service { namespace, name, .. }) => {
                Target { namespace: namespace.clone(), service: name.clone(), ..target }
            }
            None => target,
        }
    }

    /// The instances of a target's service.
    pub(crate) fn members(&self, target: &Target) -> impl Iterator<Item = &Target> {
        let service = self.service_at(&target.namespace, &target.service);
        let members = service.into_iter().flat_map(|service| service.members.values());
        members.filter_map(|at| self.slots.get(*at)).map(|slot| &slot.target)
    }

    pub(crate) fn service_at(&self, namespace: &Namespace, service: &ServiceName) -> Option<&Service> {
        let at = self.index.service(&self.services, namespace.as_str(), service.as_str())?;
        self.services.get(at)
    }

    pub(crate) fn member(&self, service: &Service, id: &str) -> Option<&Slot> {
        self.slots.get(*service.members.get(id)?)
    }

    fn at(&self, target: &Target) -> Option<usize> {
        let Target { namespace, service, instance } = target;
        self.index.slot(&self.slots, namespace.as_str(), service.as_str(), instance.as_str())
    }

    fn slot(&self, target: &Target) -> Option<&Slot> {
        self.slots.get(self.at(target)?)
    }

    /// A member of a service has come, gone or changed its weight.
    fn moved(&mut self, service: usize, instance: &InstanceId) {
        self.moves += 1;
        let moves = self.moves;
        let Some(service) = self.services.get_mut(service) else { return };
        service.circle.moved(moves, instance);
        if service.maglev.take().is_some() {
            *self.tables_kept.get_mut() -= 1;
        }
    }

    fn put(&mut self, now: Now, target: &Target, instance: Arc<Instance>, action: Action) -> Option<usize> {
        let Some(at) = self.at(target) else { return self.enter(now, target, instance) };
        let slot = self.slots.get_mut(at)?;
        let before = std::mem::replace(&mut slot.instance, instance);
        let fresh = Timers::new(now, &slot.instance);
        let timers = std::mem::replace(&mut slot.timers, fresh);
        // What comes from a backup begins anew: the deadlines here are of something else.
        if action != Action::Restored {
            slot.timers = timers.after(now, Some(&before), &slot.instance, action.renews());
        }
        slot.zone = zone_key(&slot.instance.registration.zone);
        let (service, is_moved) = (slot.service, before.weight() != slot.weight());
        if is_moved {
            self.moved(service, &target.instance);
        }
        self.requeue(at);
        Some(at)
    }

    /// A slot for an instance that is new. What is named already keeps its text, and shares it.
    fn enter(&mut self, now: Now, target: &Target, instance: Arc<Instance>) -> Option<usize> {
        let known = self.index.service(&self.services, target.namespace.as_str(), target.service.as_str());
        let service = known.unwrap_or_else(|| self.enter_service(target));
        let of = self.services.get_mut(service)?;
        of.revision = of.revision.max(instance.revision);
        let (namespace, name, id) = (of.namespace.clone(), of.name.clone(), target.instance.clone());
        let slot = Slot {
            target: Target { namespace, service: name, instance: id.clone() },
            service,
            timers: Timers::new(now, &instance),
            zone: zone_key(&instance.registration.zone),
            instance,
            queued: None,
        };
        let at = self.slots.insert(slot);
        of.members.insert(id, at);
        self.index.add_slot(&self.slots, at);
        self.moved(service, &target.instance);
        self.requeue(at);
        Some(at)
    }

    fn enter_service(&mut self, target: &Target) -> usize {
        let known = self.namespaces.get_key_value(&target.namespace).map(|(name, _)| name.clone());
        let namespace = known.unwrap_or_else(|| target.namespace.clone());
        let name = target.service.clone();
        let at = self.services.insert(Service {
            namespace: namespace.clone(),
            name: name.clone(),
            members: BTreeMap::new(),
            revision: 0,
            circle: Circle::default(),
            maglev: OnceLock::new(),
        });
        self.index.add_service(&self.services, at);
        self.namespaces.entry(namespace).or_default().insert(name, at);
        at
    }

    fn remove(&mut self, target: &Target) {
        let Some(at) = self.at(target) else { return };
        self.index.remove_slot(target, at);
        let Some(slot) = self.slots.try_remove(at) else { return };
        if let Some(queued) = slot.queued {
            self.timers.remove(&(queued, at));
        }
        self.moved(slot.service, &target.instance);
        let Some(service) = self.services.get_mut(slot.service) else { return };
        service.members.remove(&target.instance);
        if service.members.is_empty() {
            self.index.remove_service(&target.namespace, &target.service, slot.service);
            self.services.remove(slot.service);
            if let Some(services) = self.namespaces.get_mut(&target.namespace) {
                services.remove(&target.service);
                if services.is_empty() {
                    self.namespaces.remove(&target.namespace);
                }
            }
        }
    }

    fn lease(&mut self, now: Now, target: &Target, lease: LeaseId) -> Option<usize> {
        let at = self.at(target)?;
        let slot = self.slots.get_mut(at)?;
        Arc::make_mut(&mut slot.instance).lease = lease;
        slot.timers.renew(now);
        Some(at)
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

//! The registry itself: what is there now, and which lease lapses next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use hash_ring::Ring;
use identity::{InstanceId, Mono, Namespace, Now, ServiceName};

use crate::{
    Change, Command, Draft, Effect, Error, Instance, LeaseId, Outcome, Since, Status, Target, draft::Batch,
    log::Log,
};

/// How many instances a registry holds. At about 1 KiB each this is 1 GiB.
pub(crate) const INSTANCES_MAX: usize = 1_000_000;

/// Every namespace's services and instances.
#[derive(Debug, Default)]
pub struct Registry {
    namespaces: BTreeMap<Namespace, BTreeMap<ServiceName, Service>>,
    instances: usize,
    revision: u64,
    log: Log,
    deadlines: BTreeSet<(Mono, Target)>,
}

#[derive(Debug, Default)]
struct Service {
    slots: BTreeMap<InstanceId, Slot>,
    revision: u64,
    /// Built when first asked for, dropped when a member comes, goes or changes its weight.
    ring: OnceLock<Arc<Ring>>,
}

#[derive(Debug)]
struct Slot {
    instance: Arc<Instance>,
    deadline: Option<Mono>,
}

/// A service at a revision: what a reader or a proxy is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceView {
    /// The revision of the service's last change.
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

/// Who owns a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The instance that the ring names.
    pub home: InstanceId,
    /// The instance that takes its calls now: home, or the next on the ring that is up.
    pub effective: Option<InstanceId>,
    /// Why effective is not home; empty where it is.
    pub reason: String,
}

impl Registry {
    /// A registry as a snapshot has it. Its leases begin anew at `now`.
    pub fn restore(now: Now, snapshot: Snapshot) -> Self {
        let Snapshot { revision, instances } = snapshot;
        let mut registry = Self { revision, log: Log::beginning_at(revision), ..Self::default() };
        for (target, instance) in instances {
            registry.put(now, &target, instance);
        }
        registry
    }

    /// Everything that there is. It shares the instances, so that taking one costs some 100 bytes each.
    pub fn snapshot(&self) -> Snapshot {
        let instances = self.instances().map(|(target, instance)| (target, instance.clone()));
        Snapshot { revision: self.revision, instances: instances.collect() }
    }

    /// The revision of the last change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many instances there are.
    pub fn instance_count(&self) -> usize {
        self.instances
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
            self.replay(now, change);
        }
        for target in batch.renewals {
            self.renew(now, &target);
        }
    }

    /// Takes over one durable change, also when recovering.
    pub fn replay(&mut self, now: Now, change: Change) {
        self.revision = change.revision;
        match &change.effect {
            Effect::Put(instance) => self.put(now, &change.target, Arc::new(instance.clone())),
            Effect::Removed => self.remove(&change.target),
            Effect::Leased(lease) => self.lease(now, &change.target, *lease),
        }
        if change.is_visible() {
            if let Some(service) = self.service_mut(&change.target) {
                service.revision = change.revision;
            }
            self.log.push(Arc::new(change));
        }
    }

    /// The common heartbeat, without a draft: moves the deadline of a lease that holds.
    /// `Ok(false)` says that the lease has lapsed, and that [`Command::Heartbeat`] must decide.
    ///
    /// # Errors
    /// There is no such instance, or another process holds its lease.
    pub fn heartbeat(&mut self, now: Now, target: &Target, held: Option<LeaseId>) -> Result<bool, Error> {
        let instance = self.instance(target).ok_or_else(|| Error::NotFound(target.clone()))?;
        if held.is_some_and(|held| held != instance.lease) {
            return Err(Error::StaleLease(target.clone()));
        }
        if instance.status == Status::Down {
            return Ok(false);
        }
        self.renew(now, target);
        Ok(true)
    }

    /// When [`Registry::due`] is worth asking again.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The commands that time asks for, at most `limit`; they are decided like any other.
    pub fn due(&self, now: Now, limit: usize) -> Vec<Command> {
        let due = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now.mono).take(limit);
        due.map(|(_, target)| Command::Expire { target: target.clone() }).collect()
    }

    /// Decides and commits all that is due: for those who need no durability.
    pub fn advance(&mut self, now: Now) -> Vec<Change> {
        let mut draft = self.draft();
        let due = self.due(now, usize::MAX);
        let changes = due.into_iter().filter_map(|command| draft.apply(now, command).ok()?.change).collect();
        let batch = draft.finish();
        self.commit(now, batch);
        changes
    }

    pub(crate) fn is_due(&self, now: Now, target: &Target) -> bool {
        self.slot(target).and_then(|slot| slot.deadline).is_some_and(|deadline| deadline <= now.mono)
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
    pub fn instances(&self) -> impl Iterator<Item = (Target, &Arc<Instance>)> {
        self.namespaces.iter().flat_map(|(namespace, services)| {
            services.iter().flat_map(move |(service, Service { slots, .. })| {
                slots.iter().map(move |(id, slot)| {
                    let (namespace, service, instance) = (namespace.clone(), service.clone(), id.clone());
                    (Target { namespace, service, instance }, &slot.instance)
                })
            })
        })
    }

    /// A service as it is now; `None` where no instance of it is registered.
    pub fn service(&self, namespace: &Namespace, service: &ServiceName) -> Option<ServiceView> {
        let Service { slots, revision, .. } = self.namespaces.get(namespace)?.get(service)?;
        let instances = slots.iter().map(|(id, slot)| (id.clone(), slot.instance.clone())).collect();
        Some(ServiceView { revision: *revision, instances })
    }

    /// An instance as it is now.
    pub fn instance(&self, target: &Target) -> Option<&Instance> {
        self.slot(target).map(|slot| &*slot.instance)
    }

    /// Which instance owns `key`. The ring is built from the registered members, so that flapping
    /// health moves no key for good; the walk passes over members that are not up.
    pub fn owner(&self, namespace: &Namespace, service: &ServiceName, key: &[u8]) -> Option<Owner> {
        let Service { slots, ring, .. } = self.namespaces.get(namespace)?.get(service)?;
        let member = |(id, slot): (&InstanceId, &Slot)| (id.to_string(), slot.instance.registration.weight);
        let ring = ring.get_or_init(|| Arc::new(Ring::new(slots.iter().map(member))));
        let status = |id: &str| slots.get(id).map_or(Status::Down, |slot| slot.instance.status);
        let home = ring.owner(key)?;
        let effective = ring.walk(key).find(|id| status(id) == Status::Up);
        let reason = match effective {
            Some(effective) if effective == home => String::new(),
            Some(_) => format!("{home} is {}; the next instance up on the ring", status(home)),
            None => format!("{home} is {}, and no other instance is up", status(home)),
        };
        let id = |name: &str| slots.get_key_value(name).map(|(id, _)| id.clone());
        Some(Owner { home: id(home)?, effective: effective.and_then(id), reason })
    }

    /// What a watcher of everything, of a namespace, or of one service has missed since `revision`.
    pub fn since(&self, revision: u64, wanted: impl Fn(&Change) -> bool) -> Since {
        self.log.since(revision, self.revision, wanted)
    }

    /// The oldest revision that [`Registry::since`] can answer for; it needs a resync for those before.
    pub fn complete_after(&self) -> u64 {
        self.log.complete_after()
    }

    fn slot(&self, target: &Target) -> Option<&Slot> {
        self.namespaces.get(&target.namespace)?.get(&target.service)?.slots.get(&target.instance)
    }

    fn service_mut(&mut self, target: &Target) -> Option<&mut Service> {
        self.namespaces.get_mut(&target.namespace)?.get_mut(&target.service)
    }

    fn put(&mut self, now: Now, target: &Target, instance: Arc<Instance>) {
        let namespace = self.namespaces.entry(target.namespace.clone()).or_default();
        let service = namespace.entry(target.service.clone()).or_default();
        service.revision = service.revision.max(instance.revision);
        let weight = instance.registration.weight;
        let slot = Slot { instance, deadline: None };
        match service.slots.insert(target.instance.clone(), slot) {
            Some(before) => {
                if before.instance.registration.weight != weight {
                    service.ring.take();
                }
                self.unschedule(target, before.deadline);
            }
            None => {
                service.ring.take();
                self.instances += 1;
            }
        }
        self.renew(now, target);
    }

    fn remove(&mut self, target: &Target) {
        let Some(services) = self.namespaces.get_mut(&target.namespace) else { return };
        let Some(service) = services.get_mut(&target.service) else { return };
        let Some(slot) = service.slots.remove(&target.instance) else { return };
        service.ring.take();
        if service.slots.is_empty() {
            services.remove(&target.service);
            if services.is_empty() {
                self.namespaces.remove(&target.namespace);
            }
        }
        self.instances -= 1;
        self.unschedule(target, slot.deadline);
    }

    fn lease(&mut self, now: Now, target: &Target, lease: LeaseId) {
        if let Some(slot) =
            self.service_mut(target).and_then(|service| service.slots.get_mut(&target.instance))
        {
            Arc::make_mut(&mut slot.instance).lease = lease;
            self.renew(now, target);
        }
    }

    /// Sets the deadline that an instance's state asks for, counted from `now`.
    fn renew(&mut self, now: Now, target: &Target) {
        let Some(slot) = self.service_mut(target).and_then(|service| service.slots.get_mut(&target.instance))
        else {
            return;
        };
        let registration = &slot.instance.registration;
        let period = match slot.instance.status {
            Status::Down => registration.forget_after(),
            _ => registration.ttl,
        };
        let before = slot.deadline;
        let deadline = period.map(|period| now.mono + period);
        slot.deadline = deadline;
        self.unschedule(target, before);
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, target.clone()));
        }
    }

    fn unschedule(&mut self, target: &Target, deadline: Option<Mono>) {
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, target.clone()));
        }
    }
}

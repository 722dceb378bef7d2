//! The ring of a service, kept up with its members.
//!
//! A ring is made when somebody asks, and not when a member comes: a thousand registrations between two
//! lookups cost one ring and not a thousand. What has changed since is remembered for the last few changes,
//! because [`Ring::with`] makes the next ring from the last one at a small part of the cost of building it.
//!
//! The ring of a large service takes long to make, and whoever made it within the registry would hold up
//! whoever wants to change it. So a reader asks for the [`Plan`] first: where there is one, it makes the
//! ring by itself, hands it back for the next reader, and looks up on it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use hash_ring::{POINTS_PER_100, Ring};
use identity::{InstanceId, Namespace, ServiceName};

use crate::{Registry, roll::Service};

/// Changes that are made to the last ring one by one. Each costs about a thirtieth of another ring.
const STEPS_MAX: usize = 16;
/// Points that are made or copied while the registry is held, in some milliseconds at most.
const POINTS_INLINE: u64 = 1 << 16;
/// How many points are copied in the time in which one is made.
const COPIED: u64 = 30;

/// What a service knows of its ring.
#[derive(Debug, Default)]
pub(crate) struct Circle {
    /// Which change of any service's members was the last here. No two services share one, so that the ring
    /// of a service that has gone is never taken for that of its successor.
    version: u64,
    /// Whether anybody has asked for the ring.
    is_wanted: AtomicBool,
    /// The members of the last changes, oldest first.
    steps: VecDeque<(u64, InstanceId)>,
    /// The version after which `steps` has every change.
    complete_after: u64,
    made: Mutex<Option<Made>>,
}

/// A ring, and of which version it is.
#[derive(Debug, Clone)]
struct Made {
    version: u64,
    ring: Arc<Ring>,
}

impl Circle {
    /// A member came, went or changed its weight.
    pub(crate) fn moved(&mut self, version: u64, member: &InstanceId) {
        let is_first = std::mem::replace(&mut self.version, version) == 0;
        if is_first || !*self.is_wanted.get_mut() {
            self.complete_after = version;
            return;
        }
        // What it is now says all that there is to say of a member.
        self.steps.retain(|(_, known)| known != member);
        self.steps.push_back((version, member.clone()));
        if self.steps.len() > STEPS_MAX
            && let Some((dropped, _)) = self.steps.pop_front()
        {
            self.complete_after = dropped;
        }
    }

    /// The ring as it is now, where that is made already.
    fn ready(&self) -> Option<Arc<Ring>> {
        let made = self.made();
        made.as_ref().filter(|made| made.version == self.version).map(|made| made.ring.clone())
    }

    /// Keeps a ring, unless a later one is there.
    fn keep(&self, made: Made) {
        let mut known = self.made();
        if known.as_ref().is_none_or(|known| known.version < made.version) {
            *known = Some(made);
        }
    }

    /// What there is to do to have the ring as it is now.
    fn work(
        &self,
        members: impl Fn(&str) -> Option<u32>,
        all: impl Iterator<Item = (InstanceId, u32)>,
    ) -> Work {
        self.is_wanted.store(true, Relaxed);
        let known = self.made().clone().filter(|made| made.version >= self.complete_after);
        match known {
            Some(made) => {
                let since = self.steps.iter().filter(|(version, _)| *version > made.version);
                let steps = since.map(|(_, id)| (id.clone(), members(id.as_str()).unwrap_or(0)));
                Work::Steps(made.ring, steps.collect())
            }
            None => Work::Anew(all.collect()),
        }
    }

    fn made(&self) -> MutexGuard<'_, Option<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a ring is made.
#[derive(Debug)]
enum Work {
    Anew(Vec<(InstanceId, u32)>),
    /// From another one, with these members at these weights.
    Steps(Arc<Ring>, Vec<(InstanceId, u32)>),
}

impl Work {
    /// How much it is, in points that are made.
    fn points(&self) -> u64 {
        match self {
            Work::Anew(members) => {
                let weight: u64 = members.iter().map(|(_, weight)| u64::from(*weight)).sum();
                weight * u64::from(POINTS_PER_100) / 100
            }
            Work::Steps(ring, steps) => (ring.points() * steps.len()) as u64 / COPIED,
        }
    }

    fn done(self) -> Arc<Ring> {
        match self {
            Work::Anew(members) => {
                Ring::new(members.iter().map(|(id, weight)| (id.as_str(), *weight))).into()
            }
            Work::Steps(ring, steps) => {
                steps.iter().fold(ring, |ring, (id, weight)| ring.with(id.as_str(), *weight).into())
            }
        }
    }
}

/// A ring that is still to be made, which takes long.
#[derive(Debug)]
pub struct Plan {
    namespace: Namespace,
    service: ServiceName,
    version: u64,
    work: Work,
}

/// The ring of a service, as it was when it was planned.
#[derive(Debug, Clone)]
pub struct MadeRing {
    pub(crate) namespace: Namespace,
    pub(crate) service: ServiceName,
    made: Made,
}

impl Plan {
    /// How many steps lead there; `None` where it is built anew.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> Option<usize> {
        match &self.work {
            Work::Steps(_, steps) => Some(steps.len()),
            Work::Anew(_) => None,
        }
    }

    /// Makes the ring: some seconds and 320 MiB for 100,000 members.
    pub fn make(self) -> MadeRing {
        let Self { namespace, service, version, work } = self;
        MadeRing { namespace, service, made: Made { version, ring: work.done() } }
    }
}

impl MadeRing {
    pub(crate) fn ring(&self) -> &Arc<Ring> {
        &self.made.ring
    }
}

impl Registry {
    /// What has to be done before keys of a service are looked up on its ring; `None` where that is little,
    /// or nothing.
    pub fn plan(&self, namespace: &Namespace, service: &ServiceName) -> Option<Plan> {
        self.plan_of(namespace, service).filter(|plan| plan.work.points() > POINTS_INLINE)
    }

    /// The same, also where it is little.
    pub(crate) fn plan_of(&self, namespace: &Namespace, service: &ServiceName) -> Option<Plan> {
        let found = self.service_at(namespace, service)?;
        if found.circle.ready().is_some() {
            return None;
        }
        let work = self.work(found);
        let (namespace, service, version) = (namespace.clone(), service.clone(), found.circle.version);
        Some(Plan { namespace, service, version, work })
    }

    /// Keeps a ring for those who look up next.
    pub fn keep_ring(&self, ring: &MadeRing) {
        if let Some(service) = self.service_at(&ring.namespace, &ring.service) {
            service.circle.keep(ring.made.clone());
        }
    }

    /// The ring of a service as it is now.
    pub(crate) fn ring(&self, service: &Service) -> Arc<Ring> {
        service.circle.ready().unwrap_or_else(|| {
            let ring = self.work(service).done();
            service.circle.keep(Made { version: service.circle.version, ring: ring.clone() });
            ring
        })
    }

    fn work(&self, service: &Service) -> Work {
        let all =
            service.members.iter().filter_map(|(id, at)| Some((id.clone(), self.slots.get(*at)?.weight())));
        service.circle.work(|id| Some(self.member(service, id)?.weight()), all)
    }
}

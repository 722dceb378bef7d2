//! Who owns a key: the ring's home, and who takes its calls now.

use hash_ring::Ring;
use identity::{InstanceId, Namespace, Now, ServiceName};

use crate::{Instance, Registry, Status, roll::Service};

/// Who owns a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The instance that the ring names.
    pub home: InstanceId,
    /// The instance that takes its calls now: home, or the next on the ring that does.
    pub effective: Option<InstanceId>,
    /// Why effective is not home; empty where it is.
    pub reason: String,
}

impl Registry {
    /// Which instance owns `key`. The ring is built from the registered members, so that flapping
    /// health moves no key for good; the walk passes over members that take no calls. A member that
    /// warms up takes the keys below its ramp, and the others wait next door.
    pub fn owner(&self, now: Now, namespace: &Namespace, service: &ServiceName, key: &[u8]) -> Option<Owner> {
        let service = self.service_at(namespace, service)?;
        let ring = self.ring(service);
        let takes = |id: &str| self.member(service, id).is_some_and(|slot| slot.takes(now, key));
        let home = ring.owner(key)?;
        let warming = || {
            ring.walk(key)
                .find(|id| self.member(service, id).is_some_and(|slot| slot.instance.condition.is_warming()))
        };
        let effective = ring.walk(key).find(|id| takes(id)).or_else(warming);
        let status = self.member(service, home).map_or(Status::Down, |slot| slot.instance.status);
        let reason = match effective {
            Some(effective) if effective == home => String::new(),
            Some(_) => format!("{home} is {status}; the next instance on the ring that takes calls"),
            None => format!("{home} is {status}, and no other instance takes calls"),
        };
        let id = |name: &str| service.members.get_key_value(name).map(|(id, _)| id.clone());
        Some(Owner { home: id(home)?, effective: effective.and_then(id), reason })
    }

    /// The ring of a service's members.
    pub(crate) fn ring<'a>(&self, service: &'a Service) -> &'a Ring {
        service.ring.get_or_init(|| {
            let weight = |at: &usize| self.slots.get(*at).map_or(0, |slot| slot.weight());
            Ring::new(service.members.iter().map(|(id, at)| (id.as_str(), weight(at)))).into()
        })
    }
}

/// How far an instance has warmed up: 1 once it has.
pub(crate) fn ramp(now: Now, from: identity::Mono, instance: &Instance) -> f64 {
    let over = instance.registration.warm_up.unwrap_or_default().as_secs_f64();
    let gone = now.mono.since(from).as_secs_f64();
    if over > 0.0 { (gone / over).min(1.0) } else { 1.0 }
}

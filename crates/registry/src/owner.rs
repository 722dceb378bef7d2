//! Who owns a key: the home that its hash names, and who takes its calls now.
//!
//! Homes follow from the registered members, whatever their health, so that flapping health moves no key
//! for good; looking up walks on past members that take no calls. A member that warms up takes the keys
//! below its ramp, and the others wait next door.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use hash_ring::{Bound, Maglev, Ring};
use identity::{InstanceId, Invalid, Namespace, Now, ServiceName};

use crate::{
    Instance, MadeRing, Registry,
    roll::{Service, Slot},
};

/// Tables of slots that are kept for the next lookup, 256 KiB each. A service beyond that has its own built
/// for each lookup.
pub(crate) const TABLES_KEPT: usize = 256;

/// How a key's home is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// The first point of the circle at or after the key.
    #[default]
    Ring,
    /// The key's slot of a table.
    Maglev,
    /// The point of the circle that is nearest to the key, before it or after; past a home that takes no
    /// calls, the member whose point is nearest of the others'.
    Nearest,
}

impl Algorithm {
    /// Each of them.
    pub const ALL: [Algorithm; 3] = [Algorithm::Ring, Algorithm::Maglev, Algorithm::Nearest];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Ring => "ring",
            Algorithm::Maglev => "maglev",
            Algorithm::Nearest => "nearest",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == text);
        found.ok_or_else(|| Invalid::new("algorithm", text, "one of ring, maglev, nearest"))
    }
}

/// How an owner is looked up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lookup {
    /// How the home is found.
    pub algorithm: Algorithm,
    /// Whether instances that have enough calls are passed over.
    pub bounded: Option<Bounded>,
}

/// A bound on the calls in flight, and what is known of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounded {
    /// How far above the mean an instance may be.
    pub bound: Bound,
    /// The calls in flight by instance; none where it is not named.
    pub in_flight: HashMap<InstanceId, u32>,
}

/// Who owns a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The instance that the key's hash names.
    pub home: InstanceId,
    /// The instance that takes its calls now: home, or the next that does.
    pub effective: Option<InstanceId>,
    /// Why effective is not home; empty where it is.
    pub reason: String,
}

/// What keys are looked up in.
#[derive(Debug)]
pub(crate) enum Table {
    Ring(Arc<Ring>),
    Maglev(Arc<Maglev>),
}

impl Registry {
    /// Which instance owns `key`, by the ring.
    pub fn owner(&self, now: Now, namespace: &Namespace, service: &ServiceName, key: &[u8]) -> Option<Owner> {
        self.look_up(now, namespace, service, key, &Lookup::default())
    }

    /// Which instance owns `key`; `None` where the service is not there, or all its weights are 0.
    pub fn look_up(
        &self,
        now: Now,
        namespace: &Namespace,
        service: &ServiceName,
        key: &[u8],
        lookup: &Lookup,
    ) -> Option<Owner> {
        let service = self.service_at(namespace, service)?;
        self.look_up_in(self.table(service, lookup.algorithm), now, service, key, lookup)
    }

    /// The same on a ring that was made before, for the algorithms that need one. Members that came since
    /// then own nothing yet.
    pub fn look_up_on(&self, ring: &MadeRing, now: Now, key: &[u8], lookup: &Lookup) -> Option<Owner> {
        let service = self.service_at(&ring.namespace, &ring.service)?;
        self.look_up_in(Table::Ring(ring.ring().clone()), now, service, key, lookup)
    }

    fn look_up_in(
        &self,
        table: Table,
        now: Now,
        service: &Service,
        key: &[u8],
        lookup: &Lookup,
    ) -> Option<Owner> {
        match table {
            Table::Ring(ring) if lookup.algorithm == Algorithm::Nearest => {
                self.choose(now, service, key, lookup, ring.nearby(key))
            }
            Table::Ring(ring) => self.choose(now, service, key, lookup, ring.walk(key)),
            Table::Maglev(table) => self.choose(now, service, key, lookup, table.walk(key)),
        }
    }

    /// Goes from home on to the first that takes the key's calls.
    fn choose<'a>(
        &self,
        now: Now,
        service: &Service,
        key: &[u8],
        lookup: &Lookup,
        walk: impl Iterator<Item = &'a str>,
    ) -> Option<Owner> {
        let mut walk = walk.filter_map(|id| Some((id, self.member(service, id)?))).peekable();
        let (home, first) = *walk.peek()?;
        let room = lookup.bounded.as_ref().map(|bounded| Room::new(self, now, service, key, bounded));
        let has_room = |slot: &Slot| room.as_ref().is_none_or(|room| room.has(slot));
        let mut warming = None;
        let effective = walk.find(|(id, slot)| {
            if warming.is_none() && slot.instance.condition.is_warming() {
                warming = Some(*id);
            }
            slot.takes(now, key) && has_room(slot)
        });
        let effective = effective.map(|(id, _)| id).or(warming);
        let why = if first.takes(now, key) {
            match &room {
                Some(room) => room.why_not(first),
                None => String::new(),
            }
        } else if first.instance.condition.is_warming() {
            format!("{home} warms up and does not take this key yet")
        } else {
            format!("{home} is {}", first.instance.status)
        };
        let reason = match effective {
            Some(effective) if effective == home => String::new(),
            Some(_) => format!("{why}; the next instance on the way that takes calls"),
            None => format!("{why}, and no other instance takes calls"),
        };
        let id = |name: &str| service.members.get_key_value(name).map(|(id, _)| id.clone());
        Some(Owner { home: id(home)?, effective: effective.and_then(id), reason })
    }

    /// What the keys of a service are looked up in.
    pub(crate) fn table(&self, service: &Service, algorithm: Algorithm) -> Table {
        match algorithm {
            Algorithm::Ring | Algorithm::Nearest => Table::Ring(self.ring(service)),
            Algorithm::Maglev => Table::Maglev(self.maglev(service)),
        }
    }

    fn maglev(&self, service: &Service) -> Arc<Maglev> {
        if let Some(table) = service.maglev.get() {
            return table.clone();
        }
        let table = Arc::new(Maglev::new(self.weights(service)));
        let is_kept =
            self.tables_kept.fetch_add(1, Relaxed) < TABLES_KEPT && service.maglev.set(table.clone()).is_ok();
        if !is_kept {
            self.tables_kept.fetch_sub(1, Relaxed);
        }
        table
    }

    fn weights<'a>(&self, service: &'a Service) -> impl Iterator<Item = (&'a str, u32)> {
        let weight = |at: &usize| self.slots.get(*at).map_or(0, Slot::weight);
        service.members.iter().map(move |(id, at)| (id.as_str(), weight(at)))
    }
}

/// What the instances that take a key's calls have in flight together.
struct Room<'a> {
    bounded: &'a Bounded,
    total: u64,
    weights: u64,
}

impl<'a> Room<'a> {
    fn new(registry: &Registry, now: Now, service: &Service, key: &[u8], bounded: &'a Bounded) -> Self {
        let mut room = Self { bounded, total: 0, weights: 0 };
        let members = service.members.values().filter_map(|at| registry.slots.get(*at));
        for slot in members.filter(|slot| slot.takes(now, key)) {
            room.total += u64::from(room.load(slot));
            room.weights += u64::from(slot.weight());
        }
        room
    }

    fn load(&self, slot: &Slot) -> u32 {
        self.bounded.in_flight.get(&slot.target.instance).copied().unwrap_or(0)
    }

    fn has(&self, slot: &Slot) -> bool {
        self.bounded.bound.admits(self.load(slot), slot.weight(), self.total, self.weights)
    }

    fn why_not(&self, slot: &Slot) -> String {
        let (id, load) = (&slot.target.instance, self.load(slot));
        format!("{id} has {load} of {} calls in flight, which is enough for its weight", self.total)
    }
}

/// How far an instance has warmed up: 1 once it has.
pub(crate) fn ramp(now: Now, from: identity::Mono, instance: &Instance) -> f64 {
    let over = instance.registration.warm_up.map(Duration::from).unwrap_or_default().as_secs_f64();
    let gone = now.mono.since(from).as_secs_f64();
    if over > 0.0 { (gone / over).min(1.0) } else { 1.0 }
}

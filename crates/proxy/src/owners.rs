//! Which endpoint a call's key belongs to.
//!
//! The table is built from everybody who is registered, whatever their status: so health that flaps moves
//! no key for good. Who looks a key up walks on past those that take no calls at the moment, and the
//! answer says whose key it is (home) and why somebody else has it.

use std::{collections::HashMap, sync::Arc};

use hash_ring::{Bound, Maglev, Ring, Walk};
use resilience::Algorithm;

use crate::{endpoint::Endpoint, routing::Seat};

/// The place of a call's key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    position: u64,
    /// Where it lies between 0 and 1, for endpoints that warm up.
    pub(crate) fraction: f64,
}

/// The owners of all keys, with the seats that they have.
#[derive(Debug, Clone)]
pub(crate) struct Owners {
    table: Arc<Table>,
    /// For each node of the table its endpoint, and its seat where calls go there.
    nodes: Vec<Node>,
    pub(crate) bound: Option<Bound>,
}

/// A node of the table.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) seat: Option<usize>,
}

/// The most changes that are made to a ring one by one; with more it is built anew.
const STEPS: usize = 8;

#[derive(Debug)]
enum Table {
    Ring(Ring),
    Maglev(Maglev),
}

impl Table {
    fn new(algorithm: Algorithm, members: &HashMap<&str, u32>) -> Self {
        let members = members.iter().map(|(id, weight)| (*id, *weight));
        match algorithm {
            Algorithm::Maglev => Self::Maglev(Maglev::new(members)),
            _ => Self::Ring(Ring::new(members)),
        }
    }

    fn nodes(&self) -> Vec<(&str, u32)> {
        match self {
            Self::Ring(ring) => ring.nodes().collect(),
            Self::Maglev(table) => table.nodes().collect(),
        }
    }

    fn is(&self, algorithm: Algorithm) -> bool {
        matches!(self, Self::Maglev(_)) == (algorithm == Algorithm::Maglev)
    }

    /// The table of these members, from this one where that is cheaper; `None` where it is the same.
    fn after(&self, algorithm: Algorithm, members: &HashMap<&str, u32>) -> Option<Self> {
        let known: HashMap<&str, u32> = self.nodes().into_iter().collect();
        let gone = known.keys().filter(|id| !members.contains_key(*id)).map(|id| (*id, 0));
        let changed = members.iter().filter(|(id, weight)| known.get(*id) != Some(weight));
        let steps: Vec<(&str, u32)> = gone.chain(changed.map(|(id, weight)| (*id, *weight))).collect();
        match self {
            _ if steps.is_empty() => None,
            Self::Ring(ring) if steps.len() <= STEPS => {
                let (first, rest) = steps.split_first()?;
                let ring = rest
                    .iter()
                    .fold(ring.with(first.0, first.1), |ring, (id, weight)| ring.with(id, *weight));
                Some(Self::Ring(ring))
            }
            _ => Some(Self::new(algorithm, members)),
        }
    }
}

impl Owners {
    /// The owners among these members with their weights; the table of `before` is used again as far as it
    /// is the same.
    pub(crate) fn new<'a>(
        algorithm: Algorithm,
        bounded: Option<f64>,
        members: impl Iterator<Item = (&'a Arc<Endpoint>, u32)>,
        seats: &[Seat],
        before: Option<&Owners>,
    ) -> Self {
        let by_id: HashMap<&str, (&Arc<Endpoint>, u32)> = members
            .filter(|(_, weight)| *weight > 0)
            .map(|(endpoint, weight)| (endpoint.instance.as_str(), (endpoint, weight)))
            .collect();
        let weights = by_id.iter().map(|(id, (_, weight))| (*id, *weight)).collect();
        let known = before.map(|before| &before.table).filter(|table| table.is(algorithm));
        let table = match known {
            Some(known) => known.after(algorithm, &weights).map_or_else(|| known.clone(), Arc::new),
            None => Arc::new(Table::new(algorithm, &weights)),
        };
        let seat_of: HashMap<*const Endpoint, usize> =
            seats.iter().enumerate().map(|(at, seat)| (Arc::as_ptr(&seat.endpoint), at)).collect();
        let node = |(id, _): (&str, u32)| {
            let (endpoint, _) = by_id.get(id)?;
            Some(Node { endpoint: (*endpoint).clone(), seat: seat_of.get(&Arc::as_ptr(endpoint)).copied() })
        };
        let nodes = table.nodes().into_iter().filter_map(node).collect();
        Self { table, nodes, bound: bounded.and_then(|bound| Bound::new(bound).ok()) }
    }

    /// Where a call's key lies.
    pub(crate) fn key(&self, key: &[u8]) -> Key {
        let position = match &*self.table {
            Table::Ring(ring) => ring.position(key),
            Table::Maglev(table) => table.position(key),
        };
        Key { position, fraction: hash_ring::fraction(key) }
    }

    /// The nodes in the order in which a key falls to them, its home first.
    pub(crate) fn walk(&self, key: Key) -> impl Iterator<Item = &Node> {
        let walk: Walk<'_> = match &*self.table {
            Table::Ring(ring) => ring.walk_from(key.position),
            Table::Maglev(table) => table.walk_from(key.position),
        };
        walk.filter_map(|node| self.nodes.get(node.index()))
    }
}

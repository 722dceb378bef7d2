//! The rings of others.

use std::net::SocketAddr;

use hash_ring::{Ring, Scheme};
use pingora_ketama::{Bucket, Continuum};

use super::{POINTS, Subject, address};
use crate::Failure;

pub(super) struct Pingora {
    buckets: Vec<Bucket>,
    continuum: Continuum,
}

impl Pingora {
    pub(super) fn new(names: &[String]) -> Result<Self, Failure> {
        let bucket = |name: &String| Ok::<_, Failure>(Bucket::new(name.parse()?, 1));
        let buckets = names.iter().map(bucket).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { continuum: Continuum::new(&buckets), buckets })
    }
}

impl Subject for Pingora {
    fn look_up(&self, keys: &[&str]) -> usize {
        keys.iter()
            .filter_map(|key| self.continuum.node(key.as_bytes()))
            .map(|node| usize::from(node.port()))
            .sum()
    }

    fn rebuild(&self) {
        std::hint::black_box(Continuum::new(&self.buckets));
    }
}

/// A point of a node, as hashring's documentation makes a node many times over.
#[derive(Debug, Clone, Hash)]
struct Point {
    node: SocketAddr,
    number: u16,
}

pub(super) struct HashRing {
    points: Vec<Point>,
    /// Those of the node that comes and goes.
    others: Vec<Point>,
    ring: hashring::HashRing<Point>,
}

impl HashRing {
    pub(super) fn new(names: &[String]) -> Result<Self, Failure> {
        let mut all = Vec::with_capacity(names.len() * POINTS);
        for name in names {
            all.extend(points(name)?);
        }
        let mut ring = hashring::HashRing::new();
        ring.batch_add(all.clone());
        Ok(Self { points: all, others: points(&address(names.len()))?, ring })
    }
}

fn points(name: &str) -> Result<Vec<Point>, Failure> {
    let node = name.parse()?;
    Ok((0..POINTS as u16).map(|number| Point { node, number }).collect())
}

impl Subject for HashRing {
    fn look_up(&self, keys: &[&str]) -> usize {
        keys.iter().filter_map(|key| self.ring.get(key)).map(|point| usize::from(point.node.port())).sum()
    }

    fn rebuild(&self) {
        let mut ring = hashring::HashRing::new();
        ring.batch_add(self.points.clone());
        std::hint::black_box(ring);
    }

    fn change(&mut self) -> Option<u32> {
        self.ring.batch_add(self.others.clone());
        for point in &self.others {
            self.ring.remove(point);
        }
        Some(2)
    }
}

/// Asks pingora's ring and ours of nginx's scheme for the owners of all keys. On how many they agree; the others
/// belong to points at which two servers meet, where the original leaves it to its sort who comes first.
pub(super) fn agree(names: &[String], keys: &[&str]) -> Result<usize, Failure> {
    let theirs = Pingora::new(names)?.continuum;
    let ours = Ring::with_scheme(Scheme::Nginx, names.iter().map(|name| (name, 1)));
    let mut agreed = 0;
    for key in keys {
        let wanted = theirs.node(key.as_bytes()).map(|node| node.to_string());
        let owner = ours.owner(key.as_bytes());
        if owner == wanted.as_deref() {
            agreed += 1;
            continue;
        }
        let position = ours.position(key.as_bytes());
        let without = owner.map(|owner| ours.without(owner));
        let met = without.is_some_and(|without| {
            without.point_of(position) == ours.point_of(position)
                && without.owner(key.as_bytes()) == wanted.as_deref()
        });
        if !met {
            return Err(format!("{key}: pingora-ketama says {wanted:?}, and we say {owner:?}").into());
        }
    }
    Ok(agreed)
}

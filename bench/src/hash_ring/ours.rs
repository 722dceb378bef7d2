//! Our ring and our table.

use hash_ring::{Maglev, Ring, Scheme};

use super::{Subject, address};

pub(super) struct OurRing {
    weight: u32,
    names: Vec<String>,
    positions: Vec<u64>,
    ring: Ring,
    /// The node that comes and goes.
    other: String,
}

impl OurRing {
    pub(super) fn new(scheme: Scheme, weight: u32, names: &[String], keys: &[&str]) -> Self {
        let ring = Ring::with_scheme(scheme, names.iter().map(|name| (name, weight)));
        let positions = keys.iter().map(|key| ring.position(key.as_bytes())).collect();
        Self { weight, names: names.to_vec(), positions, ring, other: address(names.len()) }
    }
}

impl Subject for OurRing {
    fn look_up(&self, keys: &[&str]) -> usize {
        keys.iter().filter_map(|key| self.ring.owner(key.as_bytes())).map(|name| name.as_ptr() as usize).sum()
    }

    fn look_up_positions(&self) -> Option<usize> {
        Some(self.positions.iter().filter_map(|key| self.ring.owner_of(*key)).map(|node| node.index()).sum())
    }

    fn rebuild(&self) {
        let nodes = self.names.iter().map(|name| (name, self.weight));
        std::hint::black_box(Ring::with_scheme(self.ring.scheme(), nodes));
    }

    fn change(&mut self) -> Option<u32> {
        self.ring = self.ring.with(&self.other, self.weight);
        self.ring = self.ring.without(&self.other);
        Some(2)
    }
}

pub(super) struct OurMaglev {
    names: Vec<String>,
    positions: Vec<u64>,
    table: Maglev,
}

impl OurMaglev {
    pub(super) fn new(names: &[String], keys: &[&str]) -> Self {
        let table = Maglev::new(names.iter().map(|name| (name, 1)));
        let positions = keys.iter().map(|key| table.position(key.as_bytes())).collect();
        Self { names: names.to_vec(), positions, table }
    }
}

impl Subject for OurMaglev {
    fn look_up(&self, keys: &[&str]) -> usize {
        keys.iter()
            .filter_map(|key| self.table.owner(key.as_bytes()))
            .map(|name| name.as_ptr() as usize)
            .sum()
    }

    fn look_up_positions(&self) -> Option<usize> {
        Some(self.positions.iter().filter_map(|key| self.table.owner_of(*key)).map(|node| node.index()).sum())
    }

    fn rebuild(&self) {
        std::hint::black_box(Maglev::new(self.names.iter().map(|name| (name, 1))));
    }
}

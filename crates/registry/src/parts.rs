//! How the keys of a service are shared out among its members.

use std::collections::HashMap;

use hash_ring::{Node, Ring};
use identity::{InstanceId, Namespace, ServiceName};

use crate::{Algorithm, MadeRing, Registry, Status, owner::Table, roll::Service};

/// The members of a service with what they have of its keys. It is a copy: what takes long, counting,
/// needs no registry.
#[derive(Debug)]
pub struct Parts {
    /// The revision of the service's last change.
    pub revision: u64,
    algorithm: Algorithm,
    table: Table,
    members: Vec<(InstanceId, u32, Status)>,
}

/// What a member has of the keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Which member.
    pub instance: InstanceId,
    /// Its share relative to its siblings.
    pub weight: u32,
    /// Its status; the keys of one that takes no calls go to others meanwhile.
    pub status: Status,
    /// Its points on the circle, or its slots of the table.
    pub points: u64,
    /// Its part of the space of keys, from 0 to 1.
    pub share: f64,
}

impl Registry {
    /// What the keys of a service are looked up in; `None` where it is not there.
    pub fn parts(&self, namespace: &Namespace, service: &ServiceName, algorithm: Algorithm) -> Option<Parts> {
        let service = self.service_at(namespace, service)?;
        Some(self.parts_in(self.table(service, algorithm), service, algorithm))
    }

    /// The same of a ring that was made before, for the algorithms that need one.
    pub fn parts_on(&self, ring: &MadeRing, algorithm: Algorithm) -> Option<Parts> {
        let service = self.service_at(&ring.namespace, &ring.service)?;
        Some(self.parts_in(Table::Ring(ring.ring().clone()), service, algorithm))
    }

    fn parts_in(&self, table: Table, service: &Service, algorithm: Algorithm) -> Parts {
        let slots = service.members.values().filter_map(|at| self.slots.get(*at));
        let member =
            |slot: &crate::roll::Slot| (slot.target.instance.clone(), slot.weight(), slot.instance.status);
        let members = slots.map(member).collect();
        Parts { revision: service.revision, algorithm, table, members }
    }
}

impl Parts {
    /// The part of each member, by id. Counts every point: some 100 µs for ten members, some seconds
    /// for 100,000.
    pub fn count(self) -> Vec<Part> {
        let found: HashMap<&str, (u64, f64)> = match &self.table {
            Table::Ring(ring) => {
                let shares = match self.algorithm {
                    Algorithm::Nearest => nearest_shares(ring),
                    _ => ring.shares().map(|(_, share)| share.fraction()).collect(),
                };
                let points = ring.nodes().filter_map(|(name, _)| Some(ring.points_of(ring.node(name)?)));
                let names = ring.nodes().map(|(name, _)| name);
                names.zip(points.map(u64::from).zip(shares)).collect()
            }
            Table::Maglev(table) => {
                let slots = |share: hash_ring::Share| (share.parts().0 as u64, share.fraction());
                table.shares().map(|(name, share)| (name, slots(share))).collect()
            }
        };
        let part = |(instance, weight, status): &(InstanceId, u32, Status)| {
            let (points, share) = found.get(instance.as_str()).copied().unwrap_or_default();
            Part { instance: instance.clone(), weight: *weight, status: *status, points, share }
        };
        self.members.iter().map(part).collect()
    }
}

/// The part of the circle that is nearest to one of each node's points, in the order of the nodes: half of
/// the way to the points before and after each.
fn nearest_shares(ring: &Ring) -> Vec<f64> {
    let mut nearest = vec![0_u128; ring.len()];
    let Some(first) = ring.point_of(0) else { return Vec::new() };
    let owner = |point: u64| ring.owner_of(point).map_or(0, Node::index);
    let mut behind = first;
    loop {
        let ahead = ring.point_of(behind.wrapping_add(1)).unwrap_or(first);
        // A circle with a single point is all that point's.
        let gap = match ahead.wrapping_sub(behind) {
            0 => 1 << 64,
            gap => u128::from(gap),
        };
        // The positions between the two, of which the one in the middle is the later's, like its own.
        let back = (gap - 1) / 2;
        nearest[owner(behind)] += back;
        nearest[owner(ahead)] += gap - back;
        behind = ahead;
        if behind == first {
            break;
        }
    }
    nearest.into_iter().map(|part| part as f64 / 2_f64.powi(64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_nearest_points_are_those_that_lookups_find() {
        let ring = Ring::new([("a", 100), ("b", 50), ("c", 10)]);
        let shares = nearest_shares(&ring);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{shares:?}");
        let mut found = [0_u32; 3];
        const KEYS: u32 = 100_000;
        for key in 0..KEYS {
            let position = u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            found[ring.nearest_to(position).unwrap().index()] += 1;
        }
        for (share, found) in shares.iter().zip(found) {
            let found = f64::from(found) / f64::from(KEYS);
            assert!((share - found).abs() < 0.005, "{share} of the circle, {found} of the keys");
        }
        assert_eq!(nearest_shares(&Ring::new([("a", 1)])), [1.0]);
    }
}

//! Which node owns a key, and how little moves when nodes come and go.
//!
//! A [`Ring`] puts each node on a circle of 2^64 positions many times over; a key belongs to the node
//! at the first point at or after the key's own position (Karger et al., "Consistent Hashing and
//! Random Trees", STOC 1997). Removing a node moves the keys that it owned and no others.
//!
//! The points are XXH64, seed 0, of `{node}_{i}`, as Envoy and gRPC place theirs; a node of weight 100
//! has 160 of them, and a node's points do not depend on who else is there.
//!
//! **Absent on purpose:** no I/O, no clock, no health: whoever looks up walks past the nodes that he
//! does not want.
//!
//! ```
//! use hash_ring::Ring;
//!
//! let ring = Ring::new([("a", 100), ("b", 100), ("c", 100)]);
//! let owner = ring.owner(b"user-42").unwrap();
//! assert_eq!(ring.walk(b"user-42").next(), Some(owner));
//! assert_eq!(ring.walk(b"user-42").count(), 3, "walking on names each node once");
//! ```

use twox_hash::XxHash64;

/// Points of a node of weight 100.
pub const POINTS_PER_100: u32 = 160;

/// Nodes on a circle, immutable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ring {
    nodes: Vec<Box<str>>,
    /// Position and node, by position; where two nodes share a position, by name.
    points: Vec<(u64, u32)>,
}

fn hash(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// Where a key lies between 0 and 1: the same everywhere, and independent of its place on a ring.
pub fn share(key: &[u8]) -> f64 {
    // The upper 53 bits are all that a double can tell apart.
    (XxHash64::oneshot(1, key) >> 11) as f64 / (1_u64 << 53) as f64
}

impl Ring {
    /// The ring of these nodes with their weights. The order in which they are given does not matter;
    /// a node of weight 0 is not on the ring; of a node given twice the first weight holds.
    pub fn new<N: AsRef<str>>(nodes: impl IntoIterator<Item = (N, u32)>) -> Self {
        let mut nodes: Vec<(Box<str>, u32)> =
            nodes.into_iter().map(|(n, weight)| (n.as_ref().into(), weight)).collect();
        nodes.sort_by(|a, b| a.0.cmp(&b.0));
        nodes.dedup_by(|b, a| a.0 == b.0);
        let mut points = Vec::new();
        let mut text = String::new();
        for (index, (name, weight)) in (0_u32..).zip(&nodes) {
            for i in 0..weight.saturating_mul(POINTS_PER_100) / 100 {
                text.clear();
                text.push_str(name);
                text.push('_');
                text.push_str(&i.to_string());
                points.push((hash(text.as_bytes()), index));
            }
        }
        points.sort_unstable();
        Self { nodes: nodes.into_iter().map(|(name, _)| name).collect(), points }
    }

    /// The node at the first point at or after the key's position, or `None` on an empty ring.
    pub fn owner(&self, key: &[u8]) -> Option<&str> {
        let (_, node) = self.points.get(self.first(key)).or(self.points.first())?;
        Some(&self.nodes[*node as usize])
    }

    /// The nodes in the order in which a key falls to them, each once, the owner first.
    pub fn walk(&self, key: &[u8]) -> impl Iterator<Item = &str> {
        let (before, after) = self.points.split_at(self.first(key));
        let mut seen = vec![false; self.nodes.len()];
        after.iter().chain(before).filter_map(move |(_, node)| {
            let node = *node as usize;
            (!std::mem::replace(&mut seen[node], true)).then(|| &*self.nodes[node])
        })
    }

    fn first(&self, key: &[u8]) -> usize {
        let position = hash(key);
        self.points.partition_point(|(point, _)| *point < position)
    }
}

#[cfg(test)]
mod tests;

//! Nodes in a table.

use twox_hash::XxHash64;

use crate::{
    Bound, Move, Node, Share, Walk,
    nodes::Nodes,
    share::{self, Stretch},
};

/// Maglev: a table of slots in which each node has its part, so that a lookup is one access and loads are as even
/// as can be (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016,
/// section 3.4).
///
/// As in Envoy: a node's preferences begin at XXH64(name, seed 0) mod M and go on in steps of XXH64(name,
/// seed 1) mod (M − 1) + 1; nodes choose in the order of names; a node chooses in as many of the rounds as
/// its weight is of the heaviest one's. A key is in slot XXH64(key, seed 0) mod M.
///
/// A change of a node is a new table, and a few slots move between nodes that were there before and after:
/// that is the price of the evenness. A [`Ring`](crate::Ring) moves none. It takes 4 bytes a slot: 256 KiB
/// with the default size.
#[derive(Clone, PartialEq, Eq)]
pub struct Maglev {
    nodes: Nodes,
    size: TableSize,
    /// The sum of all weights.
    weight: u64,
    /// The node of each slot; empty without nodes.
    slots: Vec<u32>,
}

/// How many slots a table has: a prime number, so that each node's steps come to every slot.
///
/// With a hundred slots or more for each node their shares differ by one in a hundred at most. Nodes beyond
/// the number of slots own nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSize {
    slots: u32,
    /// 2^64 / slots, rounded down, so that a remainder takes a multiplication and no division.
    reciprocal: u64,
}

/// A number of slots that is not prime or too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSizeError(u32);

impl TableSize {
    /// The most slots that a table may have, as in Envoy: 20 MB.
    pub const LIMIT: u32 = 5_000_011;

    /// A table of this many slots, which has to be a prime number up to [`TableSize::LIMIT`].
    pub fn new(slots: u32) -> Result<Self, TableSizeError> {
        let prime = slots > 1 && (2..=slots.isqrt()).all(|divisor| !slots.is_multiple_of(divisor));
        if prime && slots <= Self::LIMIT { Ok(Self::of(slots)) } else { Err(TableSizeError(slots)) }
    }

    const fn of(slots: u32) -> Self {
        Self { slots, reciprocal: u64::MAX / slots as u64 }
    }

    /// How many slots these are.
    pub fn slots(self) -> u32 {
        self.slots
    }

    /// The remainder of a position by the number of slots.
    fn slot(self, position: u64) -> usize {
        let slots = u64::from(self.slots);
        // The reciprocal is less than one too small, so the quotient is the right one or one too small.
        let quotient = ((u128::from(position) * u128::from(self.reciprocal)) >> 64) as u64;
        let rest = position - quotient * slots;
        (if rest >= slots { rest - slots } else { rest }) as usize
    }
}

impl Default for TableSize {
    /// 65,537 slots, the smaller of the sizes in the paper and Envoy's default.
    fn default() -> Self {
        const { Self::of(65_537) }
    }
}

impl std::fmt::Display for TableSizeError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let limit = TableSize::LIMIT;
        write!(out, "table size {}: give a prime number up to {limit}, such as 65537", self.0)
    }
}

impl std::error::Error for TableSizeError {}

impl Maglev {
    /// The table of these nodes with their weights, of 65,537 slots. The order in which they are given does
    /// not matter; a node of weight 0 is not in the table; of a node given twice the first weight holds.
    pub fn new<N: AsRef<str>>(nodes: impl IntoIterator<Item = (N, u32)>) -> Self {
        Self::with_size(TableSize::default(), nodes)
    }

    /// The table of another size; otherwise as [`Maglev::new`].
    pub fn with_size<N: AsRef<str>>(size: TableSize, nodes: impl IntoIterator<Item = (N, u32)>) -> Self {
        Self::of(size, Nodes::new(nodes))
    }

    fn of(size: TableSize, nodes: Nodes) -> Self {
        let weight = nodes.iter().map(|(_, weight)| u64::from(weight)).sum();
        Self { weight, slots: fill(size, &nodes), size, nodes }
    }

    /// The table with this node at this weight, whether it was there or not; 0 takes it away. It is built anew.
    #[must_use]
    pub fn with(&self, name: &str, weight: u32) -> Self {
        Self::of(self.size, self.nodes.with(name, weight).0)
    }

    /// The table without this node; see [`Maglev::with`].
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        self.with(name, 0)
    }

    /// How many slots there are.
    pub fn size(&self) -> TableSize {
        self.size
    }

    /// The nodes with their weights, by name.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (&str, u32)> {
        self.nodes.iter()
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node, and so no owner of anything.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 0
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<Node> {
        self.nodes.find(name).map(Node)
    }

    /// The name of a node of this table.
    ///
    /// # Panics
    /// For a node of a larger table.
    pub fn name(&self, node: Node) -> &str {
        self.nodes.name(node.0)
    }

    /// The weight of a node of this table.
    ///
    /// # Panics
    /// For a node of a larger table.
    pub fn weight(&self, node: Node) -> u32 {
        self.nodes.weight(node.0)
    }

    /// The key's hash. It is also its position on a [`Ring`](crate::Ring) of our own scheme.
    pub fn position(&self, key: &[u8]) -> u64 {
        XxHash64::oneshot(0, key)
    }

    /// The node in the key's slot, or `None` without nodes.
    pub fn owner(&self, key: &[u8]) -> Option<&str> {
        self.owner_of(self.position(key)).map(|node| self.name(node))
    }

    /// The node in this position's slot, or `None` without nodes.
    pub fn owner_of(&self, position: u64) -> Option<Node> {
        self.slots.get(self.size.slot(position)).copied().map(Node)
    }

    /// The nodes in the order in which a key falls to them, each once, the owner first: those of the slots
    /// that follow.
    pub fn walk(&self, key: &[u8]) -> impl Iterator<Item = &str> {
        self.walk_from(self.position(key)).map(|node| self.name(node))
    }

    /// The nodes in the order in which this position falls to them; see [`Maglev::walk`].
    pub fn walk_from(&self, position: u64) -> Walk<'_> {
        Walk::new(self.round(position), self.nodes.len())
    }

    /// The slots from this position's on, and then those before it.
    fn round(&self, position: u64) -> (&[u32], &[u32]) {
        let (before, after) = self.slots.split_at(self.size.slot(position).min(self.slots.len()));
        (after, before)
    }

    /// The first node on the way from this position that has room for one call more within the bound; see
    /// [`Ring::bounded`](crate::Ring::bounded).
    pub fn bounded(
        &self,
        position: u64,
        bound: Bound,
        total: u64,
        load: impl Fn(Node) -> u32,
    ) -> Option<Node> {
        let admits = |node: &Node| bound.admits(load(*node), self.weight(*node), total, self.weight);
        let (on, before) = self.round(position);
        on.iter().chain(before).map(|node| Node(*node)).find(admits)
    }

    /// Each node with its share of the slots.
    pub fn shares(&self) -> impl ExactSizeIterator<Item = (&str, Share)> {
        let shares = share::shares(self.stretches(), self.nodes.len(), self.size.slots.into());
        self.nodes.iter().map(|(name, _)| name).zip(shares)
    }

    /// Which share of the slots moved from whom to whom between this table and a newer one. `None` where
    /// their sizes differ, so that no slot can be followed.
    pub fn diff<'a>(&'a self, newer: &'a Maglev) -> Option<Vec<Move<'a>>> {
        let side = |table: &'a Maglev| (&table.nodes, table.stretches());
        (self.size == newer.size).then(|| share::moves(side(self), side(newer), self.size.slots.into()))
    }

    /// A stretch for each slot; one for all of them without nodes.
    fn stretches(&self) -> impl Iterator<Item = Stretch> {
        let slots = u128::from(self.size.slots);
        let nobody = self.slots.is_empty().then_some((slots, None));
        (1..).zip(self.slots.iter().map(|node| Some(*node))).chain(nobody)
    }
}

impl std::fmt::Debug for Maglev {
    /// Without the slots, which nobody could read.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { nodes, size, .. } = self;
        out.debug_struct("Maglev").field("nodes", nodes).field("slots", &size.slots).finish_non_exhaustive()
    }
}

/// Where a node looks for its next slot.
struct Chooser {
    slot: u32,
    step: u32,
    weight: u64,
    /// What the round's number times the weight has to reach for the node to choose.
    due: u64,
}

/// Rounds in which each node takes the first slot of its own order that is free, until none is.
fn fill(size: TableSize, nodes: &Nodes) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    let count = size.slots;
    let heaviest = nodes.iter().map(|(_, weight)| u64::from(weight)).max().unwrap_or(0);
    let mut choosers: Vec<Chooser> = nodes
        .iter()
        .map(|(name, weight)| Chooser {
            slot: size.slot(XxHash64::oneshot(0, name.as_bytes())) as u32,
            step: (XxHash64::oneshot(1, name.as_bytes()) % u64::from(count - 1)) as u32 + 1,
            weight: weight.into(),
            due: 0,
        })
        .collect();
    if choosers.is_empty() {
        return Vec::new();
    }
    let mut slots = vec![FREE; count as usize];
    let mut free = count;
    // Round times weight stays below 2^55: the heaviest node chooses in each round.
    for round in 1.. {
        for (node, chooser) in (0_u32..).zip(&mut choosers) {
            if round * chooser.weight < chooser.due {
                continue;
            }
            chooser.due += heaviest;
            while slots[chooser.slot as usize] != FREE {
                chooser.go_on(count);
            }
            slots[chooser.slot as usize] = node;
            free -= 1;
            if free == 0 {
                return slots;
            }
            chooser.go_on(count);
        }
    }
    slots
}

impl Chooser {
    fn go_on(&mut self, slots: u32) {
        let slot = self.slot + self.step;
        self.slot = if slot >= slots { slot - slots } else { slot };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remainder_without_a_division_is_the_remainder() {
        for slots in [2, 3, 7, 65_537, 655_373, TableSize::LIMIT] {
            let size = TableSize::new(slots).unwrap();
            let multiples = [0, 1, 2, u64::MAX / u64::from(slots)].map(|n| n * u64::from(slots));
            let near = multiples.into_iter().flat_map(|n| [n.wrapping_sub(1), n, n.wrapping_add(1)]);
            let scattered = (0..10_000).map(|n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            for position in near.chain(scattered).chain([u64::MAX]) {
                assert_eq!(size.slot(position) as u64, position % u64::from(slots), "{position} by {slots}");
            }
        }
    }

    #[test]
    fn sizes_that_are_not_prime_are_refused() {
        for slots in [0, 1, 4, 9, 65_536, 5_000_013, u32::MAX] {
            assert!(TableSize::new(slots).is_err(), "{slots}");
        }
        let error = TableSize::new(100).unwrap_err().to_string();
        assert_eq!(error, "table size 100: give a prime number up to 5000011, such as 65537");
    }
}

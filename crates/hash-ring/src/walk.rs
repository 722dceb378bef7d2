//! From node to node, each once: around the circle or the table, or by how near they are.

use std::{iter::Chain, slice::Iter};

use crate::{nodes::Node, points};

/// How many nodes can be told apart without memory of their own.
const INLINE: usize = 1_024;
/// How many nodes of more than that are remembered one by one before it takes memory.
const LISTED: usize = 16;

/// The nodes in the order in which a key falls to them, each once, the owner first.
///
/// It allocates nothing with up to 1,024 nodes; with more, nothing for the first 16 nodes and then a bit
/// for each node.
#[derive(Debug, Clone)]
pub struct Walk<'a> {
    owners: Chain<Iter<'a, u32>, Iter<'a, u32>>,
    /// How many nodes are left to be met at most, so that nobody goes around for the last ones twice.
    left: usize,
    seen: Seen,
}

impl<'a> Walk<'a> {
    /// Goes through the owners of points or slots, first these and then those.
    pub(crate) fn new((first, then): (&'a [u32], &'a [u32]), nodes: usize) -> Self {
        Self { owners: first.iter().chain(then), left: nodes, seen: Seen::new(nodes) }
    }
}

impl Iterator for Walk<'_> {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        if self.left == 0 {
            return None;
        }
        let Self { owners, seen, left } = self;
        let node = *owners.find(|node| seen.is_new(**node))?;
        *left -= 1;
        Some(Node(node))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

/// The nodes by how near their nearest point is to a position, in either direction, each once; see
/// [`Ring::nearby`](crate::Ring::nearby). It allocates as little as a [`Walk`].
#[derive(Clone)]
pub struct Nearby<'a> {
    owners: points::Nearby<'a>,
    left: usize,
    seen: Seen,
}

impl<'a> Nearby<'a> {
    pub(crate) fn new(owners: points::Nearby<'a>, nodes: usize) -> Self {
        Self { owners, left: nodes, seen: Seen::new(nodes) }
    }
}

impl Iterator for Nearby<'_> {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        if self.left == 0 {
            return None;
        }
        let Self { owners, seen, left } = self;
        let node = owners.find(|node| seen.is_new(*node))?;
        *left -= 1;
        Some(Node(node))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl std::fmt::Debug for Nearby<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Nearby").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Which nodes were met.
#[derive(Debug, Clone)]
struct Seen {
    nodes: usize,
    /// A bit for each node where these are enough; the first few nodes otherwise.
    inline: [u64; INLINE / 64],
    /// How many nodes are in the list.
    listed: usize,
    /// A bit for each node, once the list is full.
    bits: Vec<u64>,
}

impl Seen {
    fn new(nodes: usize) -> Self {
        Self { nodes, inline: [0; INLINE / 64], listed: 0, bits: Vec::new() }
    }

    fn is_new(&mut self, node: u32) -> bool {
        if self.nodes <= INLINE {
            return set(&mut self.inline, node.into());
        }
        if !self.bits.is_empty() {
            return set(&mut self.bits, node.into());
        }
        if self.inline[..self.listed].contains(&node.into()) {
            return false;
        }
        if self.listed < LISTED {
            self.inline[self.listed] = node.into();
            self.listed += 1;
            return true;
        }
        self.bits = vec![0; self.nodes.div_ceil(64)];
        for listed in self.inline {
            set(&mut self.bits, listed);
        }
        set(&mut self.bits, node.into())
    }
}

/// Sets a bit, and says whether it was not set before.
fn set(bits: &mut [u64], bit: u64) -> bool {
    let (word, mask) = ((bit / 64) as usize, 1 << (bit % 64));
    let new = bits[word] & mask == 0;
    bits[word] |= mask;
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_is_met_once_however_many_there_are() {
        for nodes in [1, 2, 16, 17, 1_024, 1_025, 5_000] {
            // Every node three times, and the first twice in a row.
            let owners: Vec<u32> = (0..nodes).chain((0..nodes).rev()).chain(0..nodes).collect();
            let (before, after) = owners.split_at(owners.len() / 2);
            let met: Vec<u32> = Walk::new((after, before), nodes as usize).map(|node| node.0).collect();
            let mut sorted = met.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..nodes).collect::<Vec<_>>(), "of {nodes}");
            assert_eq!(met.first(), after.first());
        }
    }

    #[test]
    fn the_list_holds_as_many_nodes_as_there_is_room_for() {
        assert_eq!(LISTED, INLINE / 64);
    }
}

//! The nodes of a ring or a table: sorted by name, each once.
//!
//! Everything that is built from nodes is built in this order, so that the order in which a caller
//! knows them cannot matter, and so that of two nodes the one with the lower index has the lower name.

use std::sync::Arc;

/// A node of one ring or one table, as a number that costs nothing to keep or to compare.
///
/// It is valid for the ring or table that gave it out; another one, also the same one after a change,
/// numbers its nodes anew. [`Node::index`] is below the number of nodes, so that a caller can keep what he
/// knows of nodes in a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(pub(crate) u32);

impl Node {
    /// The node's place in the order of names, from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Names with their weights; no weight is 0. Names are shared with the rings before and after a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Nodes(Vec<(Arc<str>, u32)>);

/// What one change did to the numbers of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Every node kept its number.
    Kept,
    /// A node came, and those from this number on moved up.
    Inserted(u32),
    /// This node went, and those after it moved down.
    Removed(u32),
}

impl Nodes {
    /// Nodes of weight 0 are left out; of a node given twice the first weight holds.
    pub(crate) fn new<N: AsRef<str>>(nodes: impl IntoIterator<Item = (N, u32)>) -> Self {
        let mut nodes: Vec<(Arc<str>, u32)> =
            nodes.into_iter().map(|(name, weight)| (name.as_ref().into(), weight)).collect();
        // Stable, or the first weight would not be the first any more.
        nodes.sort_by(|a, b| a.0.cmp(&b.0));
        nodes.dedup_by(|second, first| first.0 == second.0);
        nodes.retain(|(_, weight)| *weight > 0);
        Self(nodes)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, u32)> {
        self.0.iter().map(|(name, weight)| (&**name, *weight))
    }

    pub(crate) fn name(&self, node: u32) -> &str {
        &self.0[node as usize].0
    }

    pub(crate) fn weight(&self, node: u32) -> u32 {
        self.0[node as usize].1
    }

    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.place(name).ok().map(|at| at as u32)
    }

    /// Where a name is, or where it would be.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(name))
    }

    /// The nodes with one of them at this weight, which may be new; 0 takes it away.
    pub(crate) fn with(&self, name: &str, weight: u32) -> (Self, Edit) {
        let mut nodes = self.0.clone();
        let edit = match self.place(name) {
            Ok(at) if weight == 0 => {
                nodes.remove(at);
                Edit::Removed(at as u32)
            }
            Ok(at) => {
                nodes[at].1 = weight;
                Edit::Kept
            }
            Err(_) if weight == 0 => Edit::Kept,
            Err(at) => {
                nodes.insert(at, (name.into(), weight));
                Edit::Inserted(at as u32)
            }
        };
        (Self(nodes), edit)
    }
}

impl Edit {
    /// The number that a node has after the change. The one that went has none; it is not asked for.
    pub(crate) fn renumber(self, node: u32) -> u32 {
        match self {
            Edit::Kept => node,
            Edit::Inserted(at) => node + u32::from(node >= at),
            Edit::Removed(at) => node - u32::from(node > at),
        }
    }
}

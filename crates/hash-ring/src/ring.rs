//! Nodes on a circle.

use crate::{
    Bound, Move, Nearby, Node, Scheme, Share, Walk,
    nodes::{Edit, Nodes},
    points::Points,
    share,
};

/// How many positions a circle has.
const CIRCLE: u128 = 1 << 64;

/// Nodes on a circle, immutable; a change makes another one. Equal rings answer alike.
///
/// It takes about 20 bytes a point: 3 KiB for a node of weight 100, 3 MiB for 1,000 of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Ring {
    scheme: Scheme,
    nodes: Nodes,
    /// How many points each node has.
    counts: Vec<u32>,
    /// The sum of the weights of nodes that have a point.
    weight: u64,
    points: Points,
}

impl Ring {
    /// The ring of these nodes with their weights, by our own [`Scheme`]. The order in which they are given
    /// does not matter; a node of weight 0 is not on the ring; of a node given twice the first weight holds.
    ///
    /// There are at most [`POINTS_MAX`](crate::POINTS_MAX) points, or one a node where that is more. With weights that want more,
    /// all have half as many, or a quarter, and so on; the ring is then less even, and the step from one to
    /// the other moves keys.
    pub fn new<N: AsRef<str>>(nodes: impl IntoIterator<Item = (N, u32)>) -> Self {
        Self::with_scheme(Scheme::default(), nodes)
    }

    /// The ring as another system would build it, in that system's weights; otherwise as [`Ring::new`].
    pub fn with_scheme<N: AsRef<str>>(scheme: Scheme, nodes: impl IntoIterator<Item = (N, u32)>) -> Self {
        let nodes = Nodes::new(nodes);
        let counts = scheme.counts(&nodes);
        let mut points = Vec::with_capacity(counts.iter().map(|count| *count as usize).sum());
        for (node, ((name, _), count)) in (0_u32..).zip(nodes.iter().zip(&counts)) {
            scheme.points(name, 0..*count, |position| points.push((position, node)));
        }
        Self::of(scheme, nodes, counts, Points::new(&points))
    }

    /// The ring with this node at this weight, whether it was there or not; 0 takes it away.
    ///
    /// Equal to a ring built anew, at a small part of the cost: only points that come or go are hashed,
    /// the others are copied. Numbers of nodes are those of the new ring.
    #[must_use]
    pub fn with(&self, name: &str, weight: u32) -> Self {
        let (nodes, edit) = self.nodes.with(name, weight);
        let counts = self.scheme.counts(&nodes);
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        if let Edit::Inserted(new) = edit {
            self.scheme.points(name, 0..counts[new as usize], |position| come.push((position, new)));
        }
        // Where a scheme shares out its points, also others can have more or fewer of them now.
        for (old, ((name, _), had)) in (0_u32..).zip(self.nodes.iter().zip(&self.counts)) {
            let new = edit.renumber(old);
            let has = if edit == Edit::Removed(old) { 0 } else { counts[new as usize] };
            self.scheme.points(name, *had..has, |position| come.push((position, new)));
            self.scheme.points(name, has..*had, |position| gone.push((position, old)));
        }
        Self::of(self.scheme, nodes, counts, self.points.changed(gone, come, edit))
    }

    /// The ring without this node; see [`Ring::with`].
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        self.with(name, 0)
    }

    fn of(scheme: Scheme, nodes: Nodes, counts: Vec<u32>, points: Points) -> Self {
        let weight = nodes.iter().zip(&counts).filter(|(_, count)| **count > 0);
        let weight = weight.map(|((_, weight), _)| u64::from(weight)).sum();
        Self { scheme, nodes, counts, weight, points }
    }

    /// How keys and nodes are placed.
    pub fn scheme(&self) -> Scheme {
        self.scheme
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

    /// How many points there are.
    pub fn points(&self) -> usize {
        self.points.len()
    }

    /// How many points a node of this ring has.
    ///
    /// # Panics
    /// For a node of a larger ring.
    pub fn points_of(&self, node: Node) -> u32 {
        self.counts[node.index()]
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<Node> {
        self.nodes.find(name).map(Node)
    }

    /// The name of a node of this ring.
    ///
    /// # Panics
    /// For a node of a larger ring.
    pub fn name(&self, node: Node) -> &str {
        self.nodes.name(node.0)
    }

    /// The weight of a node of this ring.
    ///
    /// # Panics
    /// For a node of a larger ring.
    pub fn weight(&self, node: Node) -> u32 {
        self.nodes.weight(node.0)
    }

    /// Where a key is on the circle. Who looks it up more than once, or on several rings, hashes it once.
    pub fn position(&self, key: &[u8]) -> u64 {
        self.scheme.position(key)
    }

    /// The node at the first point at or after the key's position, or `None` on an empty ring.
    pub fn owner(&self, key: &[u8]) -> Option<&str> {
        self.owner_of(self.position(key)).map(|node| self.name(node))
    }

    /// The node at the first point at or after this position, or `None` on an empty ring.
    pub fn owner_of(&self, position: u64) -> Option<Node> {
        self.points.owner(self.points.first(position)).map(Node)
    }

    /// The first point at or after this position, past the last one the first: where [`Ring::owner_of`] finds
    /// its node. Schemes of 32 bits have theirs in the upper half.
    pub fn point_of(&self, position: u64) -> Option<u64> {
        self.points.position(self.points.first(position))
    }

    /// The node at the point that is nearest to the key's position, before it or after; of two as near the
    /// one after it.
    pub fn nearest(&self, key: &[u8]) -> Option<&str> {
        self.nearest_to(self.position(key)).map(|node| self.name(node))
    }

    /// The node at the point that is nearest to this position; see [`Ring::nearest`].
    pub fn nearest_to(&self, position: u64) -> Option<Node> {
        self.points.owner(self.points.nearest(position)).map(Node)
    }

    /// The nodes in the order in which a key falls to them, each once, the owner first.
    pub fn walk(&self, key: &[u8]) -> impl Iterator<Item = &str> {
        self.walk_from(self.position(key)).map(|node| self.name(node))
    }

    /// The nodes in the order in which this position falls to them, each once, the owner first.
    pub fn walk_from(&self, position: u64) -> Walk<'_> {
        Walk::new(self.points.round(self.points.first(position)), self.nodes.len())
    }

    /// The nodes by how near their nearest point is to the key's position, before it or after: whom a key
    /// falls to where the [nearest](Ring::nearest) takes it first, and whoever is nearest of the others next.
    pub fn nearby(&self, key: &[u8]) -> impl Iterator<Item = &str> {
        self.nearby_from(self.position(key)).map(|node| self.name(node))
    }

    /// The nodes by how near their nearest point is to this position; see [`Ring::nearby`].
    pub fn nearby_from(&self, position: u64) -> Nearby<'_> {
        Nearby::new(self.points.nearby(position), self.nodes.len())
    }

    /// The first node on the way from this position that has room for one call more within the bound; see
    /// [`Bound`]. `load` says how many calls each node has, and `total` is their sum.
    ///
    /// `None` on an empty ring, or where the loads are more than `total` says, so that nobody has room: loads
    /// that others change meanwhile are read once, before. Who may not choose every node asks
    /// [`Bound::admits`] on a [walk](Ring::walk_from).
    pub fn bounded(
        &self,
        position: u64,
        bound: Bound,
        total: u64,
        load: impl Fn(Node) -> u32,
    ) -> Option<Node> {
        let admits = |node: &Node| bound.admits(load(*node), self.weight(*node), total, self.weight);
        let (on, before) = self.points.round(self.points.first(position));
        on.iter().chain(before).map(|node| Node(*node)).find(admits)
    }

    /// How far two nodes are from each other: the shorter of the two arcs between their points 0, in
    /// positions, of which the circle has 2^64. `None` where one of them is not on the ring.
    pub fn distance(&self, a: &str, b: &str) -> Option<u64> {
        let place = |name| {
            let node = self.nodes.find(name).filter(|node| self.counts[*node as usize] > 0)?;
            Some(self.scheme.first_point(self.nodes.name(node)))
        };
        let ahead = place(a)?.wrapping_sub(place(b)?);
        Some(ahead.min(ahead.wrapping_neg()))
    }

    /// Each node with its share of the circle, exactly.
    pub fn shares(&self) -> impl ExactSizeIterator<Item = (&str, Share)> {
        let shares = share::shares(self.points.arcs(), self.nodes.len(), CIRCLE);
        self.nodes.iter().map(|(name, _)| name).zip(shares)
    }

    /// Which share of the circle moved from whom to whom between this ring and a newer one, exactly.
    /// `None` where their schemes place keys differently, so that no key can be followed.
    pub fn diff<'a>(&'a self, newer: &'a Ring) -> Option<Vec<Move<'a>>> {
        let side = |ring: &'a Ring| (&ring.nodes, ring.points.arcs());
        self.scheme.hashes_like(newer.scheme).then(|| share::moves(side(self), side(newer), CIRCLE))
    }
}

impl std::fmt::Debug for Ring {
    /// Without the points, which nobody could read.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { scheme, nodes, points, .. } = self;
        out.debug_struct("Ring")
            .field("scheme", scheme)
            .field("nodes", nodes)
            .field("points", &points.len())
            .finish_non_exhaustive()
    }
}

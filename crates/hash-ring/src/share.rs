//! Parts of the space of keys, and what moves from whom to whom.
//!
//! Counted and not sampled: both a ring and a table give a row of stretches with an owner each, and two such
//! rows are gone through side by side.

use std::collections::BTreeMap;

use crate::nodes::Nodes;

/// A part of the space of keys, as a whole number of positions of a ring or slots of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    part: u128,
    whole: u128,
}

impl Share {
    /// The part, from 0 to 1.
    pub fn fraction(self) -> f64 {
        if self.whole == 0 { 0.0 } else { self.part as f64 / self.whole as f64 }
    }

    /// Positions or slots, and how many there are in all: 2^64 for a ring.
    pub fn parts(self) -> (u128, u128) {
        (self.part, self.whole)
    }
}

/// Keys that have another owner now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move<'a> {
    /// Who had them; nobody, where there was no node.
    pub from: Option<&'a str>,
    /// Who has them now; nobody, where there is no node any more.
    pub to: Option<&'a str>,
    /// How many they are.
    pub share: Share,
}

/// Where a stretch ends, which begins where the one before ended, and who owns it. The last one ends with the whole.
/// Of stretches that end at the same place the first counts; the others are empty.
pub(crate) type Stretch = (u128, Option<u32>);

/// The share of each of so many nodes.
pub(crate) fn shares(stretches: impl Iterator<Item = Stretch>, nodes: usize, whole: u128) -> Vec<Share> {
    let mut shares = vec![Share { part: 0, whole }; nodes];
    let mut begin = 0;
    for (end, owner) in stretches {
        if let Some(share) = owner.and_then(|owner| shares.get_mut(owner as usize)) {
            share.part += end - begin;
        }
        begin = end;
    }
    shares
}

/// Who lost what to whom, by the names of both.
pub(crate) fn moves<'a>(
    (old_nodes, mut old): (&'a Nodes, impl Iterator<Item = Stretch>),
    (new_nodes, mut new): (&'a Nodes, impl Iterator<Item = Stretch>),
    whole: u128,
) -> Vec<Move<'a>> {
    let now: Vec<Option<u32>> = old_nodes.iter().map(|(name, _)| new_nodes.find(name)).collect();
    let mut moved: BTreeMap<(Option<u32>, Option<u32>), u128> = BTreeMap::new();
    let mut begin = 0;
    let (mut before, mut after) = (old.next(), new.next());
    while let (Some((old_end, from)), Some((new_end, to))) = (before, after) {
        let end = old_end.min(new_end);
        let same = match (from, to) {
            (Some(from), Some(to)) => now[from as usize] == Some(to),
            (from, to) => from == to,
        };
        if end > begin && !same {
            *moved.entry((from, to)).or_default() += end - begin;
        }
        begin = end;
        if old_end == end {
            before = old.next();
        }
        if new_end == end {
            after = new.next();
        }
    }
    let name = |nodes: &'a Nodes, node: Option<u32>| node.map(|node| nodes.name(node));
    let as_move = |((from, to), part)| Move {
        from: name(old_nodes, from),
        to: name(new_nodes, to),
        share: Share { part, whole },
    };
    moved.into_iter().map(as_move).collect()
}

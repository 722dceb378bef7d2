//! Which batches have been taken in, so that one that is sent again is not counted again.
//!
//! A source (a proxy) numbers its batches within an epoch (its process) and sends them one after the
//! other, the same one again until it is acknowledged. So the last number of each epoch of each source
//! says it all: what is not above it has been here before. The number of pairs is bounded; the one that
//! was heard of least recently is forgotten first, and a batch of it would count as new.

use std::collections::{BTreeMap, HashMap};

/// Where a batch comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Who sent it: a proxy's id.
    pub source: Box<str>,
    /// Which run of the source made it; a later run has a larger number.
    pub epoch: u64,
    /// Its number within the epoch, larger than that of the batch before.
    pub sequence: u64,
}

/// The last batch of each epoch of each source.
#[derive(Debug, Clone)]
pub struct Sources {
    limit: usize,
    last: HashMap<(Box<str>, u64), Heard>,
    by_age: BTreeMap<u64, (Box<str>, u64)>,
    clock: u64,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    sequence: u64,
    at: u64,
}

impl Sources {
    /// How many pairs of source and epoch are remembered unless said otherwise; some 200 bytes each.
    pub const DEFAULT_LIMIT: usize = 4_096;

    /// Remembers up to `limit` pairs of source and epoch.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), last: HashMap::new(), by_age: BTreeMap::new(), clock: 0 }
    }

    /// Whether this batch has been taken in before.
    pub fn has(&self, origin: &Origin) -> bool {
        let key = (origin.source.clone(), origin.epoch);
        self.last.get(&key).is_some_and(|heard| heard.sequence >= origin.sequence)
    }

    /// Takes a batch in. `false` if that was done before, and nothing changes but that its source is
    /// remembered longer.
    pub fn take_in(&mut self, origin: &Origin) -> bool {
        let key = (origin.source.clone(), origin.epoch);
        let before = self.last.get(&key).copied();
        if let Some(before) = before {
            self.by_age.remove(&before.at);
        } else if self.last.len() >= self.limit
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.last.remove(&oldest);
        }
        let is_new = before.is_none_or(|before| before.sequence < origin.sequence);
        let sequence = before.map_or(origin.sequence, |before| before.sequence.max(origin.sequence));
        self.clock += 1;
        self.by_age.insert(self.clock, key.clone());
        self.last.insert(key, Heard { sequence, at: self.clock });
        is_new
    }

    /// The last batches, from the source that was heard of least recently to the most recent one: given
    /// to [`take_in`](Self::take_in) in this order, they make the same state again.
    pub fn iter(&self) -> impl Iterator<Item = Origin> + '_ {
        self.by_age.values().filter_map(|(source, epoch)| {
            let heard = self.last.get(&(source.clone(), *epoch))?;
            Some(Origin { source: source.clone(), epoch: *epoch, sequence: heard.sequence })
        })
    }
}

impl Default for Sources {
    fn default() -> Self {
        Self::new(Self::DEFAULT_LIMIT)
    }
}

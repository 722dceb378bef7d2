//! What senders count anew each time, added up.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{Reason, points::Exponential};

/// How many series are added up. About 400 bytes each, with their labels.
const MAX_STREAMS: usize = 50_000;
/// A series that has said nothing for so long makes room for another, in nanoseconds.
const IDLE: u64 = Duration::from_secs(3_600).as_nanos() as u64;

/// The sums of all series that senders count anew each time. Requests that are read at the same time share them.
#[derive(Debug, Default)]
pub struct Deltas(Mutex<Sums>);

#[derive(Debug, Default)]
struct Sums {
    of: HashMap<Box<[u8]>, Stream>,
    newest: u64,
}

#[derive(Debug, Default)]
struct Stream {
    last: u64,
    total: Total,
}

/// What was counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Total {
    pub(super) value: f64,
    pub(super) count: u64,
    /// By upper bounds, as bits; of each bucket alone.
    pub(super) buckets: BTreeMap<u64, u64>,
    pub(super) exponential: Exponential,
}

impl Deltas {
    /// The sum of a series up to a time, to which `add` adds what was counted now.
    pub(super) fn sum(
        &self,
        key: Box<[u8]>,
        time: u64,
        add: impl FnOnce(&mut Total),
    ) -> Result<Total, Reason> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sum(key, time, add)
    }
}

impl Sums {
    fn sum(&mut self, key: Box<[u8]>, time: u64, add: impl FnOnce(&mut Total)) -> Result<Total, Reason> {
        self.newest = self.newest.max(time);
        if self.of.len() >= MAX_STREAMS && !self.of.contains_key(&key) {
            let oldest = self.newest.saturating_sub(IDLE);
            self.of.retain(|_, stream| stream.last >= oldest);
            if self.of.len() >= MAX_STREAMS {
                return Err(Reason::TooManyDeltas);
            }
        }
        let stream = self.of.entry(key).or_default();
        if time <= stream.last {
            return Err(Reason::LateDelta);
        }
        stream.last = time;
        add(&mut stream.total);
        Ok(stream.total.clone())
    }
}

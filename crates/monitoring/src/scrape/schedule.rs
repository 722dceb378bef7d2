//! When each target is due.
//!
//! Each has its moment within its interval, by a hash of what it is and by the wall clock, so that ten thousand targets
//! are not asked at once, and keep their moments across a restart. Only the first time comes earlier: whoever has just
//! come is measured within [`FIRST_WITHIN`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use identity::{Mono, Now};

/// A target that is new is due within this time, or its interval if shorter.
pub const FIRST_WITHIN: Duration = Duration::from_secs(2);
/// How many targets are asked at the same time; the others wait. Each costs a socket and its answer's bytes.
pub const AT_ONCE: usize = 64;

/// When each of some targets is due. Some 200 bytes for each.
#[derive(Debug)]
pub struct Schedule<K> {
    seats: BTreeMap<K, Seat>,
    waiting: BTreeSet<(Mono, K)>,
    in_flight: usize,
}

#[derive(Debug)]
struct Seat {
    spread: u64,
    /// None while it is asked.
    due: Option<Mono>,
}

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        Self { seats: BTreeMap::new(), waiting: BTreeSet::new(), in_flight: 0 }
    }
}

impl<K: Ord + Clone> Schedule<K> {
    /// Takes in a target, which stays as it is where it is there already. `spread` is a hash of it.
    pub fn put(&mut self, now: Now, key: K, interval: Duration, spread: u64) {
        if self.seats.contains_key(&key) {
            return;
        }
        let first = share(FIRST_WITHIN.min(interval), spread);
        let due = now.mono + first.min(until_phase(now, interval, spread));
        self.seats.insert(key.clone(), Seat { spread, due: Some(due) });
        self.waiting.insert((due, key));
    }

    /// Forgets a target. One that is being asked is still to be finished.
    pub fn remove(&mut self, key: &K) {
        if let Some(due) = self.seats.remove(key).and_then(|seat| seat.due) {
            self.waiting.remove(&(due, key.clone()));
        }
    }

    /// The targets that are to be asked now, as far as there are places.
    pub fn due(&mut self, now: Now) -> Vec<K> {
        let mut due = Vec::new();
        while self.in_flight < AT_ONCE
            && self.waiting.first().is_some_and(|(at, _)| *at <= now.mono)
            && let Some((_, key)) = self.waiting.pop_first()
        {
            if let Some(seat) = self.seats.get_mut(&key) {
                seat.due = None;
                self.in_flight += 1;
                due.push(key);
            }
        }
        due
    }

    /// A target was asked, and is asked again after this interval, or not any more where it was removed.
    pub fn finished(&mut self, now: Now, key: &K, interval: Duration) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(seat) = self.seats.get_mut(key).filter(|seat| seat.due.is_none()) else { return };
        let due = now.mono + until_phase(now, interval, seat.spread);
        seat.due = Some(due);
        self.waiting.insert((due, key.clone()));
    }

    /// When to come back, while there are places.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.waiting.first().map(|(at, _)| *at).filter(|_| self.in_flight < AT_ONCE)
    }

    /// How many targets there are, and how many are being asked.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.seats.len(), self.in_flight)
    }
}

/// The part of a time that a hash falls on.
fn share(of: Duration, spread: u64) -> Duration {
    Duration::from_nanos(((u128::from(nanos(of)) * u128::from(spread)) >> 64) as u64)
}

/// The time until the moment of a hash comes round, which is never nothing.
fn until_phase(now: Now, interval: Duration, spread: u64) -> Duration {
    let whole = nanos(interval).max(1);
    let (at, phase) = (now.wall.0 % whole, nanos(share(interval, spread)));
    let ahead = (whole + phase - at) % whole;
    Duration::from_nanos(if ahead == 0 { whole } else { ahead })
}

fn nanos(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}

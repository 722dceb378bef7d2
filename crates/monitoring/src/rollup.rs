//! The last hour of all calls, and the totals since ever.
//!
//! Time is cut into slots of ten seconds by the wall clock; a delta is added to the slot in which it was
//! collected. So a window is the union of slots, its counts are sums of exact counts, and what falls out
//! of the hour is dropped slot by slot. The number of series is bounded: beyond it, calls are counted in
//! a series that is named as what it is, [`OVERFLOW`](crate::OVERFLOW), by outcome only, so that the sums
//! over everything stay right while a flood of names passes.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use identity::Wall;

use crate::{CallKey, ExponentialHistogram, OVERFLOW, Outcome, Reporter, packed};

/// The length of a slot.
pub const SLOT: Duration = Duration::from_secs(10);
/// How many slots are kept: an hour.
pub const SLOTS: u64 = 360;

/// The limits of a rollup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollupSettings {
    /// How many series are told apart. One that has calls in every slot of the hour takes about 50 KB
    /// with fifty buckets in each, 150 KB in the worst case, and up to 3 KB for its total.
    pub max_series: usize,
}

impl Default for RollupSettings {
    fn default() -> Self {
        Self { max_series: 2_000 }
    }
}

/// What a series counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SeriesKey {
    /// The calls of one key.
    Calls(CallKey),
    /// The calls that no series had room for.
    Overflow {
        /// On which side they were counted.
        reporter: Reporter,
        /// How they ended.
        outcome: Outcome,
    },
}

impl SeriesKey {
    /// How these calls ended.
    pub fn outcome(&self) -> Outcome {
        match self {
            SeriesKey::Calls(key) => key.outcome,
            SeriesKey::Overflow { outcome, .. } => *outcome,
        }
    }

    /// On which side they were counted.
    pub fn reporter(&self) -> Reporter {
        match self {
            SeriesKey::Calls(key) => key.reporter,
            SeriesKey::Overflow { reporter, .. } => *reporter,
        }
    }

    /// What its series are told apart by; calls that no series had room for have lost most of it.
    pub fn labels(&self) -> Vec<(&'static str, &str)> {
        let mut labels = vec![("reporter", self.reporter().as_str()), ("outcome", self.outcome().as_str())];
        match self {
            SeriesKey::Calls(key) => labels.extend([
                ("namespace", key.namespace.as_str()),
                ("caller", key.caller.as_str()),
                ("service", key.service.as_str()),
                ("instance", key.instance.as_ref().map_or("", |instance| instance.as_str())),
                ("route", key.route.as_str()),
                ("status", key.status.as_str()),
            ]),
            SeriesKey::Overflow { .. } => labels.push(("service", OVERFLOW)),
        }
        labels
    }

    fn overflow(&self) -> Self {
        SeriesKey::Overflow { reporter: self.reporter(), outcome: self.outcome() }
    }
}

/// Calls with their durations: a histogram in seconds beside the exact sum of nanoseconds.
///
/// The sum of a delta is a whole number of nanoseconds that `f64` still tells apart up to 26 days of call
/// time, so adding up deltas as integers loses nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Total {
    pub(crate) histogram: ExponentialHistogram,
    pub(crate) sum_ns: u128,
}

impl Total {
    /// The total with these parts, as a disk has them.
    pub fn from_parts(histogram: ExponentialHistogram, sum_ns: u128) -> Self {
        Self { histogram, sum_ns }
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.histogram.count()
    }

    /// The time that they took together.
    pub fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// How long each of them took, in seconds.
    pub fn histogram(&self) -> &ExponentialHistogram {
        &self.histogram
    }

    fn add(&mut self, delta: &ExponentialHistogram) {
        self.sum_ns = self.sum_ns.saturating_add((delta.sum() * 1e9).round() as u128);
        self.histogram.merge(delta);
    }

    fn merge(&mut self, other: &Total) {
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.histogram.merge(&other.histogram);
    }
}

/// All that is known of one series, for a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesState {
    /// What it counts.
    pub key: SeriesKey,
    /// All its calls.
    pub total: Total,
    /// Those of the last hour by the number of their slot, which is the time since 1970 in units of
    /// [`SLOT`].
    pub slots: Vec<(u64, Total)>,
}

#[derive(Debug, Default)]
pub(crate) struct Series {
    total: Total,
    slots: VecDeque<(u64, Box<[u8]>)>,
}

impl Series {
    /// Calls `visit` with the number of each slot from `first` on and with what it holds.
    pub(crate) fn visit_from(&self, first: u64, total: &mut Total, mut visit: impl FnMut(u64, &Total)) {
        let from = self.slots.partition_point(|(number, _)| *number < first);
        for (number, bytes) in self.slots.range(from..) {
            packed::unpack_into(bytes, total);
            visit(*number, total);
        }
    }

    fn change_slot(&mut self, number: u64, change: impl FnOnce(&mut Total)) {
        let at = self.slots.partition_point(|(other, _)| *other < number);
        let mut total = Total::default();
        match self.slots.get_mut(at).filter(|(other, _)| *other == number) {
            Some((_, bytes)) => {
                packed::unpack_into(bytes, &mut total);
                change(&mut total);
                *bytes = packed::pack(&total);
            }
            None => {
                change(&mut total);
                self.slots.insert(at, (number, packed::pack(&total)));
            }
        }
    }

    fn state(&self, key: &SeriesKey) -> SeriesState {
        let mut slots = Vec::with_capacity(self.slots.len());
        self.visit_from(0, &mut Total::default(), |number, total| slots.push((number, total.clone())));
        SeriesState { key: key.clone(), total: self.total.clone(), slots }
    }

    fn forget_before(&mut self, first: u64) {
        let expired = self.slots.partition_point(|(number, _)| *number < first);
        self.slots.drain(..expired);
    }

    fn heap_bytes(&self) -> usize {
        let slot = |(_, bytes): &(u64, Box<[u8]>)| size_of::<(u64, Box<[u8]>)>() + bytes.len();
        self.slots.iter().map(slot).sum::<usize>() + self.total.histogram.heap_bytes()
    }
}

/// Calls by [`CallKey`]: the last hour in slots of ten seconds, and totals.
#[derive(Debug)]
pub struct Rollup {
    settings: RollupSettings,
    series: HashMap<SeriesKey, Series>,
    /// The newest slot that anything was added to; older than an hour before it, nothing is kept.
    newest: u64,
    folded: u64,
    late: u64,
}

impl Rollup {
    /// A rollup of nothing.
    pub fn new(settings: RollupSettings) -> Self {
        Self { settings, series: HashMap::new(), newest: 0, folded: 0, late: 0 }
    }

    /// Adds the calls that were collected at `at`. A collector whose clock is ahead of `now` is taken to
    /// have collected now.
    pub fn add(&mut self, key: CallKey, delta: &ExponentialHistogram, at: Wall, now: Wall) {
        self.advance(now);
        let number = Self::slot_of(at.min(now));
        let key = self.admit(SeriesKey::Calls(key));
        let oldest = self.oldest();
        let series = self.series.entry(key).or_default();
        series.total.add(delta);
        if number >= oldest {
            series.change_slot(number, |total| total.add(delta));
        } else {
            self.late = self.late.saturating_add(delta.count());
        }
    }

    /// Puts back what [`states`](Self::states) gave, into a rollup in which it is not yet.
    pub fn restore(&mut self, state: SeriesState) {
        if let Some((newest, _)) = state.slots.last() {
            self.advance(Wall(newest.saturating_mul(Self::slot_nanos())));
        }
        let (key, oldest) = (self.admit(state.key), self.oldest());
        let series = self.series.entry(key).or_default();
        series.total.merge(&state.total);
        for (number, slot) in state.slots.into_iter().filter(|(number, _)| *number >= oldest) {
            series.change_slot(number, |total| total.merge(&slot));
        }
    }

    /// The key under which `key` is counted: itself, if it is known or there is room, else the overflow.
    fn admit(&mut self, key: SeriesKey) -> SeriesKey {
        let full = || {
            self.series.keys().filter(|key| matches!(key, SeriesKey::Calls(_))).count()
                >= self.settings.max_series
        };
        let known = matches!(key, SeriesKey::Overflow { .. }) || self.series.contains_key(&key);
        // Counting the keys is for the rare new one of a rollup that is nearly full.
        if known || self.series.len() < self.settings.max_series || !full() {
            return key;
        }
        self.folded = self.folded.saturating_add(1);
        key.overflow()
    }

    /// Lets time pass, once a slot: forgets what is older than an hour and, if series have run out, makes
    /// room by folding those without a call in that hour into the overflow.
    fn advance(&mut self, now: Wall) {
        let number = Self::slot_of(now);
        if number <= self.newest {
            return;
        }
        self.newest = number;
        let oldest = self.oldest();
        for series in self.series.values_mut() {
            series.forget_before(oldest);
        }
        if self.series.len() >= self.settings.max_series {
            self.fold_idle();
        }
    }

    fn fold_idle(&mut self) {
        let idle = |key: &SeriesKey, series: &mut Series| {
            matches!(key, SeriesKey::Calls(_)) && series.slots.is_empty()
        };
        let folded: Vec<(SeriesKey, Series)> = self.series.extract_if(idle).collect();
        for (key, series) in folded {
            self.series.entry(key.overflow()).or_default().total.merge(&series.total);
        }
    }

    /// All series with their totals, in no particular order.
    pub fn totals(&self) -> impl Iterator<Item = (&SeriesKey, &Total)> {
        self.series.iter().map(|(key, series)| (key, &series.total))
    }

    /// All that is known, for a snapshot.
    pub fn states(&self) -> impl Iterator<Item = SeriesState> + '_ {
        self.series.iter().map(|(key, series)| series.state(key))
    }

    /// All that is known of one series.
    pub fn state(&self, key: &SeriesKey) -> Option<SeriesState> {
        self.series.get(key).map(|series| series.state(key))
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether nothing was ever added.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// How often a delta went into the overflow because there were too many series.
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// How many calls came later than an hour after they were collected; they are in the totals only.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// The memory behind this rollup, as budgets count it. Walks all slots.
    pub fn heap_bytes(&self) -> usize {
        let entry = size_of::<(SeriesKey, Series)>();
        self.series.values().map(|series| entry + series.heap_bytes()).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SeriesKey, &Series)> {
        self.series.iter()
    }

    pub(crate) fn oldest(&self) -> u64 {
        (self.newest + 1).saturating_sub(SLOTS)
    }

    pub(crate) fn slot_of(at: Wall) -> u64 {
        at.0 / Self::slot_nanos()
    }

    pub(crate) const fn slot_nanos() -> u64 {
        SLOT.as_secs() * 1_000_000_000
    }
}

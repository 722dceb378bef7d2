//! The last hour of calls as series.
//!
//! The rollup counts what happened in each slot of ten seconds; a counter is the sum of all slots until then. So each
//! series has a sample at the end of each slot: what was counted before the hour, and the slots that followed; and one
//! of the slot that is not over, so that nobody waits for its end. Nothing is kept for this beside the rollup. A series that began within the hour begins with a sample of zero, so that its
//! first calls are an increase.

use std::sync::Arc;

use identity::Wall;
use monitoring::{
    SLOT, SLOTS, SeriesKey, SeriesState, Total,
    exposition::DURATION_BOUNDS,
    promql::{ReadSeries, Samples, Selected, Storage, StorageError, format_float},
    series::{BUCKET_LABEL, Labels, METRIC_NAME, Matcher},
};

use crate::store::Store;

/// The families of series: their names, types and meanings.
pub const FAMILIES: [(&str, &str, &str); 2] = [
    ("bellwether_call_duration_seconds", "histogram", "How long calls took, as the proxies saw them."),
    ("bellwether_calls_total", "counter", "Calls, as the proxies saw them."),
];

/// Which figure of a key's calls a series is.
#[derive(Debug, Clone, Copy)]
enum Figure {
    Calls,
    Count,
    Sum,
    /// Calls that took at most the bound of this place; beyond the last bound all of them.
    Bucket(usize),
}

impl Figure {
    fn all() -> impl Iterator<Item = Self> {
        let buckets = (0..=DURATION_BOUNDS.len()).map(Figure::Bucket);
        [Figure::Calls, Figure::Count, Figure::Sum].into_iter().chain(buckets)
    }

    fn name(self) -> &'static str {
        match self {
            Figure::Calls => "bellwether_calls_total",
            Figure::Count => "bellwether_call_duration_seconds_count",
            Figure::Sum => "bellwether_call_duration_seconds_sum",
            Figure::Bucket(_) => "bellwether_call_duration_seconds_bucket",
        }
    }

    fn bound(self) -> Option<String> {
        let Figure::Bucket(place) = self else { return None };
        let bound = DURATION_BOUNDS.get(place).copied().unwrap_or(f64::INFINITY);
        Some(format_float(bound, 1e-4, 1e21))
    }
}

/// Calls with what all figures of them need.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    calls: u64,
    sum_ns: u128,
    buckets: [u64; DURATION_BOUNDS.len()],
}

impl Counted {
    fn of(total: &Total) -> Self {
        let mut buckets = [0; DURATION_BOUNDS.len()];
        for (into, count) in buckets.iter_mut().zip(total.histogram().cumulative(&DURATION_BOUNDS)) {
            *into = count;
        }
        Self { calls: total.calls(), sum_ns: total.sum_ns(), buckets }
    }

    fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        for (into, count) in self.buckets.iter_mut().zip(other.buckets) {
            *into = into.saturating_add(count);
        }
    }

    fn without(mut self, other: &Self) -> Self {
        self.calls = self.calls.saturating_sub(other.calls);
        self.sum_ns = self.sum_ns.saturating_sub(other.sum_ns);
        for (into, count) in self.buckets.iter_mut().zip(other.buckets) {
            *into = into.saturating_sub(count);
        }
        self
    }

    #[allow(clippy::cast_precision_loss, reason = "samples are doubles")]
    fn figure(&self, figure: Figure) -> f64 {
        match figure {
            Figure::Calls | Figure::Count => self.calls as f64,
            Figure::Sum => self.sum_ns as f64 / 1e9,
            Figure::Bucket(place) => self.buckets.get(place).copied().unwrap_or(self.calls) as f64,
        }
    }
}

/// What is known of one key.
#[derive(Debug)]
struct Known {
    /// What was counted before the first slot.
    before: Counted,
    /// Slots in which something was counted.
    slots: Vec<(u64, Counted)>,
    /// The first and the last slot at whose beginning there is a sample.
    range: (u64, u64),
    /// When it was looked at, in milliseconds.
    now: u64,
}

impl Known {
    fn new(state: &SeriesState, now: u64) -> Self {
        let newest = now / slot_millis();
        let slots: Vec<_> = state.slots.iter().map(|(number, total)| (*number, Counted::of(total))).collect();
        let mut within = Counted::default();
        slots.iter().for_each(|(_, counted)| within.add(counted));
        let before = Counted::of(&state.total).without(&within);
        let hour = newest.saturating_sub(SLOTS);
        let first = match slots.first() {
            Some((first, _)) if before.calls == 0 => *first,
            Some((first, _)) => hour.min(*first),
            None => hour,
        };
        Self { before, slots, range: (first, newest), now }
    }
}

/// One series of a key.
#[derive(Debug)]
struct OfKey {
    known: Arc<Known>,
    figure: Figure,
}

impl ReadSeries for OfKey {
    fn read(&self, from: i64, to: i64, into: &mut Samples) -> Result<(), StorageError> {
        if to < 0 {
            return Ok(());
        }
        let (first, newest) = self.known.range;
        let (from, to) = (number(from), number(to).min(self.known.now));
        let slot = slot_millis();
        let mut counted = self.known.before;
        let mut slots = self.known.slots.iter().peekable();
        for at in first.max(from.div_ceil(slot))..=newest.min(to / slot) {
            while let Some((_, slot)) = slots.next_if(|(number, _)| *number < at) {
                counted.add(slot);
            }
            into.push(time(at * slot), counted.figure(self.figure));
        }
        // What has been counted in the slot that is not over, as of the second that is asked for.
        let second = to / 1000 * 1000;
        if second > newest * slot && second >= from {
            slots.for_each(|(_, slot)| counted.add(slot));
            into.push(time(second), counted.figure(self.figure));
        }
        Ok(())
    }
}

/// The last hour of calls as series.
#[derive(Debug)]
pub struct History<'a> {
    store: &'a Store,
    /// In milliseconds.
    now: u64,
}

impl<'a> History<'a> {
    pub(crate) fn new(store: &'a Store, now: Wall) -> Self {
        Self { store, now: now.0 / 1_000_000 }
    }
}

impl Storage for History<'_> {
    fn select(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<Vec<Selected<'_>>, StorageError> {
        // The name and the bound are of the figure, all else is of the key.
        let of_figure = |matcher: &&Matcher| [METRIC_NAME, BUCKET_LABEL].contains(&matcher.name());
        let (figures, keys): (Vec<&Matcher>, Vec<&Matcher>) = matchers.iter().partition(of_figure);
        let meant = |figure: &Figure| {
            let bound = figure.bound().unwrap_or_default();
            figures.iter().all(|matcher| {
                matcher.matches(if matcher.name() == METRIC_NAME { figure.name() } else { &bound })
            })
        };
        let figures: Vec<Figure> = Figure::all().filter(meant).collect();
        if figures.is_empty() || to < 0 || number(from) > self.now {
            return Ok(Vec::new());
        }
        let mut selected = Vec::new();
        let durable = self.store.read();
        for (key, _) in durable.rollup.totals() {
            let labels = key.labels();
            let value = |name: &str| labels.iter().find(|(of, _)| *of == name).map_or("", |(_, value)| value);
            if !keys.iter().all(|matcher| matcher.matches(value(matcher.name()))) {
                continue;
            }
            let Some(state) = durable.rollup.state(key) else { continue };
            let known = Arc::new(Known::new(&state, self.now));
            selected.extend(figures.iter().map(|figure| Selected {
                labels: named(key, *figure),
                samples: Box::new(OfKey { known: Arc::clone(&known), figure: *figure }),
            }));
        }
        Ok(selected)
    }
}

fn named(key: &SeriesKey, figure: Figure) -> Labels {
    let bound = figure.bound();
    let own = [(METRIC_NAME, figure.name()), (BUCKET_LABEL, bound.as_deref().unwrap_or_default())];
    Labels::new(key.labels().into_iter().chain(own))
}

fn slot_millis() -> u64 {
    SLOT.as_secs() * 1000
}

/// A time that is not before 1970.
fn number(time: i64) -> u64 {
    u64::try_from(time).unwrap_or(0)
}

fn time(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}

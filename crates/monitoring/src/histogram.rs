//! A histogram whose buckets grow by a constant factor, so that its relative error is the same at a
//! microsecond and at an hour.
//!
//! The buckets are those of OTLP's ExponentialHistogram and of Prometheus' native histograms (see
//! `bounds`). It begins at schema 5: buckets 2.2 % wide, and an estimate of any quantile that is off by
//! at most 1.08 % of its value. Only buckets with something in them are kept, sorted; once there are more
//! than [`ExponentialHistogram::MAX_BUCKETS`] of them, neighbours are joined in pairs, which doubles the
//! relative error. Count, smallest and largest value are exact; the sum is added up in `f64`, so it is
//! exact up to the rounding of each addition.
//!
//! The values are not negative; those of calls are durations in seconds.

use std::mem;

use crate::bounds;

/// A base-2 exponential histogram of values that are not negative.
///
/// ```
/// use monitoring::ExponentialHistogram;
///
/// let mut durations = ExponentialHistogram::new();
/// for millis in 1..=100 {
///     durations.record_nanos(millis * 1_000_000);
/// }
/// let p99 = durations.quantile(0.99).unwrap();
/// assert!(p99.lower <= 0.099 && 0.099 <= p99.upper);
/// assert!((p99.estimate / 0.099 - 1.0).abs() <= 0.0108 + 1e-9);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ExponentialHistogram {
    schema: i8,
    zero_count: u64,
    /// Index and count of the buckets that are not empty, by index.
    buckets: Vec<(i32, u64)>,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

/// One bucket: how many values were above `lower` and at most `upper`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Its number, as OTLP counts them; Prometheus' number is one more.
    pub index: i32,
    /// The bound that all its values exceed.
    pub lower: f64,
    /// Its largest possible value.
    pub upper: f64,
    /// How many values it holds.
    pub count: u64,
}

/// A quantile with the bounds between which its true value lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantile {
    /// The value that is off by the least share of the true one in the worst case.
    pub estimate: f64,
    /// The true value is not below this.
    pub lower: f64,
    /// The true value is not above this.
    pub upper: f64,
}

/// Parts that make no histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} of the histogram is not valid: {rule}")]
pub struct HistogramError {
    pub(crate) field: &'static str,
    pub(crate) rule: &'static str,
}

impl Default for ExponentialHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl ExponentialHistogram {
    /// The schema of a new histogram: 32 buckets to a factor of two, 1.08 % relative error.
    pub const SCHEMA: i8 = 5;
    /// How many buckets may hold something before neighbours are joined: a bound of 2.5 KiB.
    pub const MAX_BUCKETS: usize = 160;

    /// A histogram of nothing.
    pub const fn new() -> Self {
        Self {
            schema: Self::SCHEMA,
            zero_count: 0,
            buckets: Vec::new(),
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    /// The histogram with these parts, as a wire or a disk has them.
    ///
    /// `schema` is −10 to 20 (OTLP's scale); beyond 8 neighbours are joined. `buckets` are index and
    /// count, by index, each index once. `min` and `max` may be left out, as OTLP allows; the outermost
    /// bounds stand for them then.
    pub fn from_parts(
        schema: i32,
        zero_count: u64,
        buckets: impl IntoIterator<Item = (i32, u64)>,
        sum: f64,
        min: Option<f64>,
        max: Option<f64>,
    ) -> Result<Self, HistogramError> {
        let error = |field, rule| Err(HistogramError { field, rule });
        if !(i32::from(bounds::MIN_SCHEMA)..=20).contains(&schema) {
            return error("schema", "from -10 to 20");
        }
        if !sum.is_finite() || sum < 0.0 {
            return error("sum", "a number that is not negative");
        }
        let kept = schema.min(i32::from(bounds::MAX_SCHEMA)) as i8;
        let mut histogram = Self { schema: kept, zero_count, count: zero_count, sum, ..Self::new() };
        let mut last = None;
        for (index, of) in buckets {
            if last.is_some_and(|last| last >= index) {
                return error("buckets", "each index once, in ascending order");
            }
            last = Some(index);
            histogram.count = match histogram.count.checked_add(of) {
                Some(count) => count,
                None => return error("buckets", "counts that add up to less than 2^64"),
            };
            histogram.push(index >> (schema - i32::from(histogram.schema)), of);
            histogram.fit();
        }
        if let Some((first, last)) = histogram.outermost() {
            let (min, max) = (min.unwrap_or(first), max.unwrap_or(last));
            if !(min >= 0.0 && min <= max && max.is_finite()) {
                return error("min and max", "numbers that are not negative, min at most max");
            }
            (histogram.min, histogram.max) = (min, max);
        }
        Ok(histogram)
    }

    /// The histogram of what a recorder took out, which cannot break a rule: `buckets` are not empty and
    /// ascend, and the extremes are in order.
    pub(crate) fn from_recorded(buckets: Vec<(i32, u64)>, sum: f64, min: f64, max: f64) -> Self {
        let count = buckets.iter().map(|(_, count)| count).sum();
        let mut histogram = Self { buckets, count, sum, min, max, ..Self::new() };
        histogram.fit();
        histogram
    }

    /// Records a value. NaN, infinite and negative ones are refused with `false` and change nothing.
    #[must_use = "a refused value has to be counted somewhere"]
    pub fn record(&mut self, value: f64) -> bool {
        self.record_many(value, 1)
    }

    /// Records a value `times` times, under the same rule as [`record`](Self::record).
    #[must_use = "a refused value has to be counted somewhere"]
    pub fn record_many(&mut self, value: f64, times: u64) -> bool {
        if !value.is_finite() || value < 0.0 {
            return false;
        }
        if times == 0 {
            return true;
        }
        if value == 0.0 {
            self.zero_count = self.zero_count.saturating_add(times);
        } else {
            let index = bounds::index(value, self.schema);
            match self.buckets.binary_search_by_key(&index, |(index, _)| *index) {
                Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(times),
                Err(at) => self.buckets.insert(at, (index, times)),
            }
            self.fit();
        }
        self.count = self.count.saturating_add(times);
        self.sum += value * times as f64;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        true
    }

    /// Records a duration given in nanoseconds, as seconds.
    pub fn record_nanos(&mut self, nanos: u64) {
        let recorded = self.record(nanos as f64 / 1e9);
        debug_assert!(recorded, "a whole number of nanoseconds is always recordable");
    }

    /// Adds all that `other` holds, as if it had been recorded here; the coarser schema of both stays.
    pub fn merge(&mut self, other: &Self) {
        self.coarsen(other.schema);
        let shift = other.schema - self.schema;
        let missing = self.add_to_known(&other.buckets, shift);
        if !missing.is_empty() {
            self.interleave(missing, shift);
        }
        self.fit();
        self.zero_count = self.zero_count.saturating_add(other.zero_count);
        self.count = self.count.saturating_add(other.count);
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Adds to buckets that are here already, as nearly all are where like is merged with like, and
    /// returns the rest from the first one that is not.
    fn add_to_known<'a>(&mut self, theirs: &'a [(i32, u64)], shift: i8) -> &'a [(i32, u64)] {
        let mut mine = self.buckets.iter_mut().peekable();
        for (at, (index, count)) in theirs.iter().enumerate() {
            let index = index >> shift;
            while mine.next_if(|(known, _)| *known < index).is_some() {}
            match mine.peek_mut() {
                Some((known, of)) if *known == index => *of = of.saturating_add(*count),
                _ => return &theirs[at..],
            }
        }
        &[]
    }

    /// Adds buckets of which some have to be made.
    fn interleave(&mut self, theirs: &[(i32, u64)], shift: i8) {
        let mine = mem::take(&mut self.buckets);
        self.buckets.reserve(mine.len() + theirs.len());
        let mut theirs = theirs.iter().map(|(index, count)| (index >> shift, *count)).peekable();
        for (index, count) in mine {
            while let Some(earlier) = theirs.next_if(|(other, _)| *other < index) {
                self.push(earlier.0, earlier.1);
            }
            self.push(index, count);
            while let Some(same) = theirs.next_if(|(other, _)| *other == index) {
                self.push(index, same.1);
            }
        }
        for (index, count) in theirs {
            self.push(index, count);
        }
    }

    /// Becomes what its own parts were, without a new allocation: they are known to be in order.
    pub(crate) fn refill(
        &mut self,
        schema: i8,
        zero_count: u64,
        buckets: impl Iterator<Item = (i32, u64)>,
        sum: f64,
        (min, max): (f64, f64),
    ) {
        self.buckets.clear();
        self.buckets.extend(buckets);
        let count = self.buckets.iter().fold(zero_count, |sum, (_, count)| sum.saturating_add(*count));
        (self.schema, self.zero_count, self.count, self.sum) = (schema, zero_count, count, sum);
        (self.min, self.max) = (min, max);
    }

    /// The extremes as they are kept: infinite, and the wrong way round, for a histogram of nothing.
    pub(crate) fn extremes(&self) -> (f64, f64) {
        (self.min, self.max)
    }

    /// Adds to the last bucket, or opens one behind it. `index` must not lie before it.
    fn push(&mut self, index: i32, count: u64) {
        match self.buckets.last_mut() {
            _ if count == 0 => {}
            Some((last, of)) if *last == index => *of = of.saturating_add(count),
            _ => self.buckets.push((index, count)),
        }
    }

    fn fit(&mut self) {
        while self.buckets.len() > Self::MAX_BUCKETS {
            self.coarsen(self.schema - 1);
        }
    }

    fn coarsen(&mut self, schema: i8) {
        let shift = self.schema - schema;
        if shift <= 0 {
            return;
        }
        self.schema = schema;
        for (index, count) in mem::take(&mut self.buckets) {
            self.push(index >> shift, count);
        }
    }

    /// The number that says how wide the buckets are: a factor of 2^(2^−schema).
    pub fn schema(&self) -> i8 {
        self.schema
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many of them were zero.
    pub fn zero_count(&self) -> u64 {
        self.zero_count
    }

    /// The sum of the values.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The smallest value.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest value.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// The mean of the values.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The buckets that hold something, without the one for zero, by index.
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = Bucket> + '_ {
        self.buckets.iter().map(|(index, count)| Bucket {
            index: *index,
            lower: bounds::lower(*index, self.schema),
            upper: bounds::upper(*index, self.schema),
            count: *count,
        })
    }

    /// The value below which a share `q` of the values lies: of the sorted values the one at ⌈q·count⌉.
    ///
    /// `None` for a histogram of nothing and for a `q` that is no number from 0 to 1.
    pub fn quantile(&self, q: f64) -> Option<Quantile> {
        if self.count == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = ((q * self.count as f64).ceil() as u64).clamp(1, self.count);
        // The outermost values are known exactly, whatever their buckets are.
        if rank == 1 || rank == self.count {
            let value = if rank == 1 { self.min } else { self.max };
            return Some(Quantile { estimate: value, lower: value, upper: value });
        }
        if rank <= self.zero_count {
            return Some(Quantile { estimate: 0.0, lower: 0.0, upper: 0.0 });
        }
        let mut seen = self.zero_count;
        let bucket = self.buckets().find(|bucket| {
            seen = seen.saturating_add(bucket.count);
            seen >= rank
        })?;
        let (lower, upper) = (bucket.lower.max(self.min), bucket.upper.min(self.max));
        // Equally far, as a share, from both bounds of the bucket.
        let middle =
            if bucket.upper.is_finite() { 2.0 / (1.0 / bucket.lower + 1.0 / bucket.upper) } else { upper };
        Some(Quantile { estimate: middle.clamp(lower, upper), lower, upper })
    }

    /// How many values were at most each of `bounds`, which ascend: the `le` buckets of a classic
    /// histogram without the last one, which is [`count`](Self::count).
    ///
    /// A bucket that a bound cuts is counted above it, so a classic bucket may lack values that lie
    /// within one bucket's width (2.2 % at schema 5) below its bound.
    pub fn cumulative(&self, bounds: &[f64]) -> Vec<u64> {
        let mut counts = Vec::with_capacity(bounds.len());
        let mut buckets = self.buckets().peekable();
        let mut seen = self.zero_count;
        for bound in bounds {
            while let Some(bucket) = buckets.next_if(|bucket| bucket.upper.min(self.max) <= *bound) {
                seen = seen.saturating_add(bucket.count);
            }
            counts.push(if *bound < 0.0 { 0 } else { seen });
        }
        counts
    }

    /// The memory behind this histogram beyond its own size, as budgets count it.
    pub fn heap_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<(i32, u64)>()
    }

    /// Index and count of the buckets, without their bounds.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (i32, u64)> + '_ {
        self.buckets.iter().copied()
    }

    /// How many buckets hold something.
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    fn outermost(&self) -> Option<(f64, f64)> {
        let first = self.buckets.first().map(|(index, _)| bounds::lower(*index, self.schema));
        let last = self.buckets.last().map(|(index, _)| bounds::upper(*index, self.schema).min(f64::MAX));
        let zero = (self.zero_count > 0).then_some(0.0);
        Some((zero.or(first)?, last.or(zero)?))
    }
}

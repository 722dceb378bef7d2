//! A native histogram: what Prometheus keeps and computes with where others have a series for each bucket.
//!
//! Unlike an [`ExponentialHistogram`], which records calls, this one is what came from elsewhere or was calculated:
//! values may be negative, counts are floating-point numbers (a rate has halves), those near zero share a bucket whose
//! width is said, and whoever sent it may say whether a counter began anew. What came is kept as it came, empty
//! buckets included, so that a store can give it back to the bit; a calculation leaves no empty ones behind.
//!
//! Buckets are numbered as Prometheus does: bucket *i* ends at base^i, so that its number is one more than that of
//! `bounds`. Where two histograms meet, the coarser schema and the wider zero bucket hold (see `arithmetic`).

mod arithmetic;
mod questions;

pub use questions::NativeBucket;

use crate::{
    ExponentialHistogram, HistogramError,
    bounds::{self, MAX_SCHEMA},
    series::is_stale,
};

/// The coarsest schema: the buckets of all positive numbers are 132.
const MIN_SCHEMA: i8 = -4;
/// The finest scale that is read, which is OTLP's; beyond 8 neighbours are joined.
const MAX_SCALE: i32 = 20;
/// How many octaves of numbers there are on each side of one, with room for the infinite ones.
const OCTAVES: i64 = 1_076;

/// What whoever sent a histogram says of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetHint {
    /// Nothing: whether the counter began anew is seen from the counts.
    #[default]
    Unknown,
    /// The counter has begun anew.
    Reset,
    /// It has not.
    NotReset,
    /// It is no counter: counts fall as they rise.
    Gauge,
}

/// A histogram with exponential buckets for values of either sign, and floating-point counts.
///
/// ```
/// use monitoring::{NativeHistogram, NativeParts};
///
/// let parts = NativeParts { count: 4.0, sum: 9.0, positive: vec![(1, 3.0), (2, 1.0)], ..NativeParts::default() };
/// let mut histogram = NativeHistogram::from_parts(parts)?;
/// assert_eq!(histogram.quantile(0.75), 2.0);
/// histogram.add(&histogram.clone());
/// assert_eq!((histogram.count(), histogram.average()), (8.0, 2.25));
/// # Ok::<(), monitoring::HistogramError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NativeHistogram {
    schema: i8,
    zero_threshold: f64,
    zero_count: f64,
    count: f64,
    sum: f64,
    positive: Buckets,
    negative: Buckets,
    hint: ResetHint,
}

/// Number and count, by number.
type Buckets = Vec<(i32, f64)>;

/// What a histogram is made of, as a wire or a disk has it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NativeParts {
    /// How wide buckets are: −4 to 8, and up to 20 as OTLP has it.
    pub schema: i32,
    /// Values at most this far from zero are in the zero bucket.
    pub zero_threshold: f64,
    /// How many these are.
    pub zero_count: f64,
    /// How many values there are, those that are no number included.
    pub count: f64,
    /// Their sum. The staleness marker is one.
    pub sum: f64,
    /// Numbers and counts of the buckets above zero, by number.
    pub positive: Vec<(i32, f64)>,
    /// And of those below zero, as if their values were positive.
    pub negative: Vec<(i32, f64)>,
    /// What is said of the histogram before it.
    pub hint: ResetHint,
}

impl NativeHistogram {
    /// How many buckets a histogram may come with on each side: a bound of 1 MiB a side.
    pub const MAX_BUCKETS: usize = 1 << 16;

    /// The histogram of these parts.
    ///
    /// # Errors
    /// For parts that no histogram can have: the field and the rule.
    pub fn from_parts(parts: NativeParts) -> Result<Self, HistogramError> {
        let error = |field, rule| Err(HistogramError { field, rule });
        if !(i32::from(MIN_SCHEMA)..=MAX_SCALE).contains(&parts.schema) {
            return error("schema", "from -4 to 20");
        }
        if !(parts.zero_threshold >= 0.0 && parts.zero_threshold.is_finite()) {
            return error("zero threshold", "a number that is not negative");
        }
        let is_count = |count: f64| count >= 0.0 && count.is_finite();
        if !(is_count(parts.count) && is_count(parts.zero_count)) {
            return error("count", "a number that is not negative, as is that of zeros");
        }
        let mut counted = parts.zero_count;
        for side in [&parts.positive, &parts.negative] {
            if side.len() > Self::MAX_BUCKETS {
                return error("buckets", "at most 65536 on each side");
            }
            if !side.windows(2).all(|pair| pair[0].0 < pair[1].0) {
                return error("buckets", "each number once, in ascending order");
            }
            let most = scaled(OCTAVES, parts.schema);
            if !side.iter().all(|(number, _)| i64::from(*number).abs() <= most) {
                return error("buckets", "numbers of which a floating-point number can be");
            }
            if !side.iter().all(|(_, count)| is_count(*count)) {
                return error("buckets", "counts that are not negative");
            }
            counted += side.iter().map(|(_, count)| count).sum::<f64>();
        }
        // Floating-point counts add up to nearly the same.
        if counted > parts.count * (1.0 + 1e-9) {
            return error("count", "at least what all buckets count");
        }
        let schema = parts.schema.min(i32::from(MAX_SCHEMA)) as i8;
        let shift = parts.schema - i32::from(schema);
        Ok(Self {
            schema,
            zero_threshold: parts.zero_threshold,
            zero_count: parts.zero_count,
            count: parts.count,
            sum: parts.sum,
            positive: coarser(parts.positive, shift),
            negative: coarser(parts.negative, shift),
            hint: parts.hint,
        })
    }

    /// What it is made of.
    #[must_use]
    pub fn into_parts(self) -> NativeParts {
        NativeParts {
            schema: i32::from(self.schema),
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive: self.positive,
            negative: self.negative,
            hint: self.hint,
        }
    }

    /// The same values as a histogram of calls has them.
    ///
    /// # Errors
    /// For one that holds negative values, parts of values, or a sum that is none.
    pub fn to_exponential(&self) -> Result<ExponentialHistogram, HistogramError> {
        let error = |rule| Err(HistogramError { field: "buckets", rule });
        if self.negative.iter().any(|(_, count)| *count != 0.0) {
            return error("none below zero");
        }
        // From 2^53 on, a count may be off by one.
        let is_whole = |count: f64| (0.0..=9_007_199_254_740_992.0).contains(&count) && count.fract() == 0.0;
        if !is_whole(self.zero_count) || !self.positive.iter().all(|(_, count)| is_whole(*count)) {
            return error("whole counts up to 2^53");
        }
        let buckets = self.positive.iter().map(|(number, count)| (number - 1, *count as u64));
        let schema = i32::from(self.schema);
        ExponentialHistogram::from_parts(schema, self.zero_count as u64, buckets, self.sum, None, None)
    }

    /// How wide its buckets are: a factor of 2^(2^−schema).
    #[must_use]
    pub fn schema(&self) -> i8 {
        self.schema
    }

    /// How far from zero the zero bucket reaches.
    #[must_use]
    pub fn zero_threshold(&self) -> f64 {
        self.zero_threshold
    }

    /// How many values are in the zero bucket.
    #[must_use]
    pub fn zero_count(&self) -> f64 {
        self.zero_count
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.count
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// What is said of the histogram before it.
    #[must_use]
    pub fn hint(&self) -> ResetHint {
        self.hint
    }

    /// Whether it only says that its series has ended.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// The memory behind it beyond its own size, as budgets count it.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        (self.positive.capacity() + self.negative.capacity()) * size_of::<(i32, f64)>()
    }

    /// Joins neighbours until the schema is this one. A coarser one stays as it is.
    pub fn coarsen(&mut self, schema: i8) {
        let schema = schema.max(MIN_SCHEMA);
        if schema < self.schema {
            let shift = i32::from(self.schema - schema);
            self.schema = schema;
            for side in [&mut self.positive, &mut self.negative] {
                *side = coarser(std::mem::take(side), shift);
            }
        }
    }

    /// Leaves out buckets that hold nothing.
    pub fn compact(&mut self) {
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|(_, count)| *count != 0.0);
        }
    }
}

impl TryFrom<&ExponentialHistogram> for NativeHistogram {
    type Error = HistogramError;

    fn try_from(calls: &ExponentialHistogram) -> Result<Self, HistogramError> {
        Self::from_parts(NativeParts {
            schema: i32::from(calls.schema()),
            zero_count: calls.zero_count() as f64,
            count: calls.count() as f64,
            sum: calls.sum(),
            positive: calls.buckets().map(|bucket| (bucket.index + 1, bucket.count as f64)).collect(),
            ..NativeParts::default()
        })
    }
}

/// The buckets that spans mean: each span begins `offset` buckets behind the end of the one before it, or behind
/// number 0, and says how many counts follow each other.
///
/// # Errors
/// For spans that go back, beyond all numbers, or that do not have as many buckets as there are counts.
pub fn spanned(
    spans: impl IntoIterator<Item = (i32, u32)>,
    counts: impl IntoIterator<Item = f64>,
) -> Result<Vec<(i32, f64)>, HistogramError> {
    let error = |rule| Err(HistogramError { field: "spans", rule });
    let (mut next, mut buckets, mut counts) = (0_i32, Vec::new(), counts.into_iter());
    for (at, (offset, length)) in spans.into_iter().enumerate() {
        if at > 0 && offset < 0 {
            return error("none that goes back");
        }
        if length as usize > NativeHistogram::MAX_BUCKETS - buckets.len() {
            return error("at most 65536 buckets on each side");
        }
        let (Some(first), Ok(length)) = (next.checked_add(offset), i32::try_from(length)) else {
            return error("numbers of 32 bits");
        };
        let Some(end) = first.checked_add(length) else { return error("numbers of 32 bits") };
        for number in first..end {
            let Some(count) = counts.next() else { return error("as many buckets as there are counts") };
            buckets.push((number, count));
        }
        next = end;
    }
    match counts.next() {
        None => Ok(buckets),
        Some(_) => error("as many buckets as there are counts"),
    }
}

/// How many buckets of a schema these octaves are, and one.
fn scaled(octaves: i64, schema: i32) -> i64 {
    1 + if schema < 0 { octaves >> -schema } else { octaves << schema }
}

/// Buckets of a schema that is coarser by `shift`.
fn coarser(fine: Buckets, shift: i32) -> Buckets {
    if shift <= 0 {
        return fine;
    }
    let mut coarse: Buckets = Vec::with_capacity(fine.len().min(64));
    for (number, count) in fine {
        let number = ((number - 1) >> shift) + 1;
        match coarse.last_mut() {
            Some((last, of)) if *last == number => *of += count,
            _ => coarse.push((number, count)),
        }
    }
    coarse
}

/// Where bucket `number` ends, away from zero. The last one that ends does so at the largest number, since 2^1024 is
/// none; behind it is that of the infinite ones.
fn end(number: i32, schema: i8) -> f64 {
    let octaves = i64::from(number) << (MAX_SCHEMA - schema);
    if octaves == 1_024 << MAX_SCHEMA { f64::MAX } else { bounds::upper(number - 1, schema) }
}

//! What can be asked of a native histogram, with the answers that PromQL gives.
//!
//! Within a bucket values are taken to be spread evenly. A zero bucket reaches to both sides of zero, but where all
//! other buckets are on one side, it is taken to be on that side as well.

use std::iter::once;

use super::{NativeHistogram, end};

/// A bucket with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NativeBucket {
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
    /// Whether a value that is the lower bound is inside.
    pub holds_lower: bool,
    /// Whether a value that is the upper bound is inside.
    pub holds_upper: bool,
    /// How many values it holds.
    pub count: f64,
}

impl NativeBucket {
    /// The value in its middle: zero where that is inside, and otherwise equally far, as a share, from both bounds.
    fn middle(&self) -> f64 {
        match (self.lower, self.upper) {
            (lower, upper) if lower <= 0.0 && 0.0 <= upper => 0.0,
            (lower, upper) => (lower * upper).sqrt().copysign(upper),
        }
    }

    /// The count of its values below one that lies inside.
    fn below(&self, value: f64) -> f64 {
        self.count * (value - self.lower) / (self.upper - self.lower)
    }
}

impl NativeHistogram {
    /// The buckets that hold something, from the lowest values to the highest. One that reaches into the zero bucket
    /// begins where that ends.
    pub fn buckets(&self) -> impl Iterator<Item = NativeBucket> + '_ {
        let (schema, zero) = (self.schema, self.zero_threshold);
        let bounds = move |number: i32| {
            let (lower, upper) = (end(number - 1, schema), end(number, schema));
            (if zero < upper { lower.max(zero) } else { lower }, upper)
        };
        let below = self.negative.iter().rev().map(move |(number, count)| {
            let (near, far) = bounds(*number);
            NativeBucket { lower: -far, upper: -near, holds_lower: true, holds_upper: false, count: *count }
        });
        let above = self.positive.iter().map(move |(number, count)| {
            let (near, far) = bounds(*number);
            NativeBucket { lower: near, upper: far, holds_lower: false, holds_upper: true, count: *count }
        });
        let (holds_lower, holds_upper) = (true, true);
        let around =
            NativeBucket { lower: -zero, upper: zero, holds_lower, holds_upper, count: self.zero_count };
        below.chain(once(around)).chain(above).filter(|bucket| bucket.count != 0.0)
    }

    /// The mean of the values; no number where there are none.
    #[must_use]
    pub fn average(&self) -> f64 {
        self.sum / self.count
    }

    /// The value below which a share `q` of the values lies: no number where there are no values, and infinite for
    /// what is no share.
    #[must_use]
    pub fn quantile(&self, q: f64) -> f64 {
        if q < 0.0 {
            return f64::NEG_INFINITY;
        }
        if q > 1.0 {
            return f64::INFINITY;
        }
        if q.is_nan() || self.count == 0.0 {
            return f64::NAN;
        }
        let (rank, mut seen, mut last) = (q * self.count, 0.0, f64::NAN);
        for bucket in self.one_sided() {
            if seen + bucket.count >= rank {
                return bucket.lower + (bucket.upper - bucket.lower) * ((rank - seen) / bucket.count);
            }
            seen += bucket.count;
            last = bucket.upper;
        }
        // What is in no bucket is no number.
        last
    }

    /// The share of values from `lower` to `upper`.
    #[must_use]
    pub fn fraction(&self, lower: f64, upper: f64) -> f64 {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return f64::NAN;
        }
        if lower >= upper {
            return 0.0;
        }
        (self.rank(upper) - self.rank(lower)) / self.count
    }

    /// The variance of the values, each taken for the middle of its bucket.
    #[must_use]
    pub fn variance(&self) -> f64 {
        let mean = self.average();
        let squares = self.buckets().map(|bucket| bucket.count * (bucket.middle() - mean).powi(2));
        squares.sum::<f64>() / self.count
    }

    /// How many values are at most each of `bounds`, which ascend: the buckets of a classic histogram without the
    /// last one. A bucket that a bound cuts is counted above it.
    #[must_use]
    pub fn cumulative(&self, bounds: &[f64]) -> Vec<f64> {
        let (mut buckets, mut seen) = (self.buckets().peekable(), 0.0);
        let counts = bounds.iter().map(|bound| {
            while let Some(bucket) = buckets.next_if(|bucket| bucket.upper <= *bound) {
                seen += bucket.count;
            }
            seen
        });
        counts.collect()
    }

    /// How many values lie below this one.
    fn rank(&self, value: f64) -> f64 {
        let mut seen = 0.0;
        for bucket in self.one_sided() {
            if value <= bucket.lower {
                return seen;
            }
            if value < bucket.upper {
                return seen + bucket.below(value);
            }
            seen += bucket.count;
        }
        // What is in no bucket is no number, and below nothing; a value above all buckets has all below it.
        self.count
    }

    /// The buckets, the zero bucket cut to the side on which the others are.
    fn one_sided(&self) -> impl Iterator<Item = NativeBucket> + '_ {
        let (is_above, is_below) = (self.negative.is_empty(), self.positive.is_empty());
        self.buckets().map(move |mut bucket| {
            if bucket.lower < 0.0 && bucket.upper > 0.0 {
                match (is_above, is_below) {
                    (true, false) => bucket.lower = 0.0,
                    (false, true) => bucket.upper = 0.0,
                    _ => {}
                }
            }
            bucket
        })
    }
}

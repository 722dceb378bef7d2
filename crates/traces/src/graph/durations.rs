//! How long calls took, in little memory: counts by buckets whose width is an eighth of their octave, so that
//! an estimate is off by at most a sixteenth of the value. Count, sum and the longest are exact.

/// A histogram of durations in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Durations {
    /// Bucket and count of those that are not empty, by bucket.
    buckets: Vec<(u16, u64)>,
    sum_ns: u128,
    max_ns: u64,
}

/// Buckets of an octave, as bits.
const BITS: u32 = 3;

impl Durations {
    /// Puts together what [`Self::buckets`], [`Self::sum_ns`] and [`Self::max_ns`] have told.
    pub fn from_parts(buckets: impl IntoIterator<Item = (u16, u64)>, sum_ns: u128, max_ns: u64) -> Self {
        let mut durations = Self { buckets: Vec::new(), sum_ns, max_ns };
        for (bucket, count) in buckets.into_iter().filter(|(bucket, count)| *bucket < BUCKETS && *count > 0) {
            durations.put(bucket, count);
        }
        durations
    }

    /// Counts one.
    pub fn record(&mut self, nanos: u64) {
        self.put(bucket(nanos), 1);
        self.sum_ns += u128::from(nanos);
        self.max_ns = self.max_ns.max(nanos);
    }

    fn put(&mut self, bucket: u16, count: u64) {
        match self.buckets.binary_search_by_key(&bucket, |(known, _)| *known) {
            Ok(at) => self.buckets[at].1 = self.buckets[at].1.saturating_add(count),
            Err(at) => self.buckets.insert(at, (bucket, count)),
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        other.buckets.iter().for_each(|(bucket, count)| self.put(*bucket, *count));
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Their sum.
    pub fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// The longest; zero for none.
    pub fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// Their mean.
    pub fn mean_ns(&self) -> Option<u64> {
        let mean = self.sum_ns.checked_div(u128::from(self.count()))?;
        u64::try_from(mean).ok()
    }

    /// The duration that a share `q` of them did not exceed: the middle of its bucket, and never more than the
    /// longest.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((q.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        let mut seen: u64 = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen >= rank
        });
        found.map(|(bucket, _)| {
            let (lower, width) = bounds(*bucket);
            (lower + width / 2).min(self.max_ns)
        })
    }

    /// Number and count of the buckets that are not empty.
    pub fn buckets(&self) -> &[(u16, u64)] {
        &self.buckets
    }
}

/// How many buckets there can be.
const BUCKETS: u16 = ((64 - BITS + 1) << BITS) as u16;

fn bucket(nanos: u64) -> u16 {
    let octave = (64 - nanos.leading_zeros()).saturating_sub(BITS + 1);
    // The bits below the first one say where in its octave a value lies.
    ((u64::from(octave) << BITS) + (nanos >> octave)) as u16
}

/// Smallest value and width of a bucket.
fn bounds(bucket: u16) -> (u64, u64) {
    let octave = u32::from(bucket >> BITS).saturating_sub(1);
    let within = u64::from(bucket) - (u64::from(octave) << BITS);
    (within << octave, 1 << octave)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket_and_the_middle_is_off_by_a_sixteenth(nanos: u64, shift in 0..64_u32) {
            let nanos = nanos >> shift;
            let bucket = bucket(nanos);
            prop_assert!(bucket < BUCKETS);
            let (lower, width) = bounds(bucket);
            prop_assert!(lower <= nanos && nanos - lower < width);
            prop_assert!((width / 2).abs_diff(nanos - lower) <= nanos / 16 + 1);
        }

        #[test]
        fn sums_of_parts_are_the_parts_of_sums(values in prop::collection::vec(0..u64::MAX / 100, 1..50), at in 0..50_usize) {
            let of = |values: &[u64]| {
                let mut durations = Durations::default();
                values.iter().for_each(|value| durations.record(*value));
                durations
            };
            let (one, other) = values.split_at(at.min(values.len()));
            let mut sum = of(one);
            sum.add(&of(other));
            let whole = of(&values);
            prop_assert_eq!(&sum, &whole);
            prop_assert_eq!(Durations::from_parts(sum.buckets().to_vec(), sum.sum_ns(), sum.max_ns()), whole);
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let median = sorted[values.len().div_ceil(2) - 1];
            prop_assert!(sum.quantile(0.5).unwrap().abs_diff(median) <= median / 8 + 1);
            prop_assert_eq!(sum.count(), values.len() as u64);
        }
    }
}

//! Histograms that are added, subtracted and compared.
//!
//! Two of them may have buckets of different widths. The coarser schema is a union of the finer one's buckets, so
//! nothing is guessed; a zero bucket takes in all that begins within the wider of both, and where its edge falls into
//! a bucket that holds something, it moves on to that bucket's end, since a bucket cannot be cut.

use std::borrow::Cow;

use super::{Buckets, NativeHistogram, ResetHint, end};

impl NativeHistogram {
    /// Adds what the other one holds.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, |mine, theirs| mine + theirs);
        self.hint = match (self.hint, other.hint) {
            (mine, theirs) if mine == theirs => mine,
            (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        };
    }

    /// Takes away what the other one holds. The difference is no counter.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, |mine, theirs| mine - theirs);
        self.hint = ResetHint::Gauge;
    }

    /// Multiplies counts and sum.
    pub fn multiply(&mut self, by: f64) {
        self.each(|count| count * by);
    }

    /// Divides counts and sum.
    pub fn divide(&mut self, by: f64) {
        self.each(|count| count / by);
    }

    /// Whether a counter has begun anew since `previous`: as it says itself, or because a count has fallen.
    #[must_use]
    pub fn is_reset_since(&self, previous: &Self) -> bool {
        match self.hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        // A counter that lives on becomes coarser, never finer.
        let is_finer = self.schema > previous.schema || self.zero_threshold < previous.zero_threshold;
        if self.count < previous.count || is_finer {
            return true;
        }
        let mut previous = Cow::Borrowed(previous);
        if previous.zero_threshold != self.zero_threshold {
            previous.to_mut().widen(self.zero_threshold);
        }
        if previous.zero_threshold != self.zero_threshold || self.zero_count < previous.zero_count {
            return true;
        }
        if previous.schema != self.schema {
            previous.to_mut().coarsen(self.schema);
        }
        has_fallen(&self.positive, &previous.positive) || has_fallen(&self.negative, &previous.negative)
    }

    /// What histograms of a series, the oldest first, have gone up by, as a counter or as a gauge; none for fewer
    /// than two.
    #[must_use]
    pub fn difference(points: &[&Self], is_counter: bool) -> Option<Self> {
        let ([first, .., last], schema) = (points, points.iter().map(|point| point.schema).min()?) else {
            return None;
        };
        let coarsest = if is_counter { schema } else { first.schema.min(last.schema) };
        let mut difference = (*last).clone();
        difference.coarsen(coarsest);
        difference.subtract(first);
        for pair in points.windows(2).filter(|_| is_counter) {
            if pair[1].is_reset_since(pair[0]) {
                difference.add(pair[0]);
            }
        }
        difference.hint = ResetHint::Gauge;
        difference.compact();
        Some(difference)
    }

    fn each(&mut self, of: impl Fn(f64) -> f64) {
        for count in [&mut self.zero_count, &mut self.count, &mut self.sum] {
            *count = of(*count);
        }
        for (_, count) in self.positive.iter_mut().chain(&mut self.negative) {
            *count = of(*count);
        }
    }

    fn combine(&mut self, other: &Self, by: impl Fn(f64, f64) -> f64 + Copy) {
        let mut other = Cow::Borrowed(other);
        self.coarsen(other.schema);
        // Each widening may overtake the other threshold, and ends where no bucket is left in the way.
        while self.zero_threshold != other.zero_threshold {
            if self.zero_threshold < other.zero_threshold {
                self.widen(other.zero_threshold);
            } else {
                other.to_mut().widen(self.zero_threshold);
            }
        }
        if other.schema != self.schema {
            other.to_mut().coarsen(self.schema);
        }
        self.zero_count = by(self.zero_count, other.zero_count);
        self.count = by(self.count, other.count);
        self.sum = by(self.sum, other.sum);
        combine(&mut self.positive, &other.positive, by);
        combine(&mut self.negative, &other.negative, by);
    }

    /// Makes the zero bucket reach this far, or to the end of a bucket into which that falls.
    fn widen(&mut self, threshold: f64) {
        let schema = self.schema;
        let mut reached = threshold;
        loop {
            let sides = self.positive.iter().chain(&self.negative);
            let cut = sides.filter(|(number, count)| *count != 0.0 && end(number - 1, schema) < reached);
            let ends = cut.map(|(number, _)| end(*number, schema)).fold(reached, f64::max);
            if ends == reached {
                break;
            }
            reached = ends;
        }
        self.zero_threshold = reached;
        for side in [&mut self.positive, &mut self.negative] {
            let inside = side.partition_point(|(number, _)| end(number - 1, schema) < reached);
            self.zero_count = side.drain(..inside).fold(self.zero_count, |sum, (_, count)| sum + count);
        }
    }
}

/// Whether a bucket holds less than it did.
fn has_fallen(now: &Buckets, before: &Buckets) -> bool {
    let mut now = now.iter().peekable();
    before.iter().any(|(number, count)| {
        while now.next_if(|(other, _)| other < number).is_some() {}
        now.next_if(|(other, _)| other == number).map_or(0.0, |(_, count)| *count) < *count
    })
}

/// Combines counts of buckets by number; one that is missing holds nothing.
fn combine(mine: &mut Buckets, theirs: &Buckets, by: impl Fn(f64, f64) -> f64) {
    let are_same =
        mine.len() == theirs.len() && mine.iter().zip(theirs).all(|(mine, other)| mine.0 == other.0);
    if are_same {
        for ((_, count), (_, other)) in mine.iter_mut().zip(theirs) {
            *count = by(*count, *other);
        }
        return;
    }
    let mut theirs = theirs.iter().peekable();
    let mut all = Vec::with_capacity(mine.len() + theirs.len());
    for (number, count) in mine.drain(..) {
        while let Some((other, theirs)) = theirs.next_if(|(other, _)| *other < number) {
            all.push((*other, by(0.0, *theirs)));
        }
        let same = theirs.next_if(|(other, _)| *other == number).map_or(0.0, |(_, count)| *count);
        all.push((number, by(count, same)));
    }
    all.extend(theirs.map(|(other, count)| (*other, by(0.0, *count))));
    *mine = all;
}

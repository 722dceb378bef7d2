//! Points, and the samples that they give.

use std::collections::BTreeMap;

use crate::protobuf::{Broken, Fields, Raw};

use super::{FINEST, MAX_BUCKETS, Reason};

/// What all points have, and what some have: the fields of one, whatever its kind.
#[derive(Debug, Default)]
pub(super) struct Point<'a> {
    pub(super) attributes: Vec<&'a [u8]>,
    pub(super) time: u64,
    pub(super) is_missing: bool,
    pub(super) value: Option<f64>,
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    pub(super) counts: Vec<u64>,
    pub(super) bounds: Vec<f64>,
    pub(super) quantiles: Vec<(f64, f64)>,
    pub(super) exponential: Exponential,
    pub(super) exemplars: Vec<Exemplar>,
    scale: i32,
    /// The buckets of an exponential histogram: where they begin, and their counts.
    sides: [(i32, Vec<u64>); 2],
}

/// Of which kind a point is, which says what its fields mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Number,
    Histogram,
    Exponential,
    Summary,
}

impl<'a> Point<'a> {
    pub(super) fn read(of: Of, message: &'a [u8]) -> Result<Self, Broken> {
        let mut point = Self::default();
        let (attributes, flags, exemplars) = match of {
            Of::Number => (7, 8, 5),
            Of::Summary => (7, 8, 0),
            Of::Histogram => (9, 10, 8),
            Of::Exponential => (1, 10, 11),
        };
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (of, number, raw) {
                (_, of, Raw::Bytes(message)) if of == attributes => point.attributes.push(message),
                (_, of, Raw::Varint(bits)) if of == flags => point.is_missing = bits & 1 == 1,
                (_, of, Raw::Bytes(message)) if of == exemplars => {
                    point.exemplars.extend(exemplar(message)?);
                }
                (_, 3, Raw::Fixed64(nanos)) => point.time = nanos,
                (Of::Number, 4, Raw::Fixed64(bits)) => point.value = Some(f64::from_bits(bits)),
                (Of::Number, 6, Raw::Fixed64(bits)) => point.value = Some(bits.cast_signed() as f64),
                (Of::Number, ..) => {}
                (_, 4, Raw::Fixed64(count)) => point.count = count,
                (_, 5, Raw::Fixed64(bits)) => point.sum = Some(f64::from_bits(bits)),
                (Of::Histogram, 6, raw) => fixed(raw, &mut point.counts),
                (Of::Histogram, 7, raw) => {
                    let mut bits = Vec::new();
                    fixed(raw, &mut bits);
                    point.bounds.extend(bits.into_iter().map(f64::from_bits));
                }
                (Of::Exponential, 6, Raw::Varint(bits)) => point.scale = zigzag(bits),
                (Of::Exponential, 7, Raw::Fixed64(count)) => point.exponential.zero = count,
                (Of::Exponential, 8 | 9, Raw::Bytes(message)) => {
                    point.sides[usize::from(number == 9)] = side(message)?;
                }
                (Of::Exponential, 14, Raw::Fixed64(bits)) => {
                    point.exponential.threshold = f64::from_bits(bits);
                }
                (Of::Summary, 6, Raw::Bytes(message)) => point.quantiles.push(quantile(message)?),
                _ => {}
            }
        }
        Ok(point)
    }

    /// Whether its parts fit together.
    pub(super) fn check(&mut self, of: Of) -> Result<(), Reason> {
        let fits = match of {
            _ if self.is_missing => true,
            Of::Number => self.value.is_some(),
            Of::Summary => self.quantiles.len() <= MAX_BUCKETS,
            Of::Histogram => {
                let has_none = self.counts.is_empty() && self.bounds.is_empty();
                let ascends = self.bounds.is_sorted_by(|one, other| one < other);
                let all = self.counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
                self.bounds.len() < MAX_BUCKETS
                    && (has_none
                        || self.counts.len() == self.bounds.len() + 1 && ascends && all == Some(self.count))
            }
            Of::Exponential => {
                let sides = std::mem::take(&mut self.sides);
                let [positive, negative] = &sides;
                let exponential = &mut self.exponential;
                exponential.scale = self.scale.min(FINEST);
                let fits = |(offset, counts): &(i32, Vec<u64>)| {
                    counts.len() <= MAX_BUCKETS && offset.checked_add(counts.len() as i32).is_some()
                };
                sides.iter().all(fits)
                    && (-10..=20).contains(&self.scale)
                    && exponential.fill(self.scale, positive, negative).is_some()
                    && exponential.count() == Some(self.count)
            }
        };
        if fits { Ok(()) } else { Err(Reason::NoValue) }
    }
}

fn fixed(raw: Raw<'_>, into: &mut Vec<u64>) {
    match raw {
        Raw::Fixed64(bits) => into.push(bits),
        Raw::Bytes(packed) => {
            let (chunks, _) = packed.as_chunks::<8>();
            into.extend(chunks.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        }
        _ => {}
    }
}

fn zigzag(bits: u64) -> i32 {
    ((bits >> 1) as i32) ^ -((bits & 1) as i32)
}

fn side(message: &[u8]) -> Result<(i32, Vec<u64>), Broken> {
    let (mut offset, mut counts) = (0, Vec::new());
    let mut fields = Fields::of(message);
    while let Some((number, raw)) = fields.next()? {
        match (number, raw) {
            (1, Raw::Varint(bits)) => offset = zigzag(bits),
            (2, Raw::Varint(count)) => counts.push(count),
            (2, Raw::Bytes(packed)) => {
                let mut rest = Fields::of(packed);
                while let Some(count) = rest.packed()? {
                    counts.push(count);
                }
            }
            _ => {}
        }
    }
    Ok((offset, counts))
}

/// One of the cases that a point counts.
#[derive(Debug)]
pub(super) struct Exemplar {
    pub(super) time: u64,
    pub(super) value: f64,
    pub(super) trace_id: String,
    pub(super) span_id: String,
}

/// An `Exemplar`; none where it leads to no trace or has no value.
fn exemplar(message: &[u8]) -> Result<Option<Exemplar>, Broken> {
    let (mut time, mut value, mut trace, mut span) = (0, None, &b""[..], &b""[..]);
    let mut fields = Fields::of(message);
    while let Some((number, raw)) = fields.next()? {
        match (number, raw) {
            (2, Raw::Fixed64(nanos)) => time = nanos,
            (3, Raw::Fixed64(bits)) => value = Some(f64::from_bits(bits)),
            (6, Raw::Fixed64(bits)) => value = Some(bits.cast_signed() as f64),
            (4, Raw::Bytes(id)) => span = id,
            (5, Raw::Bytes(id)) => trace = id,
            _ => {}
        }
    }
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let is_id = |id: &[u8], len| id.len() == len && id.iter().any(|byte| *byte != 0);
    let span_id = if is_id(span, 8) { hex(span) } else { String::new() };
    let value = value.filter(|_| is_id(trace, 16) && time > 0);
    Ok(value.map(|value| Exemplar { time, value, trace_id: hex(trace), span_id }))
}

fn quantile(message: &[u8]) -> Result<(f64, f64), Broken> {
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut fields = Fields::of(message);
    while let Some((number, raw)) = fields.next()? {
        match (number, raw) {
            (1, Raw::Fixed64(bits)) => quantile = f64::from_bits(bits),
            (2, Raw::Fixed64(bits)) => value = f64::from_bits(bits),
            _ => {}
        }
    }
    Ok((quantile, value))
}

/// The buckets of an exponential histogram, none finer than [`FINEST`].
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Exponential {
    scale: i32,
    zero: u64,
    threshold: f64,
    /// By the index of each: from the base to its power, not included, to the next, included.
    positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
}

impl Exponential {
    fn fill(&mut self, scale: i32, positive: &(i32, Vec<u64>), negative: &(i32, Vec<u64>)) -> Option<()> {
        let coarser = u32::try_from(scale - self.scale).ok()?;
        for (side, (offset, counts)) in [(&mut self.positive, positive), (&mut self.negative, negative)] {
            for (index, count) in (*offset..).zip(counts).filter(|(_, count)| **count > 0) {
                let sum: &mut u64 = side.entry(index >> coarser).or_default();
                *sum = sum.checked_add(*count)?;
            }
        }
        Some(())
    }

    fn count(&self) -> Option<u64> {
        let mut all = self.positive.values().chain(self.negative.values());
        all.try_fold(self.zero, |sum, count| sum.checked_add(*count))
    }

    fn coarsen(&mut self, scale: i32) {
        let by = u32::try_from(self.scale - scale).unwrap_or_default();
        for side in [&mut self.positive, &mut self.negative] {
            let mut coarse = BTreeMap::new();
            for (index, count) in side.iter() {
                let sum: &mut u64 = coarse.entry(index >> by).or_default();
                *sum = sum.saturating_add(*count);
            }
            *side = coarse;
        }
        self.scale -= by as i32;
    }

    /// Adds another, at the coarser scale of the two.
    pub(super) fn add(&mut self, other: &Self) {
        if self.count() == Some(0) {
            self.scale = other.scale;
        }
        let mut other = other.clone();
        let scale = self.scale.min(other.scale);
        self.coarsen(scale);
        other.coarsen(scale);
        self.zero = self.zero.saturating_add(other.zero);
        self.threshold = self.threshold.max(other.threshold);
        for (into, from) in [(&mut self.positive, other.positive), (&mut self.negative, other.negative)] {
            for (index, count) in from {
                let sum = into.entry(index).or_default();
                *sum = sum.saturating_add(count);
            }
        }
    }

    /// Upper bounds in ascending order, each with the count of all that lies below. The lower bound of each bucket that
    /// holds anything is there as well, so that who interpolates within it begins where it begins.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bound = |index: i32| (f64::from(index) * 2_f64.powi(-self.scale)).exp2();
        let mut own: Vec<(f64, f64, u64)> = Vec::new();
        own.extend(
            self.negative.iter().rev().map(|(at, count)| (-bound(at.saturating_add(1)), -bound(*at), *count)),
        );
        if self.zero > 0 {
            own.push((-self.threshold, self.threshold, self.zero));
        }
        own.extend(self.positive.iter().map(|(at, count)| (bound(*at), bound(at.saturating_add(1)), *count)));
        let (mut buckets, mut sum): (Vec<(f64, u64)>, u64) = (Vec::new(), 0);
        for (lower, upper, count) in own {
            if buckets.last().is_none_or(|(before, _)| *before < lower) {
                buckets.push((lower, sum));
            }
            sum = sum.saturating_add(count);
            match buckets.last_mut() {
                Some((before, all)) if *before >= upper => *all = sum,
                _ => buckets.push((upper, sum)),
            }
        }
        buckets.retain(|(upper, _)| upper.is_finite());
        // Nothing is added, so that there is one zero and not two.
        buckets.iter_mut().for_each(|(upper, _)| *upper += 0.0);
        buckets
    }
}

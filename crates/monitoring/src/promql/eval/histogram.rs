//! Quantiles of classic histograms, whose buckets are series of their own.

use std::collections::HashMap;

use super::{
    columns::{Column, SAME_LABELS, Steps, merged},
    limits::QueryError,
    query::Evaluator,
};
use crate::{
    promql::{Expr, parse_float},
    series::{BUCKET_LABEL, Labels, METRIC_NAME, is_stale},
};

/// A bucket: how many observations were not above its bound.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    bound: f64,
    count: f64,
}

impl Evaluator<'_> {
    pub(super) fn histogram_quantile(
        &self,
        q: &Expr,
        others: &[Expr],
        steps: Steps,
    ) -> Result<Vec<Column>, QueryError> {
        let Some(of) = others.first() else { return Ok(Vec::new()) };
        let (q, columns) = (self.scalar(q, steps)?, self.vector(of, steps)?);
        let mut histograms: Vec<(Labels, Vec<(f64, &Column)>)> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        for column in &columns {
            let Some(bound) = parse_float(column.labels.get(BUCKET_LABEL)) else { continue };
            let labels = column.labels.filtered(|name| name != BUCKET_LABEL);
            let place = *places.entry(labels.clone()).or_insert(histograms.len());
            match histograms.get_mut(place) {
                Some((_, buckets)) => buckets.push((bound, column)),
                None => histograms.push((labels, vec![(bound, column)])),
            }
        }
        self.meter.values(histograms.len(), steps.count)?;
        let mut results = Vec::with_capacity(histograms.len());
        let mut buckets = Vec::new();
        for (labels, mut of) in histograms {
            of.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            let mut result = Column::absent(labels.filtered(|name| name != METRIC_NAME), steps.count);
            for (index, (into, &q)) in result.values.iter_mut().zip(&q).enumerate() {
                buckets.clear();
                let count =
                    |column: &Column| column.values.get(index).copied().filter(|&count| !is_stale(count));
                buckets.extend(of.iter().filter_map(|(bound, column)| {
                    count(column).map(|count| Bucket { bound: *bound, count })
                }));
                if !buckets.is_empty() {
                    *into = quantile(q, &mut buckets);
                }
            }
            results.push(result);
        }
        merged(results, SAME_LABELS)
    }
}

/// The quantile of buckets that are sorted by their bounds.
fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if !buckets.last().is_some_and(|last| last.bound == f64::INFINITY) {
        return f64::NAN;
    }
    // The same bound may be written in two ways.
    buckets.dedup_by(|later, first| {
        let same = later.bound == first.bound;
        if same {
            first.count += later.count;
        }
        same
    });
    // Buckets that were not collected at the same moment may contradict each other: counts never fall.
    let mut highest = buckets.first().map_or(0.0, |first| first.count);
    for bucket in buckets.iter_mut() {
        if bucket.count < highest {
            bucket.count = highest;
        }
        highest = bucket.count;
    }
    let [finite @ .., last] = buckets.as_slice() else { return f64::NAN };
    let (Some(greatest), Some(lowest)) = (finite.last(), finite.first()) else { return f64::NAN };
    if last.count == 0.0 {
        return f64::NAN;
    }
    let rank = q * last.count;
    // What lies in the bucket without an end is taken for the last bound that is known.
    let Some(place) = finite.iter().position(|bucket| bucket.count >= rank) else { return greatest.bound };
    let Some(bucket) = finite.get(place) else { return greatest.bound };
    let Some(before) = place.checked_sub(1).and_then(|before| finite.get(before)) else {
        // The first bucket begins at zero, if it ends above it.
        return if lowest.bound <= 0.0 { lowest.bound } else { lowest.bound * (rank / lowest.count) };
    };
    let share = (rank - before.count) / (bucket.count - before.count);
    before.bound + (bucket.bound - before.bound) * share
}

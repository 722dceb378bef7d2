//! Windows over samples: those of a range of a selector, and those that a subquery makes.

use super::{
    columns::{Column, Steps},
    limits::QueryError,
    query::{Evaluator, Point, points},
    storage::Samples,
};
use crate::{
    promql::{
        Expr, ExprKind,
        ast::{Subquery, When},
    },
    series::{Labels, is_stale},
};

/// The samples of a step, and which time they stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) times: &'a [i64],
    pub(super) values: &'a [f64],
    /// The time of the step.
    pub(super) step: i64,
    /// Which step it is.
    pub(super) index: usize,
    /// The first and the last time that belong to the window.
    pub(super) start: i64,
    pub(super) end: i64,
    /// Whether some value is below the one before it.
    pub(super) falls: bool,
}

/// What a series has over the whole time of a query.
type Series = (Labels, Samples);

impl Evaluator<'_> {
    /// A value for each window of each series that has samples in it.
    pub(super) fn windows(
        &self,
        expr: &Expr,
        steps: Steps,
        value: &mut dyn FnMut(Window<'_>) -> Option<f64>,
    ) -> Result<Vec<Column>, QueryError> {
        let mut columns = Vec::new();
        let Some((when, range)) = time_of(expr) else { return Ok(columns) };
        self.each_series(expr, steps, &mut |labels, samples| {
            self.meter.values(1, steps.count)?;
            let mut column = Column::absent(labels, steps.count);
            let (mut low, mut high) = (0, 0);
            let mut falls = falls(&samples.values).into_iter().peekable();
            for (index, (step, into)) in steps.times().zip(&mut column.values).enumerate() {
                let end = self.meant(when, step);
                let start = end.saturating_sub(range);
                high = after(&samples.times, high, |time| time <= end);
                low = after(&samples.times, low, |time| time < start);
                let (Some(times), Some(values)) =
                    (samples.times.get(low..high), samples.values.get(low..high))
                else {
                    continue;
                };
                if times.is_empty() {
                    continue;
                }
                while falls.next_if(|place| *place <= low).is_some() {}
                let falls = falls.peek().is_some_and(|place| *place < high);
                if let Some(value) = value(Window { times, values, step, index, start, end, falls }) {
                    *into = value;
                }
            }
            if !column.is_absent() {
                columns.push(column);
            }
            Ok(())
        })?;
        columns.sort_by(|one, other| one.labels.cmp(&other.labels));
        Ok(columns)
    }

    /// The samples of the one window of a step.
    pub(super) fn window_at(
        &self,
        expr: &Expr,
        steps: Steps,
    ) -> Result<Vec<(Labels, Vec<Point>)>, QueryError> {
        let mut found = Vec::new();
        self.each_series(expr, steps, &mut |labels, samples| {
            let of = samples.times.iter().zip(&samples.values);
            let points: Vec<Point> = of.map(|(&time, &value)| Point { time, value }).collect();
            if !points.is_empty() {
                found.push((labels, points));
            }
            Ok(())
        })?;
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(found)
    }

    fn each_series(
        &self,
        expr: &Expr,
        steps: Steps,
        visit: &mut dyn FnMut(Labels, &Samples) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let Some((when, range)) = time_of(expr).filter(|_| steps.count > 0) else { return Ok(()) };
        let from = self.meant(when, steps.start).saturating_sub(range);
        let to = self.meant(when, steps.last());
        match &expr.unwrapped().kind {
            ExprKind::Range(selector, _) => {
                let mut samples = Samples::default();
                for series in self.selected(&selector.matchers, from, to)? {
                    samples.clear();
                    series.samples.read(from, to, &mut samples)?;
                    self.meter.samples(samples.len())?;
                    without_markers(&mut samples);
                    visit(series.labels, &samples)?;
                }
                Ok(())
            }
            ExprKind::Subquery(subquery) => {
                for (labels, samples) in self.subquery(subquery, from, to)? {
                    visit(labels, &samples)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The values of an expression at steps that are multiples of their distance, whatever the query's are.
    fn subquery(&self, subquery: &Subquery, from: i64, to: i64) -> Result<Vec<Series>, QueryError> {
        let step = subquery.step.unwrap_or(self.default_step).max(1);
        let first = from.div_euclid(step) * step;
        let start = if first < from { first + step } else { first };
        let steps = Steps::between(start, to, step);
        self.meter.values(1, steps.count)?;
        let columns = self.vector(&subquery.expr, steps)?;
        let mut made = Vec::with_capacity(columns.len());
        for (labels, points) in points(columns, steps) {
            self.meter.samples(points.len())?;
            let (times, values) = points.into_iter().map(|point| (point.time, point.value)).unzip();
            made.push((labels, Samples { times, values }));
        }
        Ok(made)
    }
}

/// Which time a range is about, and how long it is.
fn time_of(expr: &Expr) -> Option<(&When, i64)> {
    match &expr.unwrapped().kind {
        ExprKind::Range(selector, range) => Some((&selector.when, *range)),
        ExprKind::Subquery(subquery) => Some((&subquery.when, subquery.range)),
        _ => None,
    }
}

/// Where values are below the one before: a counter hardly ever falls, so that few windows have to be walked over.
fn falls(values: &[f64]) -> Vec<usize> {
    let pairs = || values.iter().zip(values.get(1..).unwrap_or_default());
    // Without a branch, so that several are looked at at once.
    if !pairs().fold(false, |any, (before, after)| any | (after < before)) {
        return Vec::new();
    }
    let falls = (1..).zip(pairs()).filter(|(_, (before, after))| after < before);
    falls.map(|(place, _)| place).collect()
}

/// The first place from `at` on whose time is not before something; in steps that double, since a window may be moved by
/// one sample or by a day.
fn after(times: &[i64], mut at: usize, is_before: impl Fn(i64) -> bool) -> usize {
    let mut step = 1;
    while times.get(at + step - 1).is_some_and(|&time| is_before(time)) {
        at += step;
        step *= 2;
    }
    let rest = times.get(at..times.len().min(at + step - 1)).unwrap_or_default();
    at + rest.partition_point(|&time| is_before(time))
}

/// Takes out the markers of ended series.
fn without_markers(samples: &mut Samples) {
    if !samples.values.iter().fold(false, |any, &value| any | is_stale(value)) {
        return;
    }
    let mut marks = samples.values.iter().map(|&value| is_stale(value)).collect::<Vec<_>>().into_iter();
    samples.times.retain(|_| !marks.next().unwrap_or(false));
    samples.values.retain(|&value| !is_stale(value));
}

//! Values of many series at many steps.

use std::collections::HashMap;

use super::limits::QueryError;
use crate::series::{Labels, STALE, is_stale};

/// The steps at which something is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) start: i64,
    pub(super) step: i64,
    pub(super) count: usize,
}

impl Steps {
    pub(super) fn one(at: i64) -> Self {
        Self { start: at, step: 1, count: 1 }
    }

    /// From a time to another, both included where a step falls on them.
    pub(super) fn between(start: i64, end: i64, step: i64) -> Self {
        let count = if end < start { 0 } else { end.abs_diff(start) / step.unsigned_abs().max(1) + 1 };
        Self { start, step, count: usize::try_from(count).unwrap_or(usize::MAX) }
    }

    pub(super) fn at(&self, index: usize) -> i64 {
        self.start + self.step * i64::try_from(index).unwrap_or(i64::MAX)
    }

    pub(super) fn last(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }

    pub(super) fn times(&self) -> impl Iterator<Item = i64> + use<> {
        let steps = *self;
        (0..steps.count).map(move |index| steps.at(index))
    }
}

/// A series with a value for each step.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) labels: Labels,
    /// [`STALE`] where there is none.
    pub(super) values: Vec<f64>,
}

impl Column {
    pub(super) fn absent(labels: Labels, steps: usize) -> Self {
        Self { labels, values: vec![STALE; steps] }
    }

    pub(super) fn is_absent(&self) -> bool {
        self.values.iter().all(|&value| is_stale(value))
    }

    /// Changes the values that are there.
    pub(super) fn map(&mut self, change: impl Fn(usize, f64) -> f64) {
        for (index, value) in self.values.iter_mut().enumerate() {
            if !is_stale(*value) {
                *value = change(index, *value);
            }
        }
    }
}

/// What an expression gives.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A number for each step.
    Scalar(Vec<f64>),
    /// A text.
    Text(String),
    /// Series.
    Vector(Vec<Column>),
}

/// The message for series that cannot be told apart any more.
pub(super) const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

/// Makes one of series that have the same labels, as long as only one of them has a value at each step.
pub(super) fn merged(columns: Vec<Column>, otherwise: &str) -> Result<Vec<Column>, QueryError> {
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(columns.len());
    let mut result: Vec<Column> = Vec::with_capacity(columns.len());
    for column in columns {
        let place = *places.entry(column.labels.clone()).or_insert(result.len());
        let Some(into) = result.get_mut(place) else {
            result.push(column);
            continue;
        };
        for (value, new) in into.values.iter_mut().zip(column.values) {
            if is_stale(new) {
                continue;
            }
            if !is_stale(*value) {
                return Err(QueryError::Execution(otherwise.to_owned()));
            }
            *value = new;
        }
    }
    Ok(result)
}

/// Refuses series that cannot be told apart, whenever they have values.
pub(super) fn distinct(mut columns: Vec<Column>) -> Result<Vec<Column>, QueryError> {
    columns.retain(|column| !column.is_absent());
    let mut seen = std::collections::HashSet::with_capacity(columns.len());
    if columns.iter().all(|column| seen.insert(&column.labels)) {
        return Ok(columns);
    }
    Err(QueryError::Execution(SAME_LABELS.to_owned()))
}

/// Takes the names off, because the values are not what the names say any more.
pub(super) fn nameless(mut columns: Vec<Column>) -> Result<Vec<Column>, QueryError> {
    for column in &mut columns {
        column.labels = column.labels.without_name();
    }
    merged(columns, SAME_LABELS)
}

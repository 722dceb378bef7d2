//! Many series made one, or fewer. Which series belong together follows from their labels, so it is found once.

use std::collections::HashMap;

use super::{
    columns::{Column, Steps, Value},
    limits::QueryError,
    math::keeps_infinite,
    quantile::quantile,
    query::Evaluator,
};
use crate::{
    promql::{
        ast::{Aggregate, AggregateOp as Op},
        format_float,
    },
    series::{Labels, METRIC_NAME, STALE, is_label_name, is_stale},
};

/// A group: the labels of its result, and its series in order.
struct Group {
    labels: Labels,
    columns: Vec<Column>,
}

impl Evaluator<'_> {
    pub(super) fn aggregate(&self, aggregate: &Aggregate, steps: Steps) -> Result<Vec<Column>, QueryError> {
        let param = match &aggregate.param {
            Some(param) => Some(self.evaluate(param, steps)?),
            None => None,
        };
        if let Some(Value::Text(label)) = &param
            && !is_label_name(label)
        {
            return Err(QueryError::Execution(format!(
                "invalid label name {}",
                crate::promql::quoted(label)
            )));
        }
        let groups = grouped(aggregate, self.vector(&aggregate.expr, steps)?);
        self.meter.values(groups.len(), steps.count)?;
        match (aggregate.op, param) {
            (op @ (Op::Topk | Op::Bottomk), Some(Value::Scalar(k))) => {
                let mut results = Vec::new();
                for group in groups {
                    self.meter.go_on()?;
                    results.append(&mut extremes(op == Op::Topk, &k, group, steps)?);
                }
                Ok(results)
            }
            (Op::CountValues, Some(Value::Text(label))) => self.count_values(&label, groups, steps),
            (Op::Quantile, Some(Value::Scalar(q))) => {
                Ok(groups.into_iter().map(|group| quantiles(&q, group, steps)).collect())
            }
            (op, _) => {
                let each =
                    |group: Group| Column { values: folded(op, &group.columns, steps), labels: group.labels };
                Ok(groups.into_iter().map(each).collect())
            }
        }
    }

    fn count_values(&self, label: &str, groups: Vec<Group>, steps: Steps) -> Result<Vec<Column>, QueryError> {
        let mut results: Vec<Column> = Vec::new();
        // By what they are called at the end: the label may be one that the group has.
        let mut places: HashMap<Labels, usize> = HashMap::new();
        for Group { labels, columns } in groups {
            let mut known: HashMap<u64, usize> = HashMap::new();
            for (index, value) in columns.iter().flat_map(|column| column.values.iter().copied().enumerate())
            {
                if is_stale(value) {
                    continue;
                }
                let place = match known.get(&value.to_bits()) {
                    Some(&place) => place,
                    None => {
                        let mut labels = labels.to_builder();
                        labels.set(label.into(), format_float(value, 0.0, f64::INFINITY).into());
                        let labels = labels.build();
                        let place = *places.entry(labels.clone()).or_insert(results.len());
                        if place == results.len() {
                            self.meter.values(1, steps.count)?;
                            results.push(Column::absent(labels, steps.count));
                        }
                        known.insert(value.to_bits(), place);
                        place
                    }
                };
                if let Some(count) = results.get_mut(place).and_then(|result| result.values.get_mut(index)) {
                    *count = if is_stale(*count) { 1.0 } else { *count + 1.0 };
                }
            }
        }
        Ok(results)
    }
}

fn grouped(aggregate: &Aggregate, columns: Vec<Column>) -> Vec<Group> {
    let named = |name: &str| aggregate.labels.iter().any(|label| label == name);
    let key = |labels: &Labels| match aggregate.without {
        true => labels.filtered(|name| name != METRIC_NAME && !named(name)),
        false => labels.filtered(named),
    };
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<Labels, usize> = HashMap::new();
    for column in columns.into_iter().filter(|column| !column.is_absent()) {
        let labels = key(&column.labels);
        let place = *places.entry(labels.clone()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.columns.push(column),
            None => groups.push(Group { labels, columns: vec![column] }),
        }
    }
    groups
}

/// What has been seen of a group at a step.
#[derive(Clone, Copy)]
struct Seen {
    count: f64,
    /// The sum, the extreme, or the sum of squares.
    value: f64,
    mean: f64,
}

impl Seen {
    fn add(&mut self, op: Op, value: f64) {
        self.count += 1.0;
        let first = self.count == 1.0;
        match op {
            Op::Sum => self.value = if first { value } else { self.value + value },
            Op::Max if first || self.value < value || self.value.is_nan() => self.value = value,
            Op::Min if first || self.value > value || self.value.is_nan() => self.value = value,
            Op::Avg if first => self.mean = value,
            Op::Avg if !keeps_infinite(self.mean, value) => {
                // Divided before they are subtracted, so that large ones do not overflow.
                self.mean += value / self.count - self.mean / self.count;
            }
            Op::Stddev | Op::Stdvar if first => self.mean = value,
            Op::Stddev | Op::Stdvar => {
                let distance = value - self.mean;
                self.mean += distance / self.count;
                self.value += distance * (value - self.mean);
            }
            _ => {}
        }
    }

    fn result(self, op: Op) -> f64 {
        match op {
            _ if self.count == 0.0 => STALE,
            Op::Avg => self.mean,
            Op::Count => self.count,
            Op::Group => 1.0,
            Op::Stddev => (self.value / self.count).sqrt(),
            Op::Stdvar => self.value / self.count,
            _ => self.value,
        }
    }
}

fn folded(op: Op, columns: &[Column], steps: Steps) -> Vec<f64> {
    let mut seen = vec![Seen { count: 0.0, value: 0.0, mean: 0.0 }; steps.count];
    for column in columns {
        for (seen, &value) in seen.iter_mut().zip(&column.values) {
            if !is_stale(value) {
                seen.add(op, value);
            }
        }
    }
    seen.into_iter().map(|seen| seen.result(op)).collect()
}

fn quantiles(q: &[f64], group: Group, steps: Steps) -> Column {
    let mut values = Vec::new();
    let mut at = |(index, &q): (usize, &f64)| {
        values.clear();
        let there = group.columns.iter().filter_map(|column| column.values.get(index));
        values.extend(there.copied().filter(|&value| !is_stale(value)));
        if values.is_empty() { STALE } else { quantile(q, &mut values) }
    };
    let values = q.iter().take(steps.count).enumerate().map(&mut at).collect();
    Column { labels: group.labels, values }
}

/// The series with the largest or smallest values, which may be others at each step.
fn extremes(largest: bool, k: &[f64], group: Group, steps: Steps) -> Result<Vec<Column>, QueryError> {
    let mut kept: Vec<Column> =
        group.columns.iter().map(|column| Column::absent(column.labels.clone(), steps.count)).collect();
    let mut ranked: Vec<(usize, f64)> = Vec::new();
    for (index, &k) in k.iter().enumerate() {
        ranked.clear();
        let there = group.columns.iter().map(|column| column.values.get(index).copied().unwrap_or(STALE));
        ranked.extend(there.enumerate().filter(|(_, value)| !is_stale(*value)));
        if ranked.is_empty() {
            continue;
        }
        let k = whole(k)?;
        // Of equal ones the first; what is no number comes last.
        ranked.sort_by(|(_, a), (_, b)| {
            let descending = if largest { b.partial_cmp(a) } else { a.partial_cmp(b) };
            descending.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        });
        ranked.truncate(k);
        for &(place, value) in &ranked {
            if let Some(into) = kept.get_mut(place).and_then(|column| column.values.get_mut(index)) {
                *into = value;
            }
        }
    }
    if steps.count == 1 {
        // An order is only seen where there is one step.
        return Ok(ranked.iter().filter_map(|(place, _)| kept.get(*place).cloned()).collect());
    }
    kept.retain(|column| !column.is_absent());
    Ok(kept)
}

/// How many are wanted, none where it is below one.
fn whole(k: f64) -> Result<usize, QueryError> {
    if k.is_nan() || k >= 9.223_372_036_854_776e18 || k <= -9.223_372_036_854_776e18 {
        return Err(QueryError::Execution(format!("Scalar value {k} overflows int64")));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is no NaN")]
    Ok(k as usize)
}

//! Operators between numbers and series. Which series belong together follows from their labels, so it is found once.

use std::collections::HashMap;

use super::{
    columns::{Column, SAME_LABELS, Steps, Value, merged},
    limits::QueryError,
    math::any_at_each,
    query::{Evaluated, Evaluator},
};
use crate::{
    promql::ast::{Binary, BinaryOp as Op, Group, Matching},
    series::{Labels, METRIC_NAME, STALE, is_stale},
};

impl Evaluator<'_> {
    pub(super) fn binary(&self, binary: &Binary, steps: Steps) -> Evaluated {
        let (left, right) = (self.evaluate(&binary.left, steps)?, self.evaluate(&binary.right, steps)?);
        match (left, right) {
            (Value::Scalar(left), Value::Scalar(right)) => {
                let both = left.iter().zip(&right);
                // Comparisons of numbers always answer 0 or 1.
                let result =
                    both.map(|(&left, &right)| computed(binary.op, true, left, right).unwrap_or(0.0));
                Ok(Value::Scalar(result.collect()))
            }
            (Value::Vector(columns), Value::Scalar(scalar)) => {
                let with = |value: f64, scalar: f64| computed(binary.op, binary.returns_bool, value, scalar);
                with_scalar(binary, columns, &scalar, with).map(Value::Vector)
            }
            (Value::Scalar(scalar), Value::Vector(columns)) => {
                let filters = binary.op.is_comparison() && !binary.returns_bool;
                let with = |value: f64, scalar: f64| {
                    let result = computed(binary.op, binary.returns_bool, scalar, value)?;
                    // What passes keeps the value of the series, also where it stands on the right.
                    Some(if filters { value } else { result })
                };
                with_scalar(binary, columns, &scalar, with).map(Value::Vector)
            }
            (Value::Vector(left), Value::Vector(right)) if binary.op.is_set() => {
                self.sets(binary, left, right, steps).map(Value::Vector)
            }
            (Value::Vector(left), Value::Vector(right)) => {
                self.matched(binary, left, right, steps).map(Value::Vector)
            }
            _ => Err(QueryError::Execution(format!("{} does not work on strings", binary.op))),
        }
    }

    fn matched(
        &self,
        binary: &Binary,
        left: Vec<Column>,
        right: Vec<Column>,
        steps: Steps,
    ) -> Result<Vec<Column>, QueryError> {
        let right_is_many = binary.matching.group == Group::Right;
        let (many, one) = if right_is_many { (right, left) } else { (left, right) };
        let partners = by_signature(&binary.matching, &one);
        unique(binary, &many, &one, &partners, steps)?;
        let single = binary.matching.group == Group::OneToOne;
        // Of what belongs to one partner, only one may have a result at a step.
        let mut taken: HashMap<Labels, Vec<bool>> = HashMap::new();
        let mut results = Vec::with_capacity(many.len());
        for column in &many {
            let signature = signature(&binary.matching, &column.labels);
            for partner in partners.get(&signature).into_iter().flatten().filter_map(|&place| one.get(place))
            {
                self.meter.values(1, steps.count)?;
                let pair = if right_is_many { (partner, column) } else { (column, partner) };
                let values = paired(binary, pair);
                let result =
                    Column { labels: result_labels(binary, &column.labels, &partner.labels), values };
                if result.is_absent() {
                    continue;
                }
                if single {
                    let taken = taken.entry(signature.clone()).or_insert_with(|| vec![false; steps.count]);
                    for (taken, &value) in taken.iter_mut().zip(&result.values) {
                        let twice = std::mem::replace(taken, *taken || !is_stale(value)) && !is_stale(value);
                        if twice {
                            let why = "multiple matches for labels: many-to-one matching must be explicit \
                                       (group_left/group_right)";
                            return Err(QueryError::Execution(why.to_owned()));
                        }
                    }
                }
                results.push(result);
            }
        }
        let twice = "multiple matches for labels: grouping labels must ensure unique matches";
        merged(results, if single { SAME_LABELS } else { twice })
    }
}

fn paired(binary: &Binary, (left, right): (&Column, &Column)) -> Vec<f64> {
    let result = |(&left, &right): (&f64, &f64)| {
        if is_stale(left) || is_stale(right) {
            return STALE;
        }
        computed(binary.op, binary.returns_bool, left, right).unwrap_or(STALE)
    };
    left.values.iter().zip(&right.values).map(result).collect()
}

fn with_scalar(
    binary: &Binary,
    mut columns: Vec<Column>,
    scalar: &[f64],
    with: impl Fn(f64, f64) -> Option<f64>,
) -> Result<Vec<Column>, QueryError> {
    for column in &mut columns {
        column.map(|index, value| scalar.get(index).and_then(|&scalar| with(value, scalar)).unwrap_or(STALE));
        if changes_meaning(binary) {
            column.labels = column.labels.without_name();
        }
    }
    columns.retain(|column| !column.is_absent());
    merged(columns, SAME_LABELS)
}

/// Whether the result is not what the name says any more.
fn changes_meaning(binary: &Binary) -> bool {
    binary.returns_bool || (!binary.op.is_comparison() && !binary.op.is_set() && binary.op != Op::Atan2)
}

/// The labels by which a series finds its partner.
pub(super) fn signature(matching: &Matching, labels: &Labels) -> Labels {
    let named = |name: &str| matching.labels.iter().any(|label| label == name);
    match matching.on {
        true => labels.filtered(named),
        false => labels.filtered(|name| name != METRIC_NAME && !named(name)),
    }
}

fn by_signature(matching: &Matching, columns: &[Column]) -> HashMap<Labels, Vec<usize>> {
    let mut places: HashMap<Labels, Vec<usize>> = HashMap::new();
    for (place, column) in columns.iter().enumerate() {
        places.entry(signature(matching, &column.labels)).or_default().push(place);
    }
    places
}

/// Refuses a side on which more than one series could be the partner at a step.
fn unique(
    binary: &Binary,
    many: &[Column],
    one: &[Column],
    partners: &HashMap<Labels, Vec<usize>>,
    steps: Steps,
) -> Result<(), QueryError> {
    let mut needed: Option<Vec<bool>> = None;
    for (signature, places) in partners.iter().filter(|(_, places)| places.len() > 1) {
        let needed = needed.get_or_insert_with(|| any_at_each(many, steps.count));
        let mut first: Vec<Option<usize>> = vec![None; steps.count];
        for &place in places {
            let Some(column) = one.get(place) else { continue };
            for ((first, &value), _) in
                first.iter_mut().zip(&column.values).zip(&*needed).filter(|(_, needed)| **needed)
            {
                if is_stale(value) {
                    continue;
                }
                let Some(before) = first.replace(place).and_then(|before| one.get(before)) else { continue };
                let side = if binary.matching.group == Group::Right { "left" } else { "right" };
                return Err(QueryError::Execution(format!(
                    "found duplicate series for the match group {signature} on the {side} hand-side of the operation: \
                     [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                    column.labels, before.labels
                )));
            }
        }
    }
    Ok(())
}

fn result_labels(binary: &Binary, many: &Labels, one: &Labels) -> Labels {
    let matching = &binary.matching;
    let named = |name: &str| matching.labels.iter().any(|label| label == name);
    let mut labels = many.to_builder();
    if changes_meaning(binary) {
        labels.keep(|name| name != METRIC_NAME);
    }
    if matching.group == Group::OneToOne {
        labels.keep(|name| named(name) == matching.on);
    }
    for name in &matching.include {
        match one.find(name) {
            Some(label) => labels.set(label.name.clone(), label.value.clone()),
            None => labels.keep(|label| label != name),
        };
    }
    labels.build()
}

/// The result of an operator, or nothing where a comparison does not hold.
fn computed(op: Op, returns_bool: bool, left: f64, right: f64) -> Option<f64> {
    let holds = match op {
        Op::Add => return Some(left + right),
        Op::Sub => return Some(left - right),
        Op::Mul => return Some(left * right),
        Op::Div => return Some(left / right),
        Op::Mod => return Some(left % right),
        Op::Pow => return Some(left.powf(right)),
        Op::Atan2 => return Some(left.atan2(right)),
        Op::Equal => left == right,
        Op::NotEqual => left != right,
        Op::Greater => left > right,
        Op::Less => left < right,
        Op::GreaterEqual => left >= right,
        Op::LessEqual => left <= right,
        Op::And | Op::Or | Op::Unless => return None,
    };
    match (holds, returns_bool) {
        (true, true) => Some(1.0),
        (false, true) => Some(0.0),
        (true, false) => Some(left),
        (false, false) => None,
    }
}

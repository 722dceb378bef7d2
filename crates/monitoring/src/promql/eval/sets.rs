//! `and`, `or` and `unless`: which series are there, whatever their values.

use std::collections::HashMap;

use super::{
    binary::signature,
    columns::{Column, SAME_LABELS, Steps, merged},
    limits::QueryError,
    query::Evaluator,
};
use crate::{
    promql::ast::{Binary, BinaryOp, Matching},
    series::{Labels, STALE, is_stale},
};

impl Evaluator<'_> {
    pub(super) fn sets(
        &self,
        binary: &Binary,
        mut left: Vec<Column>,
        mut right: Vec<Column>,
        steps: Steps,
    ) -> Result<Vec<Column>, QueryError> {
        let (matching, count) = (&binary.matching, steps.count);
        if binary.op == BinaryOp::Or {
            let there = presence(matching, &left, count);
            self.meter.values(there.len(), count)?;
            keep(matching, &mut right, &there, false);
            left.append(&mut right);
        } else {
            let there = presence(matching, &right, count);
            self.meter.values(there.len(), count)?;
            keep(matching, &mut left, &there, binary.op == BinaryOp::And);
        }
        left.retain(|column| !column.is_absent());
        merged(left, SAME_LABELS)
    }
}

/// At which steps some series of a signature is there.
fn presence(matching: &Matching, columns: &[Column], steps: usize) -> HashMap<Labels, Vec<bool>> {
    let mut there: HashMap<Labels, Vec<bool>> = HashMap::new();
    for column in columns {
        let at = there.entry(signature(matching, &column.labels)).or_insert_with(|| vec![false; steps]);
        for (at, &value) in at.iter_mut().zip(&column.values) {
            *at |= !is_stale(value);
        }
    }
    there
}

/// Keeps the values at steps at which the other side is there, or is not.
fn keep(matching: &Matching, columns: &mut [Column], there: &HashMap<Labels, Vec<bool>>, wanted: bool) {
    for column in columns {
        let at = there.get(&signature(matching, &column.labels));
        for (index, value) in column.values.iter_mut().enumerate() {
            if at.and_then(|at| at.get(index)).copied().unwrap_or(false) != wanted {
                *value = STALE;
            }
        }
    }
}

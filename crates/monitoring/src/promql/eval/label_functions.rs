//! Functions that change labels.

use std::sync::Arc;

use super::{
    columns::{Column, SAME_LABELS, Steps, Value, merged},
    limits::QueryError,
    query::Evaluator,
};
use crate::{
    promql::{Expr, quoted},
    series::{anchored, is_label_name},
};

impl Evaluator<'_> {
    fn texts(&self, arguments: &[Expr], steps: Steps) -> Result<Vec<String>, QueryError> {
        let text = |argument: &Expr| match self.evaluate(argument, Steps::one(steps.start))? {
            Value::Text(text) => Ok(text),
            _ => Err(QueryError::Execution("expected a string".to_owned())),
        };
        arguments.iter().map(text).collect()
    }

    pub(super) fn label_replace(
        &self,
        of: &Expr,
        arguments: &[Expr],
        steps: Steps,
    ) -> Result<Vec<Column>, QueryError> {
        let mut columns = self.vector(of, steps)?;
        let texts = self.texts(arguments, steps)?;
        let [to, replacement, from, expression] = texts.as_slice() else { return Ok(columns) };
        let refused = |why: String| Err(QueryError::Execution(why));
        let regex = match anchored(expression) {
            Ok(regex) => regex,
            Err(error) => {
                return refused(format!("label_replace: {error} in {}", quoted(expression)));
            }
        };
        if !is_label_name(to) {
            return refused(format!("invalid destination label name in label_replace(): {to}"));
        }
        let to: Arc<str> = to.as_str().into();
        for column in &mut columns {
            let Some(found) = regex.captures(column.labels.get(from)) else { continue };
            let mut value = String::new();
            found.expand(replacement, &mut value);
            let mut labels = column.labels.to_builder();
            labels.set(Arc::clone(&to), value.into());
            column.labels = labels.build();
        }
        merged(columns, SAME_LABELS)
    }

    pub(super) fn label_join(
        &self,
        of: &Expr,
        arguments: &[Expr],
        steps: Steps,
    ) -> Result<Vec<Column>, QueryError> {
        let mut columns = self.vector(of, steps)?;
        let texts = self.texts(arguments, steps)?;
        let [to, between, from @ ..] = texts.as_slice() else { return Ok(columns) };
        if let Some(bad) = from.iter().find(|name| !is_label_name(name)) {
            let why = format!("invalid source label name in label_join(): {bad}");
            return Err(QueryError::Execution(why));
        }
        if !is_label_name(to) {
            let why = format!("invalid destination label name in label_join(): {to}");
            return Err(QueryError::Execution(why));
        }
        let to: Arc<str> = to.as_str().into();
        for column in &mut columns {
            let values: Vec<&str> = from.iter().map(|name| column.labels.get(name)).collect();
            let mut labels = column.labels.to_builder();
            labels.set(Arc::clone(&to), values.join(between).into());
            column.labels = labels.build();
        }
        merged(columns, SAME_LABELS)
    }
}

//! A question and its answer.

use std::sync::atomic::AtomicBool;

use super::{
    columns::{Column, Steps, Value, distinct, nameless},
    limits::{Limits, Meter, QueryError},
    storage::Storage,
};
use crate::{
    promql::{Expr, ExprKind, FunctionId, ValueType},
    series::{Labels, is_stale},
};

/// How long a sample counts as the newest one when nothing comes after it, in milliseconds.
pub const LOOKBACK: i64 = 300_000;

/// The furthest time from 1970 that can be asked for, so that sums of times and durations do not overflow.
const FURTHEST: i64 = 1 << 60;

/// A question: an expression at a time, or over time.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// What is asked.
    pub expr: &'a Expr,
    /// The first step, in milliseconds since 1970.
    pub start: i64,
    /// The end, included where a step falls on it.
    pub end: i64,
    /// The distance of steps; `None` asks for one time only, and wants an answer of the expression's own type.
    pub step: Option<i64>,
}

/// A value and its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Milliseconds since 1970.
    pub time: i64,
    /// The value.
    pub value: f64,
}

/// What a query gives.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A number.
    Scalar(Point),
    /// A text and the time that was asked for.
    String(i64, String),
    /// Series with a value each; in the order that was asked for.
    Vector(Vec<(Labels, Point)>),
    /// Series with values over time, in the order of their labels.
    Matrix(Vec<(Labels, Vec<Point>)>),
}

/// Answers queries over a store.
pub struct Evaluator<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) meter: Meter<'a>,
    pub(super) lookback: i64,
    pub(super) default_step: i64,
    /// What `@ start()` and `@ end()` mean.
    pub(super) bounds: (i64, i64),
}

pub(super) type Evaluated = Result<Value, QueryError>;

impl<'a> Evaluator<'a> {
    /// Over a store; whoever sets the flag ends the query.
    #[must_use]
    pub fn new(storage: &'a dyn Storage, limits: Limits, cancelled: &'a AtomicBool) -> Self {
        let meter = Meter::new(limits, cancelled);
        Self { storage, meter, lookback: LOOKBACK, default_step: 60_000, bounds: (0, 0) }
    }

    /// How long a sample counts as the newest one, instead of [`LOOKBACK`].
    #[must_use]
    pub fn with_lookback(mut self, milliseconds: i64) -> Self {
        self.lookback = milliseconds;
        self
    }

    /// The distance of steps of subqueries that do not say it, instead of a minute.
    #[must_use]
    pub fn with_default_step(mut self, milliseconds: i64) -> Self {
        self.default_step = milliseconds.max(1);
        self
    }

    /// Answers.
    ///
    /// # Errors
    ///
    /// For a limit that is hit, a question that the series do not allow, and a store that cannot be read.
    pub fn answer(mut self, query: Query<'_>) -> Result<Answer, QueryError> {
        if query.start.saturating_abs() > FURTHEST || query.end.saturating_abs() > FURTHEST {
            return Err(QueryError::Execution("the time is too far from 1970".to_owned()));
        }
        self.bounds = (query.start, query.end);
        match query.step {
            None => self.at_once(query.expr, query.start),
            Some(step) => self.over_time(query.expr, Steps::between(query.start, query.end, step.max(1))),
        }
    }

    fn at_once(&self, expr: &Expr, time: i64) -> Result<Answer, QueryError> {
        let steps = Steps::one(time);
        if expr.value_type() == ValueType::Matrix {
            return self.window_at(expr, steps).map(Answer::Matrix);
        }
        let point = |value: f64| Point { time, value };
        Ok(match self.evaluate(expr, steps)? {
            Value::Scalar(values) => Answer::Scalar(point(values.first().copied().unwrap_or(f64::NAN))),
            Value::Text(text) => Answer::String(time, text),
            Value::Vector(columns) => {
                let value =
                    |column: &Column| column.values.first().copied().filter(|&value| !is_stale(value));
                let with = |column: Column| value(&column).map(|value| (column.labels, point(value)));
                Answer::Vector(columns.into_iter().filter_map(with).collect())
            }
        })
    }

    fn over_time(&self, expr: &Expr, steps: Steps) -> Result<Answer, QueryError> {
        self.meter.steps(steps.count)?;
        let columns = match self.evaluate(expr, steps)? {
            Value::Vector(columns) => columns,
            Value::Scalar(values) => vec![Column { labels: Labels::default(), values }],
            Value::Text(_) => {
                let why =
                    "invalid expression type \"string\" for range query, must be Scalar or instant Vector";
                return Err(QueryError::Execution(why.to_owned()));
            }
        };
        Ok(Answer::Matrix(points(columns, steps)))
    }

    /// The values of an expression at all steps.
    pub(super) fn evaluate(&self, expr: &Expr, steps: Steps) -> Evaluated {
        if steps.count > 1 && is_compound(expr) && is_fixed(expr) {
            return Ok(repeated(self.evaluate_each(expr, Steps::one(steps.start))?, steps.count));
        }
        self.evaluate_each(expr, steps)
    }

    fn evaluate_each(&self, expr: &Expr, steps: Steps) -> Evaluated {
        match &expr.kind {
            ExprKind::Number(number) => Ok(Value::Scalar(vec![*number; steps.count])),
            ExprKind::String(text) => Ok(Value::Text(text.clone())),
            ExprKind::Selector(selector) => self.newest(selector, steps, false).map(Value::Vector),
            ExprKind::Paren(inner) => self.evaluate(inner, steps),
            ExprKind::Unary(minus, inner) => self.signed(*minus, inner, steps),
            ExprKind::Binary(binary) => self.binary(binary, steps),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, steps).map(Value::Vector),
            ExprKind::Call(function, arguments) => self.call(function.id, arguments, steps),
            ExprKind::Range(..) | ExprKind::Subquery(_) => {
                let why = "a range vector has no value at a step; a function such as rate makes one of it";
                Err(QueryError::Execution(why.to_owned()))
            }
        }
    }

    fn signed(&self, minus: bool, inner: &Expr, steps: Steps) -> Evaluated {
        let value = self.evaluate(inner, steps)?;
        if !minus {
            return Ok(value);
        }
        match value {
            Value::Scalar(values) => Ok(Value::Scalar(values.into_iter().map(|value| -value).collect())),
            Value::Vector(mut columns) => {
                columns.iter_mut().for_each(|column| column.map(|_, value| -value));
                for column in &mut columns {
                    column.labels = column.labels.without_name();
                }
                distinct(columns).map(Value::Vector)
            }
            text @ Value::Text(_) => Ok(text),
        }
    }

    /// The values of an expression that gives a number.
    pub(super) fn scalar(&self, expr: &Expr, steps: Steps) -> Result<Vec<f64>, QueryError> {
        match self.evaluate(expr, steps)? {
            Value::Scalar(values) => Ok(values),
            _ => Err(QueryError::Execution("expected a scalar".to_owned())),
        }
    }

    /// The series of an expression that gives series.
    pub(super) fn vector(&self, expr: &Expr, steps: Steps) -> Result<Vec<Column>, QueryError> {
        match self.evaluate(expr, steps)? {
            Value::Vector(columns) => Ok(columns),
            _ => Err(QueryError::Execution("expected an instant vector".to_owned())),
        }
    }

    /// Changes each value of an expression's series by itself.
    pub(super) fn each(
        &self,
        expr: &Expr,
        steps: Steps,
        change: impl Fn(usize, f64) -> f64,
    ) -> Result<Vec<Column>, QueryError> {
        let mut columns = self.vector(expr, steps)?;
        columns.iter_mut().for_each(|column| column.map(&change));
        nameless(columns)
    }
}

/// The points that are there, of the series that have some, in the order of labels.
pub(super) fn points(columns: Vec<Column>, steps: Steps) -> Vec<(Labels, Vec<Point>)> {
    let of = |values: &[f64]| -> Vec<Point> {
        let points = steps.times().zip(values).map(|(time, &value)| Point { time, value });
        points.filter(|point| !is_stale(point.value)).collect()
    };
    let all = columns.into_iter().map(|column| (column.labels, of(&column.values)));
    let mut found: Vec<_> = all.filter(|(_, points)| !points.is_empty()).collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

fn repeated(value: Value, count: usize) -> Value {
    let one = |values: Vec<f64>| vec![values.first().copied().unwrap_or(f64::NAN); count];
    match value {
        Value::Scalar(values) => Value::Scalar(one(values)),
        Value::Vector(columns) => {
            let each = |column: Column| Column { labels: column.labels, values: one(column.values) };
            Value::Vector(columns.into_iter().map(each).collect())
        }
        text @ Value::Text(_) => text,
    }
}

/// Whether it is worth asking if an expression is the same at all steps.
fn is_compound(expr: &Expr) -> bool {
    matches!(
        expr.kind,
        ExprKind::Binary(_) | ExprKind::Aggregate(_) | ExprKind::Call(..) | ExprKind::Selector(_)
    )
}

/// Whether an expression has the same value at all steps, because `@` fixes every time in it.
fn is_fixed(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => true,
        ExprKind::Selector(selector) | ExprKind::Range(selector, _) => selector.when.at.is_some(),
        ExprKind::Subquery(subquery) => subquery.when.at.is_some(),
        ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => is_fixed(inner),
        ExprKind::Binary(binary) => is_fixed(&binary.left) && is_fixed(&binary.right),
        ExprKind::Aggregate(aggregate) => {
            aggregate.param.as_ref().is_none_or(is_fixed) && is_fixed(&aggregate.expr)
        }
        ExprKind::Call(function, arguments) => {
            !tells_time(function.id, arguments.is_empty()) && arguments.iter().all(is_fixed)
        }
    }
}

/// Whether a function looks at the time of the step.
fn tells_time(id: FunctionId, alone: bool) -> bool {
    use FunctionId as F;
    match id {
        F::Time | F::Timestamp | F::PredictLinear => true,
        F::DayOfMonth
        | F::DayOfWeek
        | F::DayOfYear
        | F::DaysInMonth
        | F::Hour
        | F::Minute
        | F::Month
        | F::Year => alone,
        _ => false,
    }
}

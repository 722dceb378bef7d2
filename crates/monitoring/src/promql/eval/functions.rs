//! Which function does what.

use super::{
    columns::{Column, SAME_LABELS, Steps, Value, distinct, merged, nameless},
    dates,
    limits::QueryError,
    math,
    quantile::quantile,
    query::{Evaluated, Evaluator},
    select::seconds,
    windows::Window,
};
use crate::{
    promql::{Expr, ExprKind, FunctionId as F},
    series::{Labels, METRIC_NAME, MatchOp, STALE, is_stale},
};

type Columns = Result<Vec<Column>, QueryError>;

impl Evaluator<'_> {
    pub(super) fn call(&self, id: F, arguments: &[Expr], steps: Steps) -> Evaluated {
        match id {
            F::Time => return Ok(Value::Scalar(steps.times().map(seconds).collect())),
            F::Pi => return Ok(Value::Scalar(vec![std::f64::consts::PI; steps.count])),
            F::Scalar => return self.only_value(arguments, steps).map(Value::Scalar),
            _ => {}
        }
        let Some((first, others)) = arguments.split_first() else {
            let column = Column { labels: Labels::default(), values: steps.times().map(seconds).collect() };
            return Ok(Value::Vector(with_date(id, vec![column])?));
        };
        let columns = match id {
            F::Absent => self.absent(first, steps),
            F::Clamp | F::ClampMin | F::ClampMax | F::Round => self.bounded(id, first, others, steps),
            F::LabelReplace => self.label_replace(first, others, steps),
            F::LabelJoin => self.label_join(first, others, steps),
            F::HistogramQuantile => self.histogram_quantile(first, others, steps),
            F::HistogramCount | F::HistogramSum | F::HistogramFraction => {
                // Of histograms that are single samples, of which there are none; what is not one gives nothing.
                arguments.iter().try_for_each(|argument| self.evaluate(argument, steps).map(|_| ()))?;
                Ok(Vec::new())
            }
            F::Sort | F::SortDesc => self.sorted(id == F::SortDesc, first, steps),
            F::Timestamp => self.timestamp(first, steps),
            F::Vector => Ok(vec![Column { labels: Labels::default(), values: self.scalar(first, steps)? }]),
            _ if dates::is_part(id) => with_date(id, self.vector(first, steps)?),
            _ => match math::function(id) {
                Some(change) => self.each(first, steps, |_, value| change(value)),
                None => self.over_windows(id, first, others, steps),
            },
        };
        columns.map(Value::Vector)
    }

    /// The value where there is one series, and no number elsewhere.
    fn only_value(&self, arguments: &[Expr], steps: Steps) -> Result<Vec<f64>, QueryError> {
        let Some(of) = arguments.first() else { return Ok(Vec::new()) };
        let columns = self.vector(of, steps)?;
        let at = |index: usize| {
            let values = columns.iter().filter_map(|column| column.values.get(index));
            let mut there = values.copied().filter(|&value| !is_stale(value));
            match (there.next(), there.next()) {
                (Some(only), None) => only,
                _ => f64::NAN,
            }
        };
        Ok((0..steps.count).map(at).collect())
    }

    fn absent(&self, of: &Expr, steps: Steps) -> Columns {
        Ok(absence(&self.vector(of, steps)?, of, steps))
    }

    fn bounded(&self, id: F, of: &Expr, others: &[Expr], steps: Steps) -> Columns {
        let bounds: Result<Vec<Vec<f64>>, _> = others.iter().map(|other| self.scalar(other, steps)).collect();
        let bounds = bounds?;
        let bound = |which: usize, index: usize| {
            bounds.get(which).and_then(|values| values.get(index)).copied().unwrap_or(1.0)
        };
        self.each(of, steps, |index, value| match id {
            F::ClampMin => math::max(bound(0, index), value),
            F::ClampMax => math::min(bound(0, index), value),
            F::Round => math::round(value, bound(0, index)),
            // Bounds that contradict each other leave nothing.
            _ if bound(1, index) < bound(0, index) => STALE,
            _ => math::max(bound(0, index), math::min(bound(1, index), value)),
        })
    }

    /// An order is only seen where there is one step; over time it is that of labels.
    fn sorted(&self, descending: bool, of: &Expr, steps: Steps) -> Columns {
        let mut columns = self.vector(of, steps)?;
        if steps.count == 1 {
            columns.retain(|column| !column.is_absent());
            let value = |column: &Column| column.values.first().copied().unwrap_or(f64::NAN);
            columns.sort_by(|a, b| {
                let (a, b) = (value(a), value(b));
                let ascending = a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
                // What is no number comes last, in both directions.
                if descending && !a.is_nan() && !b.is_nan() { ascending.reverse() } else { ascending }
            });
        }
        Ok(columns)
    }

    /// When a sample was, where a selector is asked, and the time of the step for everything else.
    fn timestamp(&self, of: &Expr, steps: Steps) -> Columns {
        if let ExprKind::Selector(selector) = &of.unwrapped().kind {
            return nameless(self.newest(selector, steps, true)?);
        }
        self.each(of, steps, |index, _| seconds(steps.at(index)))
    }

    fn over_windows(&self, id: F, first: &Expr, others: &[Expr], steps: Steps) -> Columns {
        let (of, parameters) = match (id, others.first()) {
            (F::QuantileOverTime, Some(of)) => (of, std::slice::from_ref(first)),
            _ => (first, others),
        };
        let parameters: Result<Vec<Vec<f64>>, _> =
            parameters.iter().map(|parameter| self.scalar(parameter, steps)).collect();
        let parameters = parameters?;
        let parameter = |which: usize, index: usize| {
            parameters.get(which).and_then(|values| values.get(index)).copied().unwrap_or(f64::NAN)
        };
        if id == F::HoltWinters && steps.count > 0 {
            for (which, name) in [(0, "smoothing"), (1, "trend")] {
                math::between_0_and_1(parameter(which, 0), name)?;
            }
        }
        let mut value = |window: Window<'_>| {
            let of = |which| parameter(which, window.index);
            match id {
                F::QuantileOverTime => Some(quantile(of(0), &mut window.values.to_vec())),
                F::PredictLinear => math::predicted(&window, of(0)),
                F::HoltWinters => math::smoothed(&window, of(0), of(1)),
                _ => math::over_time(id, &window),
            }
        };
        let mut columns = self.windows(of, steps, &mut value)?;
        match id {
            F::LastOverTime => return distinct(columns),
            F::AbsentOverTime => return Ok(absence(&columns, of, steps)),
            _ => {}
        }
        for column in &mut columns {
            column.labels = column.labels.without_name();
        }
        distinct(columns)
    }
}

/// Parts of dates, of columns of seconds.
fn with_date(id: F, mut columns: Vec<Column>) -> Columns {
    columns.iter_mut().for_each(|column| column.map(|_, value| dates::part(id, value)));
    for column in &mut columns {
        column.labels = column.labels.without_name();
    }
    merged(columns, SAME_LABELS)
}

/// 1 where nothing is, with the labels that the selector says for certain.
fn absence(columns: &[Column], of: &Expr, steps: Steps) -> Vec<Column> {
    let there =
        |index: usize| columns.iter().any(|column| column.values.get(index).is_some_and(|v| !is_stale(*v)));
    let values = (0..steps.count).map(|index| if there(index) { STALE } else { 1.0 }).collect();
    let column = Column { labels: said(of), values };
    if column.is_absent() { Vec::new() } else { vec![column] }
}

/// The labels that a selector fixes: those that one equality alone speaks of.
fn said(of: &Expr) -> Labels {
    let (ExprKind::Selector(selector) | ExprKind::Range(selector, _)) = &of.unwrapped().kind else {
        return Labels::default();
    };
    let matchers = selector.matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME);
    let (mut seen, mut labels): (Vec<&str>, Vec<(&str, &str)>) = (Vec::new(), Vec::new());
    for matcher in matchers {
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            seen.push(matcher.name());
            labels.push((matcher.name(), matcher.value()));
        } else {
            labels.retain(|(name, _)| *name != matcher.name());
        }
    }
    Labels::new(labels)
}

//! What functions compute: of a value, and of the samples of a window. Sums over time are compensated (Neumaier),
//! so that a small addend is not lost beside a large one.

use super::{columns::Column, limits::QueryError, select::seconds, windows::Window};
use crate::promql::FunctionId as F;

/// The functions of one value.
pub(super) fn function(id: F) -> Option<fn(f64) -> f64> {
    Some(match id {
        F::Abs => f64::abs,
        F::Acos => f64::acos,
        F::Acosh => f64::acosh,
        F::Asin => f64::asin,
        F::Asinh => f64::asinh,
        F::Atan => f64::atan,
        F::Atanh => f64::atanh,
        F::Ceil => f64::ceil,
        F::Cos => f64::cos,
        F::Cosh => f64::cosh,
        F::Deg => |value| value * 180.0 / std::f64::consts::PI,
        F::Exp => f64::exp,
        F::Floor => f64::floor,
        F::Ln => f64::ln,
        F::Log10 => f64::log10,
        F::Log2 => f64::log2,
        F::Rad => |value| value * std::f64::consts::PI / 180.0,
        F::Sgn => |value| match value {
            _ if value < 0.0 => -1.0,
            _ if value > 0.0 => 1.0,
            _ => value,
        },
        F::Sin => f64::sin,
        F::Sinh => f64::sinh,
        F::Sqrt => f64::sqrt,
        F::Tan => f64::tan,
        F::Tanh => f64::tanh,
        _ => return None,
    })
}

/// The larger one; no number where one is none, unlike the method of the same name.
pub(super) fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { infinite_or_nan(a, b, f64::INFINITY) } else { a.max(b) }
}

/// The smaller one; no number where one is none.
pub(super) fn min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { infinite_or_nan(a, b, f64::NEG_INFINITY) } else { a.min(b) }
}

/// An infinity that decides wins over what is no number.
fn infinite_or_nan(a: f64, b: f64, infinity: f64) -> f64 {
    if a == infinity || b == infinity { infinity } else { f64::NAN }
}

/// To the nearest multiple, the upper one where two are as near.
pub(super) fn round(value: f64, to: f64) -> f64 {
    // As the inverse, because most multiples that people want are fractions that no double is.
    let inverse = 1.0 / to;
    (value * inverse + 0.5).floor() / inverse
}

/// A sum that keeps what its additions lost.
#[derive(Clone, Copy, Default)]
struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost +=
            if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        self.sum = sum;
    }

    fn total(self) -> f64 {
        self.sum + self.lost
    }

    /// The sum, where an infinity has made what was lost meaningless.
    fn finite_total(self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.total() }
    }
}

/// The functions of a window that need nothing beside it.
pub(super) fn over_time(id: F, window: &Window<'_>) -> Option<f64> {
    let values = window.values;
    let first = values.first().copied()?;
    let extreme = |better: fn(f64, f64) -> bool| {
        let pick = |best: f64, &value: &f64| if better(value, best) || best.is_nan() { value } else { best };
        values.iter().fold(first, pick)
    };
    let pairs = || values.iter().zip(values.iter().skip(1));
    Some(match id {
        F::Rate => extrapolated(window, true, true)?,
        F::Increase => extrapolated(window, true, false)?,
        F::Delta => extrapolated(window, false, false)?,
        F::Irate => newest_change(window, true)?,
        F::Idelta => newest_change(window, false)?,
        F::Deriv if values.len() >= 2 => regression(window, window.times.first().copied()?).0,
        F::AvgOverTime => average(values),
        F::SumOverTime => {
            let mut sum = Sum::default();
            values.iter().for_each(|&value| sum.add(value));
            sum.finite_total()
        }
        F::CountOverTime => count(values.len()),
        F::PresentOverTime | F::AbsentOverTime => 1.0,
        F::LastOverTime => values.last().copied()?,
        F::MaxOverTime => extreme(|value, best| value > best),
        F::MinOverTime => extreme(|value, best| value < best),
        F::StddevOverTime => variance(values).sqrt(),
        F::StdvarOverTime => variance(values),
        F::Changes => count(pairs().filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan())).count()),
        F::Resets => count(pairs().filter(|(a, b)| b < a).count()),
        _ => return None,
    })
}

#[allow(clippy::cast_precision_loss, reason = "no window has that many samples")]
fn count(count: usize) -> f64 {
    count as f64
}

fn average(values: &[f64]) -> f64 {
    let (mut mean, mut seen) = (Sum::default(), 0.0);
    for &value in values {
        seen += 1.0;
        if !keeps_infinite(mean.sum, value) {
            // Divided before they are subtracted, so that large ones do not overflow.
            mean.add(value / seen - mean.sum / seen);
        }
    }
    mean.finite_total()
}

/// Whether a mean that is infinite stays what it is with another value.
pub(super) fn keeps_infinite(mean: f64, value: f64) -> bool {
    mean.is_infinite() && (value.is_finite() || (value.is_infinite() && (mean > 0.0) == (value > 0.0)))
}

fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut squares, mut seen) = (Sum::default(), Sum::default(), 0.0);
    for &value in values {
        seen += 1.0;
        let distance = value - mean.total();
        mean.add(distance / seen);
        squares.add(distance * (value - mean.total()));
    }
    squares.total() / seen
}

/// The change over a window, extrapolated to its ends as far as samples are likely to have been there.
fn extrapolated(window: &Window<'_>, counter: bool, per_second: bool) -> Option<f64> {
    let (values, times) = (window.values, window.times);
    let (first, last) = (*values.first()?, *values.last()?);
    let (began, ended) = (*times.first()?, *times.last()?);
    if values.len() < 2 {
        return None;
    }
    let mut change = last - first;
    if counter && window.falls {
        // A counter that falls was reset: what it had counted until then is added.
        let pairs = values.iter().zip(values.iter().skip(1));
        change = pairs.filter(|(before, after)| after < before).fold(change, |sum, (before, _)| sum + before);
    }
    let mut to_start = seconds(began - window.start);
    let to_end = seconds(window.end - ended);
    let covered = seconds(ended - began);
    let distance = covered / count(values.len() - 1);
    if counter && change > 0.0 && first >= 0.0 {
        // A counter cannot have been below zero.
        to_start = to_start.min(covered * (first / change));
    }
    let reached = |gap: f64| if gap < distance * 1.1 { gap } else { distance / 2.0 };
    let mut factor = (covered + reached(to_start) + reached(to_end)) / covered;
    if per_second {
        factor /= seconds(window.end - window.start);
    }
    Some(change * factor)
}

/// The change between the two newest samples.
fn newest_change(window: &Window<'_>, per_second: bool) -> Option<f64> {
    let [.., before, last] = window.values else { return None };
    let [.., began, ended] = window.times else { return None };
    let change = if per_second && last < before { *last } else { last - before };
    if ended == began {
        return None;
    }
    Some(if per_second { change / seconds(ended - began) } else { change })
}

/// The slope of the line that fits best, and its value at a time.
fn regression(window: &Window<'_>, at: i64) -> (f64, f64) {
    let first = window.values.first().copied().unwrap_or(f64::NAN);
    if window.values.iter().skip(1).all(|&value| value == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let [mut x_sum, mut y_sum, mut xy_sum, mut xx_sum] = [Sum::default(); 4];
    for (&time, &y) in window.times.iter().zip(window.values) {
        let x = seconds(time - at);
        x_sum.add(x);
        y_sum.add(y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let n = count(window.values.len());
    let (x, y) = (x_sum.total(), y_sum.total());
    let slope = (xy_sum.total() - x * y / n) / (xx_sum.total() - x * x / n);
    (slope, y / n - slope * x / n)
}

/// Where the line that fits best will be in so many seconds.
pub(super) fn predicted(window: &Window<'_>, ahead: f64) -> Option<f64> {
    if window.values.len() < 2 {
        return None;
    }
    let (slope, now) = regression(window, window.step);
    Some(slope * ahead + now)
}

/// Double exponential smoothing, after Holt and Winters.
pub(super) fn smoothed(window: &Window<'_>, smoothing: f64, trend_factor: f64) -> Option<f64> {
    let [first, second, ..] = window.values else { return None };
    let (mut before, mut level, mut trend) = (0.0, *first, second - first);
    for (index, value) in window.values.iter().enumerate().skip(1) {
        if index > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + trend);
        (before, level) = (level, next);
    }
    Some(level)
}

/// Refuses factors that smooth nothing or everything.
pub(super) fn between_0_and_1(factor: f64, name: &str) -> Result<(), QueryError> {
    if factor > 0.0 && factor < 1.0 {
        return Ok(());
    }
    let why = format!("invalid {name} factor, expected a number between 0 and 1, got {factor}");
    Err(QueryError::Execution(why))
}

/// Whether any column has a value at each step.
pub(super) fn any_at_each(columns: &[Column], steps: usize) -> Vec<bool> {
    let mut any = vec![false; steps];
    for column in columns {
        for (any, &value) in any.iter_mut().zip(&column.values) {
            *any |= !crate::series::is_stale(value);
        }
    }
    any
}

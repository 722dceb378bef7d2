//! From selectors to values.

use super::{
    columns::{Column, Steps},
    limits::QueryError,
    query::Evaluator,
    storage::{Samples, Selected},
};
use crate::{
    promql::ast::{At, Selector, When},
    series::{Matcher, STALE, is_stale},
};

impl Evaluator<'_> {
    /// The time that is meant at a step.
    pub(super) fn meant(&self, when: &When, step: i64) -> i64 {
        let at = match when.at {
            Some(At::Time(time)) => time,
            Some(At::Start) => self.bounds.0,
            Some(At::End) => self.bounds.1,
            None => step,
        };
        at.saturating_sub(when.offset.unwrap_or(0))
    }

    /// The series that are meant, in the order in which the store reads them best.
    pub(super) fn selected(
        &self,
        matchers: &[Matcher],
        from: i64,
        to: i64,
    ) -> Result<Vec<Selected<'_>>, QueryError> {
        self.meter.go_on()?;
        let selected = self.storage.select(matchers, from, to)?;
        self.meter.series(selected.len())?;
        Ok(selected)
    }

    /// The newest value of each series at each step, or when it was.
    pub(super) fn newest(
        &self,
        selector: &Selector,
        steps: Steps,
        times: bool,
    ) -> Result<Vec<Column>, QueryError> {
        if steps.count == 0 {
            return Ok(Vec::new());
        }
        let (first, last) =
            (self.meant(&selector.when, steps.start), self.meant(&selector.when, steps.last()));
        let from = first.saturating_sub(self.lookback);
        let mut columns = Vec::new();
        let mut samples = Samples::default();
        for series in self.selected(&selector.matchers, from, last)? {
            samples.clear();
            series.samples.read(from, last, &mut samples)?;
            self.meter.samples(samples.len())?;
            self.meter.values(1, steps.count)?;
            let values = self.newest_of(&samples, &selector.when, steps, times);
            let column = Column { labels: series.labels, values };
            if !column.is_absent() {
                columns.push(column);
            }
        }
        columns.sort_by(|one, other| one.labels.cmp(&other.labels));
        Ok(columns)
    }

    fn newest_of(&self, samples: &Samples, when: &When, steps: Steps, times: bool) -> Vec<f64> {
        let mut next = 0;
        let mut at = |step: i64| -> f64 {
            let meant = self.meant(when, step);
            while samples.times.get(next).is_some_and(|&time| time <= meant) {
                next += 1;
            }
            let Some(newest) = next.checked_sub(1) else { return STALE };
            match (samples.times.get(newest), samples.values.get(newest)) {
                (Some(&time), Some(&value)) if time >= meant - self.lookback && !is_stale(value) => {
                    if times {
                        seconds(time)
                    } else {
                        value
                    }
                }
                _ => STALE,
            }
        };
        steps.times().map(&mut at).collect()
    }
}

/// A time of milliseconds as PromQL counts it.
#[allow(clippy::cast_precision_loss, reason = "PromQL's times are doubles")]
pub(super) fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

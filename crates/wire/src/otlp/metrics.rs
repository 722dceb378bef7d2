//! OTLP metrics: what senders measure, as series that PromQL can be asked over.
//!
//! The translation is the one of OpenTelemetry's specification for Prometheus: names with their units and `_total`,
//! attributes and the scope as labels, `service.name` as `job`, `service.instance.id` as `instance`, and the rest of a
//! resource once as `target_info`. Histograms become classic buckets. An exponential one gives a bucket for each of its
//! own that holds anything, at no finer scale than [`FINEST`], so that the set of bounds only ever grows.
//!
//! What a sender counts anew each time (delta) is added up in [`Deltas`]: a series of Prometheus counts from its
//! beginning. After a restart it begins anew, which every reader of counters takes for the reset that it is.
//!
//! Exemplars stay with the total of a counter, or with the bucket that they were counted in; of their labels the ids of
//! trace and span are kept, as `trace_id` and `span_id`.
//!
//! Points are refused one by one and named in the answer's partial success; the others are taken. Only bytes that are
//! no message spoil a request.

mod deltas;
mod labels;
mod names;
mod points;
mod walk;

use std::collections::BTreeMap;

use super::Malformed;

pub use deltas::Deltas;
pub use walk::decode;

#[cfg(test)]
mod tests;

/// The finest scale of buckets: four for each doubling.
pub const FINEST: i32 = 2;
/// How many labels a series may have.
pub const MAX_LABELS: usize = 64;
/// How many bytes a label's name or value may have.
pub const MAX_VALUE_BYTES: usize = 16 << 10;
/// How many buckets a histogram may have.
pub const MAX_BUCKETS: usize = 1_024;
/// How many bytes the labels of all series of a request may have: those of a histogram stand with each of its buckets.
pub const MAX_OUTPUT_BYTES: usize = 64 << 20;

/// What takes the samples of a request: a series, then its samples.
pub trait Sink {
    /// Labels that are sorted by name, unique and not empty.
    fn series(&mut self, labels: &[(&str, &str)]);

    /// A sample of that series: milliseconds since 1970, and a value.
    fn sample(&mut self, time: i64, value: f64);

    /// An exemplar of that series, with labels that are sorted by name and unique.
    fn exemplar(&mut self, time: i64, value: f64, labels: &[(&str, &str)]);

    /// What is said of a metric beside its samples.
    fn family(&mut self, name: &str, kind: &'static str, help: &str, unit: &str);
}

/// Why a point was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It does not say when it was.
    NoTime,
    /// Its metric has no name, or its labels are more or longer than is taken.
    Labels,
    /// It does not say whether it counts from the beginning or since the last time.
    NoTemporality,
    /// It has no value, or its buckets and bounds do not fit together.
    NoValue,
    /// It counts what was counted already.
    LateDelta,
    /// More is counted anew each time than can be added up.
    TooManyDeltas,
    /// The request says more than a request may.
    TooLarge,
}

impl Reason {
    /// The reason as the ledger names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoTime => "no_time",
            Self::Labels => "invalid_labels",
            Self::NoTemporality => "no_temporality",
            Self::NoValue => "no_value",
            Self::LateDelta => "late_delta",
            Self::TooManyDeltas => "too_many_deltas",
            Self::TooLarge => "too_large",
        }
    }

    /// The rule that was broken, for whoever has to correct the sender.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::NoTime => "a point says when it was",
            Self::Labels => {
                "a metric has a name and a limited number of attributes, which are texts of limited length"
            }
            Self::NoTemporality => "a sum or a histogram is cumulative or delta",
            Self::NoValue => "a point has a value, and a histogram one count more than bounds, which ascend",
            Self::LateDelta => "deltas of a series come in the order of their times",
            Self::TooManyDeltas => "there is room for a limited number of delta series; send cumulative ones",
            Self::TooLarge => "a request says a limited amount; send smaller batches",
        }
    }
}

/// What became of the points of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counted {
    /// Samples that the sink was given.
    pub samples: u64,
    /// Points that were refused, by reason.
    pub refused: BTreeMap<Reason, u64>,
}

impl Counted {
    /// What is answered of the points that were refused; nothing where none was.
    #[must_use]
    pub fn rejected(&self) -> (u64, String) {
        let said = self.refused.iter().map(|(reason, count)| {
            let plural = if *count == 1 { "" } else { "s" };
            format!("{count} point{plural}: {} ({})", reason.as_str(), reason.rule())
        });
        (self.refused.values().sum(), said.collect::<Vec<_>>().join("; "))
    }
}

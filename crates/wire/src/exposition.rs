//! What a target exposes: Prometheus' text 0.0.4 and OpenMetrics 1.0, read where it stands.
//!
//! A target says the same series again and again, in the same order. [`Memory`] therefore knows the bytes that each
//! series stood under at the last reading: where they are the same, which one comparison tells, no label is parsed and
//! no text is built, and the reader's own value for the series is handed to the [`Sink`] at once. It also tells which
//! series have gone.
//!
//! **Strictness is the format's own.** Text 0.0.4 is what Prometheus takes, blanks and comments included: it has rules
//! for lines and none for families. OpenMetrics says that what is invalid or cut off is erroneous as a whole, so its
//! families are checked: types, names, units, order, grouping, the arithmetic of histograms, and the `# EOF` at the
//! end. What these checks need of labels is remembered with the series, so that they cost a steady reading no parsing.
//!
//! A reading that fails has told the sink things that its caller is to forget; see [`Memory::failed`].

mod family;
mod line;
mod memory;

use std::borrow::Cow;

pub use memory::Memory;

#[cfg(test)]
mod tests;

/// How many labels a series or an exemplar may have.
pub const MAX_LABELS: usize = 64;
/// How many bytes the name of a metric or a label may have.
pub const MAX_NAME_BYTES: usize = 1 << 10;
/// How many bytes a label's value may have.
pub const MAX_VALUE_BYTES: usize = 16 << 10;
/// How many characters the labels of an exemplar may have together, as OpenMetrics says.
pub const MAX_EXEMPLAR_CHARS: usize = 128;

/// What a request for an exposition says it takes, the preferred first.
pub const ACCEPT: &str =
    "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";

/// How a body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The format that a content type means. As in Prometheus, whatever is not OpenMetrics is read as text.
    #[must_use]
    pub fn of(content_type: &str) -> Self {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        match kind.eq_ignore_ascii_case("application/openmetrics-text") {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }
}

/// What a family measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kind {
    /// Nobody says; `untyped` in text.
    #[default]
    Unknown,
    /// A number that grows.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// Counts by upper bounds.
    Histogram,
    /// A histogram whose counts may go down.
    GaugeHistogram,
    /// Quantiles that the target computed.
    Summary,
    /// Labels that say something.
    Info,
    /// Flags.
    StateSet,
}

impl Kind {
    /// The kind that a `# TYPE` line means.
    #[must_use]
    pub fn named(format: Format, name: &str) -> Option<Self> {
        Some(match (format, name) {
            (_, "counter") => Self::Counter,
            (_, "gauge") => Self::Gauge,
            (_, "histogram") => Self::Histogram,
            (_, "summary") => Self::Summary,
            (Format::Text, "untyped") | (_, "unknown") => Self::Unknown,
            (_, "gaugehistogram") => Self::GaugeHistogram,
            (_, "info") => Self::Info,
            (_, "stateset") => Self::StateSet,
            _ => return None,
        })
    }

    /// As Prometheus' API calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

/// What is said of a family beside its samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metadata<'a> {
    /// What it measures.
    Kind(Kind),
    /// What it is, in words.
    Help(Cow<'a, str>),
    /// In what it measures.
    Unit(&'a str),
}

/// A value of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'a> {
    /// The value.
    pub value: f64,
    /// When it was so, where the target says it: milliseconds since 1970.
    pub time: Option<i64>,
    /// A case of it.
    pub exemplar: Option<Exemplar<'a>>,
}

/// One of the cases that a sample counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar<'a> {
    /// What leads to it, such as a trace's id.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    /// Its value.
    pub value: f64,
    /// When it was, in milliseconds since 1970.
    pub time: Option<i64>,
}

/// What takes an exposition.
pub trait Sink {
    /// What it keeps of a series from one reading to the next.
    type Series;

    /// A series that was not there at the last reading: labels that are sorted by name, unique and not empty, the
    /// name of the metric among them.
    fn series(&mut self, labels: &[(&str, &str)]) -> Self::Series;

    /// A sample of a series.
    fn sample(&mut self, series: &mut Self::Series, sample: Sample<'_>);

    /// Something about a family.
    fn metadata(&mut self, family: &str, metadata: Metadata<'_>);
}

/// Why a body is no exposition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Malformed {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: Cow<'static, str>,
}

/// What is wrong with a line.
type Wrong = Cow<'static, str>;

//! What is known, in Prometheus' text format 0.0.4.
//!
//! Pure functions onto a string. A family is opened with its name, its help and its type, and its samples
//! follow; the compiler keeps a histogram's parts together, because only [`Family::histogram`] writes
//! them. Names are the program's own and are checked in debug builds; what stands in labels and help may
//! come from anywhere and is escaped.

use std::fmt::Write;

use crate::ExponentialHistogram;

/// The media type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Bounds of the classic buckets of a call's duration, in seconds: from half a millisecond to a minute.
pub const DURATION_BOUNDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A count that only grows.
    Counter,
    /// A value that comes and goes.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Type {
    const fn as_str(self) -> &'static str {
        match self {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        }
    }
}

/// Labels with their values.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// A text in the making.
///
/// ```
/// use monitoring::exposition::{Exposition, Type};
///
/// let mut text = Exposition::new();
/// text.family("bellwether_calls_total", "Calls.", Type::Counter).sample(&[("service", "shop")], 3.0);
/// assert!(text.into_string().ends_with("bellwether_calls_total{service=\"shop\"} 3\n"));
/// ```
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// A family whose samples are being written.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Exposition {
    /// An empty text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a family. All its samples have to be written before the next one is opened, and each family
    /// once, as the format demands.
    pub fn family<'a>(&'a mut self, name: &'a str, help: &str, of: Type) -> Family<'a> {
        debug_assert!(is_name(name), "a name of a family: {name}");
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        escape(&mut self.text, help, false);
        self.text.push_str("\n# TYPE ");
        self.text.push_str(name);
        self.text.push(' ');
        self.text.push_str(of.as_str());
        self.text.push('\n');
        Family { text: &mut self.text, name }
    }

    /// The text.
    pub fn into_string(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// Writes one sample of a counter or a gauge.
    pub fn sample(&mut self, labels: Labels<'_>, value: f64) -> &mut Self {
        self.line("", labels, None, |text| number(text, value));
        self
    }

    /// Writes one sample of a counter that is a whole number, with all its digits.
    pub fn count(&mut self, labels: Labels<'_>, value: u64) -> &mut Self {
        self.line("", labels, None, |text| text.push_str(&value.to_string()));
        self
    }

    /// Writes the classic buckets of a histogram with these bounds, its sum and its count. `sum` is given
    /// because whoever counts nanoseconds knows it better than the histogram.
    pub fn histogram(
        &mut self,
        labels: Labels<'_>,
        histogram: &ExponentialHistogram,
        bounds: &[f64],
        sum: f64,
    ) -> &mut Self {
        for (bound, count) in bounds.iter().zip(histogram.cumulative(bounds)) {
            self.line("_bucket", labels, Some(*bound), |text| text.push_str(&count.to_string()));
        }
        let count = histogram.count().to_string();
        self.line("_bucket", labels, Some(f64::INFINITY), |text| text.push_str(&count));
        self.line("_sum", labels, None, |text| number(text, sum));
        self.line("_count", labels, None, |text| text.push_str(&count));
        self
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, le: Option<f64>, value: impl FnOnce(&mut String)) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let mut separator = '{';
        for (name, value) in labels {
            debug_assert!(is_name(name) && !name.contains(':') && *name != "le", "a name of a label: {name}");
            self.text.push(separator);
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(self.text, value, true);
            self.text.push('"');
            separator = ',';
        }
        if let Some(le) = le {
            self.text.push(separator);
            self.text.push_str("le=\"");
            number(self.text, le);
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        self.text.push(' ');
        value(self.text);
        self.text.push('\n');
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

fn escape(text: &mut String, raw: &str, quotes: bool) {
    for c in raw.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes => text.push_str("\\\""),
            _ => text.push(c),
        }
    }
}

fn number(text: &mut String, value: f64) {
    if value.is_nan() {
        text.push_str("NaN");
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        // Writing to a string cannot fail. Debug writes the shortest form, with an exponent if that is it.
        let written = format!("{value:?}");
        let _ = write!(text, "{}", written.strip_suffix(".0").unwrap_or(&written));
    }
}

//! What a sample belongs to: a series, which is its set of labels.
//!
//! [`Labels`] are sorted, unique and never empty-valued, because a label with an empty value is the
//! same as no label everywhere in this field; they are shared texts behind one pointer, so that a
//! query copies pointers where it keeps, drops and compares them. [`Matcher`]s say which series are meant.
//! A [`Head`] keeps fresh samples in [`Chunk`]s, and finds series by their labels.

mod chunk;
mod head;
mod labels;
mod matcher;

pub use chunk::{CHUNK_SAMPLES, Chunk};
pub use head::{Appended, Head};
pub use labels::{Label, Labels, LabelsBuilder, Texts, is_label_name, is_metric_name};
pub use matcher::{MAX_REGEX_BYTES, MatchOp, Matcher, MatcherError, REGEX_SIZE_LIMIT, anchored};

/// The label that holds the name of the metric.
pub const METRIC_NAME: &str = "__name__";

/// The label of a classic histogram's bucket: its upper bound.
pub const BUCKET_LABEL: &str = "le";

/// The value that says that a series has ended, which is a NaN with bits of its own.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether a value is the marker of an ended series, and not any other NaN.
#[must_use]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

#[cfg(test)]
mod tests;

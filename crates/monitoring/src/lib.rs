//! How it is going: rate, errors and duration of calls, and what they are made of.
//!
//! A [`Recorder`] counts calls where they happen, without a lock; what it collects is an
//! [`ExponentialHistogram`], which merges exactly; a [`Rollup`] keeps the last hour of them by
//! [`CallKey`] and answers with [`RedRow`]s. A [`Ledger`] accounts for every span and sample that was
//! ever received, and [`exposition`] writes what is known in Prometheus' text format.
//!
//! **Absent on purpose:** no I/O, no clock, no randomness, no wire format but the text of `/metrics`,
//! which is how people read these numbers.

mod bounds;
mod calls;
pub mod exposition;
mod histogram;
mod ledger;
mod native;
mod packed;
pub mod promql;
mod recorder;
mod red;
mod rollup;
pub mod scrape;
pub mod series;
mod sources;

pub use calls::{CallKey, Outcome, Reporter, StatusClass};
pub use histogram::{Bucket, ExponentialHistogram, HistogramError, Quantile};
pub use ledger::Ledger;
pub use native::{NativeBucket, NativeHistogram, NativeParts, ResetHint, spanned};
pub use recorder::Recorder;
pub use red::{By, OVERFLOW, RedQuery, RedRow};
pub use rollup::{Rollup, RollupSettings, SLOT, SLOTS, SeriesKey, SeriesState, Total};
pub use sources::{Origin, Sources};

#[cfg(test)]
mod tests;

//! Answers: series by series, over all steps at once.
//!
//! A query over time asks the same question at many steps. Asking it step by step, as is the obvious way, finds
//! series, decodes samples and computes groups again at each one. Here every part of an expression gives a
//! [`Column`](columns::Column) per series, with a value for each step: a series is decoded once and its windows
//! slide over the samples, and what follows from labels (groups, matches, results) is computed once.
//!
//! A step without a value holds the marker of an ended series: no result can have these bits, because selectors
//! take them out and arithmetic never makes them.

mod aggregate;
mod binary;
mod columns;
mod dates;
mod functions;
mod histogram;
mod label_functions;
mod limits;
mod math;
mod quantile;
mod query;
mod select;
mod sets;
mod storage;
mod windows;

pub use limits::{Limits, QueryError};
pub use query::{Answer, Evaluator, LOOKBACK, Point, Query};
pub use storage::{ReadSeries, Samples, Selected, Storage, StorageError};

//! Prometheus' HTTP API as its clients know it: parameters, answers and errors, to the letter.
//!
//! Numbers in answers are texts in the fewest digits that give them back, times are seconds with up to three digits,
//! and an error has a type that clients tell apart. Answers are written straight into a text: an answer over time is
//! mostly numbers, and a tree of JSON values would take ten times its size.

mod answers;
mod failure;
mod federation;
mod parameters;

pub use answers::{
    ExemplarsOf, MetricMetadata, OverBudget, ScrapeTarget, TsdbStatus, build_info, exemplars, label_sets,
    metadata, query, success, targets, texts, tsdb_status,
};
pub use failure::{Failure, FailureKind};
pub use federation::federation;
pub use parameters::{MAX_PARAMETERS, Parameters};

#[cfg(test)]
mod tests;

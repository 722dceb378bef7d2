//! Who is scraped, when, and under which labels.
//!
//! A [`Job`] says it as Prometheus' `scrape_configs` do. What was discovered is a set of labels; relabelling makes a
//! [`Target`] of it, or drops it. The [`Schedule`] says when each is due. Asking is the shell's work.

mod relabel;
mod schedule;
mod target;

pub use relabel::{Action, Rule, RuleError, relabelled};
pub use schedule::{AT_ONCE, FIRST_WITHIN, Schedule};
pub use target::{Job, Prefer, Target, joined};

#[cfg(test)]
mod tests;

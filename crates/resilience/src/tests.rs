//! Each test's name is the claim.

mod breaker;
mod histories;
mod limits;
mod outlier;
mod policy;
mod retry;
mod rules;

use identity::Mono;

use super::*;

/// A moment in milliseconds.
fn at(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

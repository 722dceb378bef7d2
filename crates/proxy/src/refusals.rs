//! How often clients were refused before their requests were any service's calls.
//!
//! What a service's call comes to is counted in its histograms. A request that could not be read, or
//! that names no service, has none; it is counted here, by reason, since the proxy's start.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Counts by reason. There are as many reasons as there are words for them in this package.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<&'static str, u64>>);

impl Refusals {
    pub(crate) fn count(&self, reason: &'static str, more: u64) {
        if more > 0 {
            *self.lock().entry(reason).or_default() += more;
        }
    }

    /// All of them so far.
    pub(crate) fn totals(&self) -> Vec<(String, u64)> {
        self.lock().iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

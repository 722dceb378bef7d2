//! How a service is broken, on purpose.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What is wrong with a service. By default nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// How much later it answers, in milliseconds.
    pub latency_ms: u64,
    /// Which share of its calls fails, from 0 to 1.
    pub errors: f64,
}

impl Fault {
    /// What a bad release does: a tenth of its calls fails.
    pub const BAD_RELEASE: Self = Self { latency_ms: 0, errors: 0.1 };
}

/// The fault that a process has at the moment.
#[derive(Debug, Default)]
pub(crate) struct Faulty(Mutex<Fault>);

impl Faulty {
    /// Replaces it.
    pub(crate) fn set(&self, fault: Fault) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Suffers it, for one call: waits, and says whether the call may succeed.
    pub(crate) async fn suffer(&self) -> bool {
        let Fault { latency_ms, errors } = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if latency_ms > 0 {
            tokio::time::sleep(Duration::from_millis(latency_ms)).await;
        }
        fastrand::f64() >= errors
    }
}

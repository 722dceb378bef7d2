//! Random numbers for ids and for choosing endpoints, from one seed.
//!
//! One shared counter and not a generator for each thread, so that a seed says everything; whoever
//! draws adds to it and mixes what it was.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use identity::{SpanId, TraceId};

/// The golden ratio in 64 bits: steps of it visit all numbers, far apart.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A source of random numbers, shared by all calls.
#[derive(Debug)]
pub(crate) struct Random(AtomicU64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(crate) fn number(&self) -> u64 {
        fastrand::Rng::with_seed(self.0.fetch_add(STEP, Relaxed)).u64(..)
    }

    /// From 0 up to, but not including, 1.
    pub(crate) fn ratio(&self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn trace_id(&self) -> TraceId {
        loop {
            let number = u128::from(self.number()) << 64 | u128::from(self.number());
            if let Some(id) = TraceId::new(number) {
                return id;
            }
        }
    }

    pub(crate) fn span_id(&self) -> SpanId {
        loop {
            if let Some(id) = SpanId::new(self.number()) {
                return id;
            }
        }
    }
}

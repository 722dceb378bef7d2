//! What one query may cost. A limit that is hit is named with its size.

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering},
};

use super::storage::StorageError;

/// What one query may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many samples it may read, those of subqueries among them. Ten million take about a tenth of a second.
    pub samples: usize,
    /// How many series each of its selectors may mean.
    pub series: usize,
    /// How many steps it may have.
    pub steps: usize,
    /// How many bytes of intermediate results it may make.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { samples: 50_000_000, series: 100_000, steps: 11_000, bytes: 1 << 30 }
    }
}

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Too many steps.
    #[error(
        "exceeded maximum resolution of {0} points per timeseries. Try decreasing the query resolution (?step=XX)"
    )]
    Steps(usize),
    /// Too many samples.
    #[error("query reads more than {0} samples; ask for fewer series, a shorter time or a shorter range")]
    Samples(usize),
    /// Too many series.
    #[error("a selector of the query means more than {0} series; add conditions on labels")]
    Series(usize),
    /// Too much memory.
    #[error("query makes more than {0} bytes of intermediate results; ask for fewer series or larger steps")]
    Memory(usize),
    /// Whoever asked does not want to know any more, or it took too long.
    #[error("query was cancelled")]
    Cancelled,
    /// The question cannot be answered for the series there are.
    #[error("{0}")]
    Execution(String),
    /// The store cannot be read.
    #[error("expanding series: {0}")]
    Storage(#[from] StorageError),
}

/// What one query has cost so far.
pub(super) struct Meter<'a> {
    limits: Limits,
    samples: Cell<usize>,
    bytes: Cell<usize>,
    cancelled: &'a AtomicBool,
}

impl<'a> Meter<'a> {
    pub(super) fn new(limits: Limits, cancelled: &'a AtomicBool) -> Self {
        Self { limits, samples: Cell::new(0), bytes: Cell::new(0), cancelled }
    }

    pub(super) fn steps(&self, count: usize) -> Result<(), QueryError> {
        if count > self.limits.steps { Err(QueryError::Steps(self.limits.steps)) } else { Ok(()) }
    }

    pub(super) fn series(&self, count: usize) -> Result<(), QueryError> {
        if count > self.limits.series { Err(QueryError::Series(self.limits.series)) } else { Ok(()) }
    }

    /// Samples that were read. This is also where a query notices that nobody waits for it any more.
    pub(super) fn samples(&self, count: usize) -> Result<(), QueryError> {
        self.go_on()?;
        self.samples.set(self.samples.get().saturating_add(count));
        if self.samples.get() > self.limits.samples {
            return Err(QueryError::Samples(self.limits.samples));
        }
        Ok(())
    }

    /// Values that are about to be made, for so many series at so many steps.
    pub(super) fn values(&self, series: usize, steps: usize) -> Result<(), QueryError> {
        self.go_on()?;
        let bytes = series.saturating_mul(steps.saturating_mul(size_of::<f64>()).saturating_add(64));
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        if self.bytes.get() > self.limits.bytes {
            return Err(QueryError::Memory(self.limits.bytes));
        }
        Ok(())
    }

    pub(super) fn go_on(&self) -> Result<(), QueryError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(QueryError::Cancelled) } else { Ok(()) }
    }
}

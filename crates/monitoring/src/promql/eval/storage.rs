//! What an evaluator needs of a store.

use crate::series::{Labels, Matcher};

/// Samples of one series in the order of their times.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// Milliseconds since 1970.
    pub times: Vec<i64>,
    /// As many values.
    pub values: Vec<f64>,
}

impl Samples {
    /// Appends one.
    pub fn push(&mut self, time: i64, value: f64) {
        self.times.push(time);
        self.values.push(value);
    }

    /// Forgets all, and keeps the room.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
}

/// Why a store could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StorageError(pub String);

/// Where series are.
pub trait Storage {
    /// The series that all matchers mean and that may have samples in a time, both ends included, in the order
    /// in which they are best read.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    fn select(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<Vec<Selected<'_>>, StorageError>;
}

/// A series, and the way to its samples.
pub struct Selected<'a> {
    /// What it is called.
    pub labels: Labels,
    /// Its samples.
    pub samples: Box<dyn ReadSeries + 'a>,
}

/// The samples of a series.
pub trait ReadSeries {
    /// Appends the samples of a time, both ends included, in the order of their times, each time once.
    ///
    /// # Errors
    ///
    /// Where the store cannot be read.
    fn read(&self, from: i64, to: i64, into: &mut Samples) -> Result<(), StorageError>;
}

//! Why events were not recorded, and what their sender should do.

use storage_journal::AppendError;

/// Why a batch was not recorded. None of its events is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The disk is full. Send it again later.
    #[error(transparent)]
    Full(AppendError),
    /// The disk failed. Send it again later.
    #[error(transparent)]
    Disk(AppendError),
    /// It can never be recorded as it is. Send its parts.
    #[error("events of {bytes} bytes are over the limit of {limit}; send smaller batches")]
    TooLarge {
        /// Their size, encoded.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Too much is waiting for the disk, or a batch of the same source is. Send it again later.
    #[error("too many events wait for the disk; send them again later")]
    Busy,
    /// The store is being closed.
    #[error("the event store is closed; send it again when it is back")]
    Closed,
}

impl RecordError {
    /// Whether the same batch may be recorded later.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, RecordError::TooLarge { .. })
    }
}

impl From<AppendError> for RecordError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full { .. } => RecordError::Full(error),
            AppendError::TooLarge { bytes, limit } => RecordError::TooLarge { bytes, limit },
            AppendError::QueueFull { .. } => RecordError::Busy,
            AppendError::Closed => RecordError::Closed,
            _ => RecordError::Disk(error),
        }
    }
}

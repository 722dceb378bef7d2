//! Why a batch was not taken in, and what its sender should do.

use storage_journal::AppendError;

/// Why a batch was not taken in. Nothing of it is kept or counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// The disk is full. Send it again later.
    #[error(transparent)]
    Full(AppendError),
    /// The disk failed. Send it again later.
    #[error(transparent)]
    Disk(AppendError),
    /// It can never be taken in as it is. Send its parts.
    #[error("a batch of {bytes} bytes is over the limit of {limit}; send smaller batches")]
    TooLarge {
        /// Its size, encoded.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Too much is waiting for the disk, or a batch of the same source is. Send it again later.
    #[error("too many batches wait for the disk; send it again later")]
    Busy,
    /// Its counters do not add up, so that the ledger would not either.
    #[error(
        "the batch's counters do not add up: {received} received, but {stored} to store, {sampled_out} \
         sampled out and {dropped} dropped; correct the sender"
    )]
    Unbalanced {
        /// What it says it received.
        received: u64,
        /// What it has.
        stored: u64,
        /// What it says it sampled out.
        sampled_out: u64,
        /// What it says it dropped.
        dropped: u64,
    },
    /// The store is being closed.
    #[error("the store is closed; send it again when it is back")]
    Closed,
}

impl AcceptError {
    /// Whether the same batch may be taken in later.
    pub fn is_temporary(&self) -> bool {
        !matches!(self, AcceptError::TooLarge { .. } | AcceptError::Unbalanced { .. })
    }
}

impl From<AppendError> for AcceptError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full { .. } => AcceptError::Full(error),
            AppendError::TooLarge { bytes, limit } => AcceptError::TooLarge { bytes, limit },
            AppendError::QueueFull { .. } => AcceptError::Busy,
            AppendError::Closed => AcceptError::Closed,
            _ => AcceptError::Disk(error),
        }
    }
}

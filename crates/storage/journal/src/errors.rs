//! What can go wrong, for whom, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a record was not written. `Full` and `Disk` heal by themselves: the next append tries again.
///
/// A record that failed with `Disk` was not acknowledged, but it may have reached the disk all the
/// same and be there after a restart, as with every write whose answer was lost.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// No room, or less than the reserve that the settings keep free.
    #[error(
        "the disk of {folder} is full ({free} bytes free, {reserve} are kept in reserve); nothing was \
         written; free some space, writing goes on by itself"
    )]
    Full {
        /// The journal's folder.
        folder: PathBuf,
        /// Bytes free when it was tried.
        free: u64,
        /// Bytes that this journal leaves to others.
        reserve: u64,
    },
    /// The disk answered with an error.
    #[error(
        "cannot {action} {path}: {why}; the record is not acknowledged; check the disk, writing goes on by itself"
    )]
    Disk {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The disk's answer.
        why: String,
    },
    /// The record, or the batch, can never be written.
    #[error("a record of {bytes} bytes is over the limit of {limit}; write a smaller one")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit that it is over.
        limit: u64,
    },
    /// Too much is waiting for the disk.
    #[error("{queued} bytes wait for the disk, the limit is {limit}; try again later")]
    QueueFull {
        /// Bytes that wait.
        queued: u64,
        /// The limit.
        limit: u64,
    },
    /// The journal was closed.
    #[error("the journal is closed; open it again")]
    Closed,
}

impl AppendError {
    pub(crate) fn disk(action: &'static str, path: &Path, error: &io::Error) -> AppendError {
        AppendError::Disk { action, path: path.to_path_buf(), why: error.to_string() }
    }
}

/// Something that recovery found and that should not be so.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{file}, byte {offset}: {why}", file = .file.display())]
pub struct Damage {
    /// The file in question.
    pub file: PathBuf,
    /// Where its sound part ends.
    pub offset: u64,
    /// What stands there instead of what should.
    pub why: String,
}

/// Why a journal cannot be opened. The folder is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Records that were acknowledged are damaged or missing.
    #[error("the journal is damaged: {}; restore it from a backup", list(.0))]
    Damaged(Vec<Damage>),
    /// A later version wrote it.
    #[error(
        "{file} has format version {found}, and this version knows {supported}; start the version that wrote it, or a later one"
    )]
    Newer {
        /// The file in question.
        file: PathBuf,
        /// The version that it says it has.
        found: u32,
        /// The latest version that this program can read.
        supported: u32,
    },
    /// The owner of the journal does not understand a record.
    #[error(
        "record {record} in {file} is not understood: {why}; start the version that wrote it, or a later one"
    )]
    Replay {
        /// The file that holds the record.
        file: PathBuf,
        /// The record's number.
        record: u64,
        /// What its owner says.
        why: String,
    },
    /// The disk answered with an error.
    #[error("cannot {action} {path}: {source}; check the disk and the folder's permissions")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
        move |source| OpenError::Io { action, path: path.to_path_buf(), source }
    }
}

fn list(damage: &[Damage]) -> String {
    damage.iter().map(Damage::to_string).collect::<Vec<_>>().join("; ")
}

/// Why a segment could not be read back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no such segment, or not any more.
    #[error("there is no segment {0}; it may have been removed meanwhile")]
    NotFound(u64),
    /// It changed since it was written.
    #[error("the journal is damaged: {0}; restore it from a backup")]
    Damaged(Damage),
    /// The disk answered with an error.
    #[error("cannot read {path}: {source}; check the disk")]
    Io {
        /// The file in question.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
}

/// Why there is no new snapshot. The old one and all segments are still there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Another one is being written.
    #[error("another snapshot is being written; try again when it is finished")]
    Busy,
    /// This journal forgets by age; see [`crate::History`].
    #[error("this journal keeps a window of segments and takes no snapshots")]
    NotKept,
    /// No new segment could be begun.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A record is too large.
    #[error("a record of {bytes} bytes is over the limit of {limit}; write a smaller one")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The disk answered with an error.
    #[error("cannot {action} {path}: {source}; check the disk, then try again")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The disk's answer.
        source: io::Error,
    },
}

impl SnapshotError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
        move |source| SnapshotError::Io { action, path: path.to_path_buf(), source }
    }
}

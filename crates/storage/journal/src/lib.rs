//! An append-only journal: what it acknowledged survives `kill -9` and the loss of power.
//!
//! Every embedded store stands on it. Records are appended to segments; many writers share one sync
//! (*group commit*), and a writer is answered after the sync that covers its record. Old records go
//! when a [snapshot](Journal::begin_snapshot) takes their place, or with their segment
//! ([`Journal::remove_before`]), as [`History`] says. The bytes on disk, and the reasons for them, are
//! described in the `format` module.
//!
//! **Its promises**
//!
//! - An acknowledged record is replayed after every crash, in the order of the calls to
//!   [`Journal::append`], or its loss is reported as [`Damage`]. Nothing else is ever replayed but
//!   records that were submitted.
//! - A file whose sync failed is never synced again and trusted: the segment is given up, its waiting
//!   writers get an error, the next append begins a new segment.
//! - A full disk fails appends and nothing else, until there is room again.
//! - The folder of a journal that cannot be opened is left as it is.
//!
//! **What it cannot do**: notice damage to the last group *and* the loss of the mark file at once;
//! these two together look like the torn end of an unfinished write.
//!
//! **Absent on purpose:** no async runtime (an [`Append`] is a plain future, or blocks a thread), no
//! clock, no meaning of records: kinds and payloads belong to the caller.
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use storage_disk::FaultyDisk;
//! use storage_journal::{Journal, Settings};
//!
//! let disk = Arc::new(FaultyDisk::new(1));
//! let folder = Path::new("/data/catalog");
//! let (journal, _) = Journal::open(disk.clone(), folder, Settings::default(), &mut |_, _, _| Ok(()))?;
//! journal.append(7, b"first").wait()?;
//! drop(journal);
//!
//! let mut seen = Vec::new();
//! let (_journal, recovery) = Journal::open(disk, folder, Settings::default(), &mut |_origin, kind, payload| {
//!     seen.push((kind, payload.to_vec()));
//!     Ok(())
//! })?;
//! assert_eq!((seen, recovery.records), (vec![(7, b"first".to_vec())], 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::future::Future;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use storage_disk::Disk;

mod ahead;
mod committer;
mod completion;
mod errors;
mod format;
mod queue;
mod reader;
mod records;
mod recovery;
mod settings;
mod snapshot;

pub use errors::{AppendError, Damage, OpenError, ReadError, SnapshotError};
pub use records::Records;
pub use settings::{AHEAD_BYTES, History, OnDamage, Settings};
pub use snapshot::{Snapshot, SnapshotInfo};

use committer::Committer;
use completion::Waiter;
use format::{FileKind, damaged_path, records, segment_path};
use queue::{Answer, Shared};
use reader::{Next, Reader, Unreadable};

#[cfg(test)]
mod tests;

/// Gets every recovered record: where it is from, its kind, its payload. An error means that the
/// record is not understood and keeps the journal from opening.
pub type Replay<'a> = &'a mut dyn FnMut(Origin, u8, &[u8]) -> Result<(), String>;

/// Gets a record that is read back, and says whether to go on.
pub type Visit<'a> = &'a mut dyn FnMut(Position, u8, &[u8]) -> ControlFlow<()>;

/// Where a replayed record is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The snapshot.
    Snapshot,
    /// The segment with this number; it goes with [`Journal::remove_before`] of the next one.
    Segment(u64),
}

/// Where a durable record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The number of its segment.
    pub segment: u64,
    /// Its number; records count up by one, from 1, over all segments.
    pub record: u64,
}

/// A segment of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number; segments count up by one, from 1.
    pub number: u64,
    /// Its committed length.
    pub bytes: u64,
    /// The number of its first record, also where it has none yet.
    pub first_record: u64,
    /// Whether a part of it is damaged and skipped.
    pub is_damaged: bool,
}

/// What opening a journal found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records replayed from the snapshot.
    pub snapshot_records: u64,
    /// Records replayed from segments.
    pub records: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Bytes at the end of the last segment that were never acknowledged and do not count; zeros that were
    /// written ahead are none of them.
    pub torn_bytes: u64,
    /// Acknowledged records that are damaged or missing; only with [`OnDamage::SkipRest`].
    pub damaged: Vec<Damage>,
}

/// Counters since the journal was opened, and its state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records acknowledged.
    pub records: u64,
    /// Bytes acknowledged, with all framing.
    pub bytes: u64,
    /// Groups acknowledged; each took one sync.
    pub groups: u64,
    /// Records refused because the queue was full.
    pub refused: u64,
    /// Groups, and new segments, that the disk failed.
    pub failures: u64,
    /// Times the mark could not be written; it costs a proof at the next recovery, no data.
    pub mark_failures: u64,
    /// Segments of which a part is damaged and skipped.
    pub damaged_segments: u64,
    /// Bytes that wait for the disk.
    pub queued_bytes: u64,
    /// Why the last attempt failed; `None` once one succeeded again.
    pub failing: Option<String>,
}

impl Stats {
    fn fail(&mut self, error: &AppendError) {
        self.failures += 1;
        self.failing = Some(error.to_string());
    }
}

/// The answer to an append: a future for tasks, [`Append::wait`] for threads. Dropping it changes
/// nothing: the record is written all the same.
#[derive(Debug)]
#[must_use = "the record is durable only when this resolves to Ok"]
pub struct Append(Waiter<Answer>);

impl Append {
    /// Blocks the thread until the record is durable. Not for asynchronous tasks: await it there.
    pub fn wait(self) -> Result<Position, AppendError> {
        self.0.wait().unwrap_or(Err(AppendError::Closed))
    }
}

impl Future for Append {
    type Output = Result<Position, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(AppendError::Closed)))
    }
}

/// An open journal. All methods may be called from any thread at the same time; dropping it closes it.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    settings: Settings,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens the journal in this folder, or begins one, and replays what it holds. The caller sees to
    /// it that the folder has one owner ([`storage_disk::DataFolder`]).
    ///
    /// Blocks the thread while it reads everything.
    pub fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        settings: Settings,
        replay: Replay<'_>,
    ) -> Result<(Journal, Recovery), OpenError> {
        let recovered = recovery::recover(&*disk, folder, &settings, replay)?;
        for damage in &recovered.recovery.damaged {
            tracing::error!(%damage, "acknowledged records are damaged or missing and are skipped");
        }
        let shared = Shared::new(recovered.inner, settings.max_record_bytes, settings.queue_bytes);
        let shared = Arc::new(shared);
        let folder = folder.to_path_buf();
        let mut committer = Committer::new(
            shared.clone(),
            disk.clone(),
            folder.clone(),
            settings.clone(),
            recovered.start,
            recovered.next_record,
        );
        committer.settle();
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || committer.run())
            .map_err(OpenError::io("start the thread of", &folder))?;
        let committer = Mutex::new(Some(thread));
        Ok((Journal { shared, disk, folder, settings, committer }, recovered.recovery))
    }

    /// Appends a record. Records are written in the order of these calls.
    pub fn append(&self, kind: u8, payload: impl AsRef<[u8]>) -> Append {
        self.append_all(&[(kind, payload)])
    }

    /// Appends records of which all are replayed or none, and resolves to the first one's position.
    /// Without records it resolves when everything before it is settled.
    pub fn append_all<P: AsRef<[u8]>>(&self, records: &[(u8, P)]) -> Append {
        Append(self.shared.append(records, false))
    }

    /// Appends records of which all are replayed or none, as [`Journal::append_all`] does, without a copy
    /// of each on the way.
    pub fn append_records(&self, records: &Records) -> Append {
        Append(self.shared.append_records(records))
    }

    /// Appends a record also where the disk has no room left but the reserve
    /// ([`Settings::reserve_bytes`]): for small records without which no room can be made.
    pub fn append_from_reserve(&self, kind: u8, payload: impl AsRef<[u8]>) -> Append {
        Append(self.shared.append(&[(kind, payload)], true))
    }

    /// Begins a new segment after everything appended before this call, unless the newest is empty, and
    /// resolves to the place of the next record. What was the newest segment can then be removed.
    pub fn rotate(&self) -> Append {
        Append(self.shared.rotate())
    }

    /// Begins a snapshot that covers everything appended before this call and nothing after. The
    /// caller holds the same lock around this call as around its appends, captures its state, and
    /// then writes it without the lock.
    pub fn begin_snapshot(&self) -> Result<Snapshot, SnapshotError> {
        if self.settings.history != History::Snapshots {
            return Err(SnapshotError::NotKept);
        }
        let mut inner = self.shared.lock();
        if std::mem::replace(&mut inner.is_snapshot_running, true) {
            return Err(SnapshotError::Busy);
        }
        drop(inner);
        let rotated = self.shared.rotate();
        Ok(Snapshot::new(self.shared.clone(), self.disk.clone(), self.folder.clone(), rotated))
    }

    /// Removes segments with lower numbers, oldest first, but never the newest, and returns the bytes
    /// they had. Only with [`History::Window`]; blocks the thread for the disk.
    pub fn remove_before(&self, number: u64) -> u64 {
        if self.settings.history != History::Window {
            return 0;
        }
        let removable = || {
            let segments = &self.shared.lock().segments;
            segments.values().next().copied().filter(|oldest| oldest.number < number && segments.len() > 1)
        };
        let mut removed = 0;
        while let Some(oldest) = removable() {
            let path = self.path(&oldest);
            // One after the other, so that a crash never leaves a gap.
            if self.disk.remove(&path).and_then(|()| self.disk.sync_folder(&self.folder)).is_err() {
                break;
            }
            self.shared.lock().segments.remove(&oldest.number);
            removed += oldest.bytes;
        }
        removed
    }

    /// Reads a segment's durable records back, in order, until `visit` breaks. Blocks the thread.
    pub fn read(&self, segment: u64, visit: Visit<'_>) -> Result<(), ReadError> {
        let info = self.shared.lock().segments.get(&segment).copied().ok_or(ReadError::NotFound(segment))?;
        let path = self.path(&info);
        let damaged = |offset, why: &str| {
            ReadError::Damaged(Damage { file: path.clone(), offset, why: format!("found {why}") })
        };
        let mut reader = match Reader::open(&*self.disk, &path, FileKind::Segment, segment) {
            Ok(reader) => reader,
            // It had no sound header when it was set aside.
            Err(_) if info.is_damaged => return Ok(()),
            Err(Unreadable::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ReadError::NotFound(segment));
            }
            Err(Unreadable::Io(source)) => return Err(ReadError::Io { path, source }),
            Err(Unreadable::Damaged(why)) => return Err(damaged(0, why)),
            Err(Unreadable::Newer(_)) => return Err(damaged(0, "a later format version")),
        };
        loop {
            let offset = reader.position();
            match reader.next(info.bytes).map_err(|source| ReadError::Io { path: path.clone(), source })? {
                Next::End => return Ok(()),
                Next::Invalid(_) if info.is_damaged => return Ok(()),
                Next::Invalid(why) => return Err(damaged(offset, why)),
                Next::Group(group) => {
                    for ((kind, payload), record) in records(group.body).zip(group.first_record..) {
                        if visit(Position { segment, record }, kind, payload).is_break() {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// All segments, oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.shared.lock().segments.values().copied().collect()
    }

    /// What segments and snapshot take on the disk, with the zeros ahead.
    pub fn bytes(&self) -> u64 {
        let inner = self.shared.lock();
        inner.snapshot_bytes + inner.ahead_bytes + inner.segments.values().map(|info| info.bytes).sum::<u64>()
    }

    /// What the snapshot takes on the disk; 0 where there is none.
    pub fn snapshot_bytes(&self) -> u64 {
        self.shared.lock().snapshot_bytes
    }

    /// Counters and state.
    pub fn stats(&self) -> Stats {
        let inner = self.shared.lock();
        Stats { queued_bytes: inner.queued_bytes(), ..inner.stats.clone() }
    }

    /// Takes no more records, writes those that wait, and ends. Blocks the thread until then.
    pub fn close(&self) {
        self.shared.close();
        let thread = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(folder = %self.folder.display(), "the journal's thread panicked");
        }
    }

    fn path(&self, info: &SegmentInfo) -> PathBuf {
        let path = if info.is_damaged { damaged_path } else { segment_path };
        path(&self.folder, info.number)
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

//! A snapshot takes the place of all segments before it.
//!
//! ```text
//! begin    a new segment N begins; all that was appended before is in older ones
//! write    the caller writes the state that those led to, into N.snapshot.tmp, while appends go on
//! finish   sync, rename to N.snapshot, sync the folder; only then older files are removed
//! ```
//!
//! A crash anywhere leaves either the old snapshot with all segments, or the new one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use storage_disk::{Disk, File, Open};

use crate::Position;
use crate::committer::salt;
use crate::completion::Waiter;
use crate::errors::{AppendError, SnapshotError};
use crate::format::{FileKind, GroupBuffer, HEADER_BYTES, Header, damaged_path, segment_path, snapshot_path};
use crate::queue::{Rotated, Shared};

/// Groups of a snapshot are written when they reach this size, which is the memory it needs.
const GROUP_BYTES: usize = 256 * 1024;

/// What a finished snapshot holds and what it replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The first segment that it does not cover.
    pub segment: u64,
    /// Records in it.
    pub records: u64,
    /// Its size.
    pub bytes: u64,
    /// Bytes of segments and older snapshots that were removed.
    pub removed_bytes: u64,
}

/// A snapshot that is being written. Dropped unfinished, it leaves everything as it was.
#[derive(Debug)]
pub struct Snapshot {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Rotating(Waiter<Rotated>),
    Writing(Writing),
    Over,
}

#[derive(Debug)]
struct Writing {
    number: u64,
    temporary: PathBuf,
    file: Box<dyn File>,
    salt: u64,
    bytes: u64,
    records: u64,
    group: GroupBuffer,
}

impl Snapshot {
    pub(crate) fn new(
        shared: Arc<Shared>,
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        rotated: Waiter<Rotated>,
    ) -> Snapshot {
        Snapshot { shared, disk, folder, stage: Stage::Rotating(rotated) }
    }

    /// Adds a record. Blocks the thread for the disk.
    pub fn write(&mut self, kind: u8, payload: &[u8]) -> Result<(), SnapshotError> {
        let (bytes, limit) = (payload.len() as u64, self.shared.max_record_bytes());
        if bytes > limit {
            return Err(SnapshotError::TooLarge { bytes, limit });
        }
        let writing = self.writing()?;
        writing.group.push(kind, payload);
        if writing.group.len() < GROUP_BYTES { Ok(()) } else { writing.flush() }
    }

    /// Makes the snapshot durable and removes what it covers. Blocks the thread for the disk.
    pub fn finish(mut self) -> Result<SnapshotInfo, SnapshotError> {
        let writing = self.writing()?;
        writing.flush()?;
        writing.close()?;
        let (number, records, bytes) = (writing.number, writing.records, writing.bytes);
        let temporary = writing.temporary.clone();
        let path = snapshot_path(&self.folder, number);
        self.disk.rename(&temporary, &path).map_err(SnapshotError::io("rename", &temporary))?;
        self.stage = Stage::Over;
        self.disk.sync_folder(&self.folder).map_err(SnapshotError::io("sync", &self.folder))?;
        let removed_bytes = self.remove_covered(number, bytes);
        Ok(SnapshotInfo { segment: number, records, bytes, removed_bytes })
    }

    fn writing(&mut self) -> Result<&mut Writing, SnapshotError> {
        if let Stage::Rotating(_) = self.stage
            && let Stage::Rotating(rotated) = std::mem::replace(&mut self.stage, Stage::Over)
        {
            let start = rotated.wait().unwrap_or(Err(AppendError::Closed))?;
            self.stage = Stage::Writing(self.create(start)?);
        }
        match &mut self.stage {
            Stage::Writing(writing) => Ok(writing),
            _ => Err(SnapshotError::Append(AppendError::Closed)),
        }
    }

    fn create(&self, start: Position) -> Result<Writing, SnapshotError> {
        let number = start.segment;
        let temporary = snapshot_path(&self.folder, number).with_added_extension("tmp");
        let failed = SnapshotError::io("create", &temporary);
        let create = || {
            // A leftover may have failed its sync, so it is not written again.
            match self.disk.remove(&temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = self.disk.open(&temporary, Open::CreateNew)?;
            let header = Header { number, first_record: start.record, previous_bytes: 0, salt: salt()? };
            file.write_all_at(&header.encode(FileKind::Snapshot), 0)?;
            Ok((file, header.salt))
        };
        let (file, salt) = create().map_err(failed)?;
        let group = GroupBuffer::new();
        Ok(Writing { number, temporary, file, salt, bytes: HEADER_BYTES, records: 0, group })
    }

    fn remove_covered(&self, number: u64, bytes: u64) -> u64 {
        let mut inner = self.shared.lock();
        let kept = inner.segments.split_off(&number);
        let covered = std::mem::replace(&mut inner.segments, kept);
        let old_snapshot = inner.snapshot.replace(number).filter(|old| *old < number);
        let old_bytes = std::mem::replace(&mut inner.snapshot_bytes, bytes);
        drop(inner);
        let segments = covered.values().map(|info| {
            let path = if info.is_damaged { damaged_path } else { segment_path };
            (path(&self.folder, info.number), info.bytes)
        });
        let snapshots = old_snapshot.map(|old| (snapshot_path(&self.folder, old), old_bytes));
        // What cannot be removed now goes when the journal is opened the next time.
        let removed = segments.chain(snapshots).filter(|(path, _)| self.disk.remove(path).is_ok());
        removed.map(|(_, bytes)| bytes).sum()
    }
}

impl Writing {
    fn flush(&mut self) -> Result<(), SnapshotError> {
        if self.group.count() == 0 { Ok(()) } else { self.put() }
    }

    /// The closing group has no records and says how many there are.
    fn close(&mut self) -> Result<(), SnapshotError> {
        self.put()?;
        self.file.sync_data().map_err(SnapshotError::io("sync", &self.temporary))
    }

    fn put(&mut self) -> Result<(), SnapshotError> {
        let bytes = self.group.seal(self.salt, self.bytes, self.records);
        self.file.write_all_at(bytes, self.bytes).map_err(SnapshotError::io("write", &self.temporary))?;
        self.bytes += self.group.len() as u64;
        self.records += u64::from(self.group.count());
        let old = std::mem::replace(&mut self.group, GroupBuffer::new());
        self.group = GroupBuffer::reusing(old.into_bytes());
        Ok(())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Stage::Writing(writing) = &self.stage {
            // Nobody reads it; it goes at the latest when the journal is opened the next time.
            let _ = self.disk.remove(&writing.temporary);
        }
        self.shared.lock().is_snapshot_running = false;
    }
}

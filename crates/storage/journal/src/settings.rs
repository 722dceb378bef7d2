//! The limits and choices of a journal.

use std::time::Duration;

/// What journals write ahead where nothing else is said: the groups of 64 busy writers for some ten syncs,
/// and those of a single one for hundreds.
pub const AHEAD_BYTES: u64 = 256 << 10;

/// How old records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// A snapshot takes their place ([`crate::Journal::begin_snapshot`]).
    Snapshots,
    /// Their segments are removed, oldest first ([`crate::Journal::remove_before`]).
    Window,
}

/// What to do with a journal in which acknowledged records are damaged or missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDamage {
    /// It is not opened and left as it is: for state that must be whole to be true.
    Refuse,
    /// The damaged rest of a segment is skipped and reported; the segment stays under a name that
    /// ends in `.damaged`: for records that are worth something each on their own.
    SkipRest,
}

/// How a journal behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A new segment begins where one would grow beyond this. Small ones can be removed early, large
    /// ones mean fewer files.
    pub segment_bytes: u64,
    /// The largest payload of a record. Reading takes as much memory as the largest group, which is
    /// 1 MiB or one batch of records.
    pub max_record_bytes: u64,
    /// How many bytes may wait for the disk; worst-case memory is this and one group. Also the limit
    /// of a batch.
    pub queue_bytes: u64,
    /// How long the first writer of a group waits for others. Nobody is answered before the sync
    /// whatever it is; more means fewer syncs and slower answers. With zero, a group is what
    /// gathered during the sync of the one before.
    pub flush_interval: Duration,
    /// Nothing is appended while the disk has less room than this, so that it stays free for those
    /// who need it more.
    pub reserve_bytes: u64,
    /// At most so many zeros stand ahead of the newest records, so that a sync need not make the file longer
    /// (see the `ahead` module). They count as bytes on the disk, are given back when the segment ends, and
    /// a journal that holds little has as little of them. With 0, every group makes the file longer.
    pub ahead_bytes: u64,
    /// How old records go.
    pub history: History,
    /// What to do with a damaged journal.
    pub on_damage: OnDamage,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            segment_bytes: 64 << 20,
            max_record_bytes: 4 << 20,
            queue_bytes: 16 << 20,
            flush_interval: Duration::ZERO,
            reserve_bytes: 0,
            ahead_bytes: AHEAD_BYTES,
            history: History::Snapshots,
            on_damage: OnDamage::Refuse,
        }
    }
}

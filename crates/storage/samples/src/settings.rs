//! The budget of a sample store.

use std::time::Duration;

use monitoring::RollupSettings;
use storage_journal::{History, OnDamage};

/// How much a sample store may take.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many series are told apart, which bounds memory: about 50 KB for a series that has calls in
    /// every slot of the hour. The snapshot on disk takes about the same.
    pub max_series: usize,
    /// A snapshot takes the place of the journal when that has grown beyond this, or beyond the size of
    /// the last snapshot if that is larger. It is what a restart replays at most, beside the snapshot.
    pub snapshot_after_bytes: u64,
    /// Disk that is left to others: with less room than this, nothing is accepted.
    pub reserve_bytes: u64,
    /// The largest batch, encoded. Reading needs as much memory once.
    pub max_batch_bytes: u64,
    /// How many bytes of batches may wait for the disk. Beyond it, senders are told to come back later.
    pub queue_bytes: u64,
    /// How long a batch may wait for others to share a sync with.
    pub flush_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_series: RollupSettings::default().max_series,
            snapshot_after_bytes: 8 << 20,
            reserve_bytes: 256 << 20,
            max_batch_bytes: 8 << 20,
            queue_bytes: 32 << 20,
            flush_interval: Duration::ZERO,
        }
    }
}

impl Settings {
    pub(crate) fn rollup(&self) -> RollupSettings {
        RollupSettings { max_series: self.max_series }
    }

    pub(crate) fn journal(&self) -> storage_journal::Settings {
        storage_journal::Settings {
            segment_bytes: self.snapshot_after_bytes.max(1 << 10),
            max_record_bytes: self.max_batch_bytes,
            queue_bytes: self.queue_bytes,
            flush_interval: self.flush_interval,
            reserve_bytes: self.reserve_bytes,
            // Batches are few and large, so that a sync more or less is nothing beside them.
            ahead_bytes: 0,
            history: History::Snapshots,
            on_damage: OnDamage::SkipRest,
        }
    }
}

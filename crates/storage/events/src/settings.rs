//! The budget of an event store.

use std::time::Duration;

use storage_journal::{AHEAD_BYTES, History, OnDamage};

/// How much an event store may take, and for how long it keeps events. What goes first is the oldest
/// segment of the journal.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Memory for the newest events: some 250 bytes each, and 150 for each batch of them. Older ones are
    /// read from the disk.
    pub memory_bytes: u64,
    /// Disk for the journal, some 300 bytes an event.
    pub disk_bytes: u64,
    /// How long events are kept. Judged by whole segments: one goes when its newest event is older
    /// than this.
    pub max_age: Duration,
    /// Disk that is left to others: with less room than this, nothing is recorded.
    pub reserve_bytes: u64,
    /// The largest batch, encoded.
    pub max_batch_bytes: u64,
    /// How many bytes of batches may wait for the disk. Beyond it, senders are told to come back later.
    pub queue_bytes: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            memory_bytes: 8 << 20,
            disk_bytes: 256 << 20,
            max_age: Duration::from_secs(30 * 86_400),
            reserve_bytes: 0,
            max_batch_bytes: 1 << 20,
            queue_bytes: 8 << 20,
        }
    }
}

impl Settings {
    pub(crate) fn journal(&self) -> storage_journal::Settings {
        // Retention drops whole segments, so they are small beside the budget.
        let segment_bytes = (self.disk_bytes / 16).clamp(1 << 10, 16 << 20);
        storage_journal::Settings {
            segment_bytes,
            // A batch, its revision and its place; or the last batches of all sources.
            max_record_bytes: self.max_batch_bytes.max(1 << 20) + 64,
            queue_bytes: self.queue_bytes.max(4 << 20),
            flush_interval: Duration::ZERO,
            reserve_bytes: self.reserve_bytes,
            ahead_bytes: AHEAD_BYTES.min(segment_bytes / 16),
            history: History::Window,
            // An audit with holes in it is no audit.
            on_damage: OnDamage::Refuse,
        }
    }
}

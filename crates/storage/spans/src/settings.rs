//! The budget of a span store.

use std::time::Duration;

use storage_journal::{History, OnDamage};

/// How much a span store may take, and for how long it keeps spans. What goes first is the oldest
/// segment of the journal with all that is in memory of it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Memory for spans and their index, some 1.5 KB a span with ten attributes. The newest segment
    /// always stays, so the worst case is this and a tenth, and what is being taken in.
    pub memory_bytes: u64,
    /// Disk for the journal, 200 to 400 bytes a span with ten attributes.
    pub disk_bytes: u64,
    /// How long spans are kept. Judged by whole segments: one goes when its newest batch is older than
    /// this.
    pub max_age: Duration,
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
            memory_bytes: 256 << 20,
            disk_bytes: 1 << 30,
            max_age: Duration::from_secs(3 * 86_400),
            reserve_bytes: 256 << 20,
            max_batch_bytes: 8 << 20,
            queue_bytes: 32 << 20,
            flush_interval: Duration::ZERO,
        }
    }
}

impl Settings {
    pub(crate) fn journal(&self) -> storage_journal::Settings {
        // Retention drops whole segments, so they are small beside both budgets. A span takes about seven
        // times as much memory as disk.
        let segment_bytes = (self.disk_bytes / 20).min(self.memory_bytes / 100).clamp(1 << 10, 64 << 20);
        storage_journal::Settings {
            segment_bytes,
            max_record_bytes: self.max_batch_bytes,
            queue_bytes: self.queue_bytes,
            flush_interval: self.flush_interval,
            reserve_bytes: self.reserve_bytes,
            // Batches are few and large, so that a sync more or less is nothing beside them.
            ahead_bytes: 0,
            history: History::Window,
            on_damage: OnDamage::SkipRest,
        }
    }
}

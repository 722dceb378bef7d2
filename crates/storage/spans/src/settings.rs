//! The budget of a span store.

use std::time::Duration;

use storage_journal::{History, OnDamage};
use traces::sampling::TailPolicy;

/// How much a span store may take, and for how long it keeps spans. What goes first is the oldest block.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Memory for spans that are not sealed yet, for sealing them, and for what is remembered of blocks. It
    /// does not grow with what is stored. A block is sealed when its spans take a sixth of this, so less of it
    /// means smaller blocks, which take more room on the disk and more time to search.
    pub memory_bytes: u64,
    /// Disk for journal and blocks: some 40 bytes a span with ten attributes, sealed, and twice as much before.
    pub disk_bytes: u64,
    /// How long spans are kept. Judged by whole blocks: one goes when its newest batch is older than this.
    pub max_age: Duration,
    /// Spans of a block; sealing them takes some 600 bytes of memory each.
    pub block_spans: u64,
    /// A block is sealed when its oldest batch is older than this, or than a twelfth of `max_age`.
    pub block_age: Duration,
    /// Disk that is left to others: with less room than this, nothing is accepted.
    pub reserve_bytes: u64,
    /// The largest batch, encoded. Reading needs as much memory once.
    pub max_batch_bytes: u64,
    /// How many bytes of batches may wait for the disk. Beyond it, senders are told to come back later.
    pub queue_bytes: u64,
    /// How long a batch may wait for others to share a sync with.
    pub flush_interval: Duration,
    /// Which traces are kept for longer than in memory; all where nothing is said. What is not kept can be read
    /// until the block is sealed that it would have been in, and counts as stored until then.
    pub tail: Option<TailPolicy>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory_bytes: 384 << 20,
            disk_bytes: 1 << 30,
            max_age: Duration::from_secs(3 * 86_400),
            block_spans: 262_144,
            block_age: Duration::from_secs(3_600),
            reserve_bytes: 256 << 20,
            max_batch_bytes: 8 << 20,
            queue_bytes: 32 << 20,
            flush_interval: Duration::ZERO,
            tail: None,
        }
    }
}

impl Settings {
    pub(crate) fn journal(&self) -> storage_journal::Settings {
        // Segments are dropped when a block has all that is in them.
        // One of them may come on top of what memory is to hold when it is read.
        let segment_bytes = (self.disk_bytes / 20).min(self.memory_bytes / 64).clamp(1 << 10, 8 << 20);
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

    /// Memory for spans that come in. As much again is being sealed, and the lists that a block is written
    /// from take up to three times as much for a moment.
    pub(crate) fn active_bytes(&self) -> u64 {
        (self.memory_bytes / 6).max(1)
    }

    /// Memory for what is remembered of blocks.
    pub(crate) fn cache_bytes(&self) -> usize {
        usize::try_from(self.memory_bytes / 8).unwrap_or(usize::MAX)
    }

    pub(crate) fn block_age(&self) -> Duration {
        self.block_age.min(self.max_age / 12)
    }
}

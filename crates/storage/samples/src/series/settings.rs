//! The budget of a series store.

use std::time::Duration;

use storage_journal::{History, OnDamage};

/// How much a series store may take.
#[derive(Debug, Clone)]
pub struct SeriesSettings {
    /// How many series may have samples between two sealed parts, which bounds the memory for their labels;
    /// samples of more are dropped and counted. About 1 KB each.
    pub max_series: usize,
    /// How many of them a service may have; those beyond are folded into few, whose samples are sums.
    pub max_series_of_service: usize,
    /// Memory for what is not sealed yet. A part is sealed at a quarter of it, and senders are told to come
    /// back later while all of it is used, which happens only where parts cannot be written.
    pub memory_bytes: u64,
    /// Memory for the indexes of parts that queries have read, about 200 bytes a series and part.
    pub cache_bytes: u64,
    /// Disk for journal and parts; the oldest part goes first. Old samples may be queried for as long.
    pub disk_bytes: u64,
    /// How old samples become. Older ones are refused, later ones are taken in whatever came before them.
    pub max_age: Duration,
    /// How far in the future a sample may be: what a sender's clock may be ahead.
    pub ahead: Duration,
    /// A part is sealed of what was received in this time.
    pub part_age: Duration,
    /// Disk that is left to others: with less room than this, nothing is accepted.
    pub reserve_bytes: u64,
    /// The largest batch, encoded. Reading needs as much memory once.
    pub max_batch_bytes: u64,
    /// How many bytes of batches may wait for the disk. Beyond it, senders are told to come back later.
    pub queue_bytes: u64,
    /// How long a batch may wait for others to share a sync with.
    pub flush_interval: Duration,
}

impl Default for SeriesSettings {
    fn default() -> Self {
        Self {
            max_series: 200_000,
            max_series_of_service: 100_000,
            memory_bytes: 256 << 20,
            cache_bytes: 32 << 20,
            disk_bytes: 1 << 30,
            max_age: Duration::from_secs(15 * 86_400),
            ahead: Duration::from_secs(3_600),
            part_age: Duration::from_secs(7_200),
            reserve_bytes: 256 << 20,
            max_batch_bytes: 16 << 20,
            queue_bytes: 32 << 20,
            flush_interval: Duration::ZERO,
        }
    }
}

impl SeriesSettings {
    pub(crate) fn journal(&self) -> storage_journal::Settings {
        storage_journal::Settings {
            // A segment ends with its part; what is larger than a quarter of the disk is sealed anyway.
            segment_bytes: (self.disk_bytes / 4).max(1 << 10),
            max_record_bytes: self.max_batch_bytes,
            queue_bytes: self.queue_bytes,
            flush_interval: self.flush_interval,
            reserve_bytes: self.reserve_bytes,
            ahead_bytes: 0,
            history: History::Window,
            on_damage: OnDamage::SkipRest,
        }
    }
}

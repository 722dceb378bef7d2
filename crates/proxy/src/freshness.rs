//! How old the table is by which calls are routed.
//!
//! While the control plane is heard, what it has not changed is as it said, however long ago. When it is
//! away, the table grows old: from when it was last heard, or from when the table was written to the disk.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use identity::Wall;

/// Since when nothing was heard; 0 while something is.
#[derive(Debug, Default)]
pub(crate) struct Freshness(AtomicU64);

impl Freshness {
    /// The control plane is heard.
    pub(crate) fn hear(&self) {
        self.0.store(0, Relaxed);
    }

    /// It is away, since then at the latest.
    pub(crate) fn lose(&self, since: Wall) {
        let _ = self.0.compare_exchange(0, since.0.max(1), Relaxed, Relaxed);
    }

    /// The age of the table; `None` while the control plane is heard.
    pub(crate) fn age(&self, now: Wall) -> Option<Duration> {
        let since = self.0.load(Relaxed);
        (since > 0).then(|| Duration::from_nanos(now.0.saturating_sub(since)))
    }
}

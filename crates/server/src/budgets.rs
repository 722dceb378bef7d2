//! How much memory and disk each pillar may take, so that they do not share fate.

use std::{path::PathBuf, sync::Arc, time::Duration};

use storage_disk::Disk;

/// The budget of one kind of telemetry. The oldest goes when it is used up, and is counted as expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of memory for what is kept, as the store estimates them.
    pub memory_bytes: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
}

/// All budgets. The registry has none: it is bounded by its number of instances, and the reserve keeps
/// room on the disk for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Of traces.
    pub spans: Budget,
    /// How long traces are kept at most.
    pub spans_max_age: Duration,
    /// Of the figures of calls, which are the last hour in windows and the totals; and as much again for the
    /// samples that others send.
    pub samples: Budget,
    /// How many series of others a service may have before further ones are folded into sums; half of what there is
    /// memory for where nobody says.
    pub series_per_service: Option<usize>,
    /// Of events.
    pub events: Budget,
    /// How long events are kept at most.
    pub events_max_age: Duration,
    /// Telemetry is refused when the disk has less room than this, so that registrations still fit.
    pub reserve_bytes: u64,
}

const MIB: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(86_400);

impl Default for Budgets {
    fn default() -> Self {
        Self {
            spans: Budget { memory_bytes: 384 * MIB, disk_bytes: 1024 * MIB },
            spans_max_age: 3 * DAY,
            samples: Budget { memory_bytes: 64 * MIB, disk_bytes: 256 * MIB },
            series_per_service: None,
            events: Budget { memory_bytes: 16 * MIB, disk_bytes: 256 * MIB },
            events_max_age: 30 * DAY,
            reserve_bytes: 64 * MIB,
        }
    }
}

/// Where everything is kept, and how much of it may be.
#[derive(Debug)]
pub(crate) struct Place {
    /// How much.
    pub(crate) budgets: Budgets,
    /// On which disk.
    pub(crate) disk: Arc<dyn Disk>,
    /// In which folder.
    pub(crate) folder: PathBuf,
}

impl Place {
    /// Bytes that may still be written; none where the disk does not say.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        self.disk.free_bytes(&self.folder).ok()
    }
}

/// What a series of calls takes in memory when it has calls in every slot of the hour.
const SERIES_BYTES: u64 = 43 << 10;

/// What a series of others takes in memory, with its labels and the samples of a part.
const FOREIGN_SERIES_BYTES: u64 = 1 << 10;

impl Budgets {
    /// How many series of calls the memory for samples holds.
    pub(crate) fn max_series(&self) -> usize {
        usize::try_from(self.samples.memory_bytes / SERIES_BYTES).unwrap_or(usize::MAX).max(1)
    }

    /// How many series of others have samples between two parts.
    pub(crate) fn max_foreign_series(&self) -> usize {
        usize::try_from(self.samples.memory_bytes / FOREIGN_SERIES_BYTES).unwrap_or(usize::MAX).max(1)
    }

    /// How many of them a service may have.
    pub(crate) fn max_series_of_service(&self) -> usize {
        self.series_per_service.unwrap_or(self.max_foreign_series() / 2).max(1)
    }
}

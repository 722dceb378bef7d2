//! The recent changes, for watchers that follow from a revision.

use std::{collections::VecDeque, sync::Arc};

use crate::Change;

/// How many changes are kept for watchers that were away. Worst case about 70 MiB, if every one of
/// them carries the largest metadata; ordinarily a hundredth of that.
pub const CHANGES_KEPT: usize = 65_536;

/// What a watcher that has seen everything up to some revision has missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// These changes, in order, and nothing else.
    Changes(Vec<Arc<Change>>),
    /// More than is still known (or a revision that never was): it needs a full snapshot.
    Resync,
}

/// A bounded run of changes without gaps.
#[derive(Debug, Default)]
pub(crate) struct Log {
    changes: VecDeque<Arc<Change>>,
    /// Every change after this revision is kept.
    complete_after: u64,
}

impl Log {
    /// A log of nothing, in which everything up to `revision` is unknown.
    pub(crate) fn beginning_at(revision: u64) -> Self {
        Self { changes: VecDeque::new(), complete_after: revision }
    }

    pub(crate) fn push(&mut self, change: Arc<Change>) {
        if self.changes.len() == CHANGES_KEPT
            && let Some(oldest) = self.changes.pop_front()
        {
            self.complete_after = oldest.revision;
        }
        self.changes.push_back(change);
    }

    /// Every change after this revision is kept.
    pub(crate) fn complete_after(&self) -> u64 {
        self.complete_after
    }

    /// The changes after `revision` that `wanted` selects, if all of them are still known.
    pub(crate) fn since(&self, revision: u64, latest: u64, wanted: impl Fn(&Change) -> bool) -> Since {
        if revision < self.complete_after || revision > latest {
            return Since::Resync;
        }
        let from = self.changes.partition_point(|change| change.revision <= revision);
        Since::Changes(self.changes.range(from..).filter(|change| wanted(change)).cloned().collect())
    }
}

//! The recent changes, for watchers that follow from a revision.
//!
//! Beside the whole run there is one for each service, sharing the changes, so that the watcher of a
//! quiet service does not walk through what the busy ones did.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use identity::{Namespace, ServiceName};

use crate::Change;

/// How many changes are kept for watchers that were away. Worst case about 70 MiB, if every one of
/// them carries the largest metadata; ordinarily a twentieth of that.
pub const CHANGES_KEPT: usize = 65_536;

/// What a watcher that has seen everything up to some revision has missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// These changes, in order, and nothing else.
    Changes(Vec<Arc<Change>>),
    /// More than is still known (or a revision that never was): it needs a full snapshot.
    Resync,
}

/// What a watcher follows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything.
    All,
    /// A namespace.
    Namespace(Namespace),
    /// A service.
    Service(Namespace, ServiceName),
}

impl Scope {
    /// The watchers that a change concerns, the widest first.
    pub fn of(change: &Change) -> [Scope; 3] {
        let (namespace, service) = (&change.target.namespace, &change.target.service);
        [Scope::All, Scope::Namespace(namespace.clone()), Scope::Service(namespace.clone(), service.clone())]
    }
}

/// A bounded run of changes without gaps.
#[derive(Debug, Default)]
pub(crate) struct Log {
    changes: VecDeque<Arc<Change>>,
    services: HashMap<(Namespace, ServiceName), VecDeque<Arc<Change>>>,
    /// Every change after this revision is kept.
    complete_after: u64,
}

impl Log {
    /// A log of nothing, in which everything up to `revision` is unknown.
    pub(crate) fn beginning_at(revision: u64) -> Self {
        Self { complete_after: revision, ..Self::default() }
    }

    pub(crate) fn push(&mut self, change: Arc<Change>) {
        if self.changes.len() == CHANGES_KEPT {
            self.drop_oldest();
        }
        self.services.entry(key(&change)).or_default().push_back(change.clone());
        self.changes.push_back(change);
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.changes.pop_front() else { return };
        self.complete_after = oldest.revision;
        let key = key(&oldest);
        if let Some(changes) = self.services.get_mut(&key) {
            // The oldest of all is the oldest of its service.
            changes.pop_front();
            if changes.is_empty() {
                self.services.remove(&key);
            }
        }
    }

    /// Every change after this revision is kept.
    pub(crate) fn complete_after(&self) -> u64 {
        self.complete_after
    }

    /// The changes after `revision` within `scope`, if all of them are still known.
    pub(crate) fn since(&self, revision: u64, latest: u64, scope: &Scope) -> Since {
        if revision < self.complete_after || revision > latest {
            return Since::Resync;
        }
        let after = |changes: &VecDeque<Arc<Change>>, wanted: &dyn Fn(&Change) -> bool| {
            let from = changes.partition_point(|change| change.revision <= revision);
            changes.range(from..).filter(|change| wanted(change)).cloned().collect()
        };
        Since::Changes(match scope {
            Scope::All => after(&self.changes, &|_| true),
            Scope::Namespace(namespace) => {
                after(&self.changes, &|change| change.target.namespace == *namespace)
            }
            Scope::Service(namespace, service) => {
                let changes = self.services.get(&(namespace.clone(), service.clone()));
                changes.map(|changes| after(changes, &|_| true)).unwrap_or_default()
            }
        })
    }
}

fn key(change: &Change) -> (Namespace, ServiceName) {
    (change.target.namespace.clone(), change.target.service.clone())
}

//! The recent changes, for watchers that follow from a revision.
//!
//! Beside the whole run there is one for each service, sharing the changes, so that the watcher of a
//! quiet service neither walks through what the busy ones did nor needs a snapshot because of it.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use identity::{Namespace, ServiceName};

use crate::{Change, Target};

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
    /// The scopes in which an instance is, the widest first.
    pub fn of(target: &Target) -> [Scope; 3] {
        let (namespace, service) = (&target.namespace, &target.service);
        [Scope::All, Scope::Namespace(namespace.clone()), Scope::Service(namespace.clone(), service.clone())]
    }
}

/// A bounded run of changes without gaps.
#[derive(Debug)]
pub(crate) struct Log {
    whole: Run,
    services: HashMap<(Namespace, ServiceName), Run>,
    /// How many there may be.
    keep: usize,
}

#[derive(Debug, Default)]
struct Run {
    changes: VecDeque<Arc<Change>>,
    /// Every change after this revision is kept.
    complete_after: u64,
}

impl Run {
    /// The changes after `revision`; `None` where some of them are no longer known.
    fn after(&self, revision: u64) -> Option<impl Iterator<Item = &Arc<Change>>> {
        let from = self.changes.partition_point(|change| change.revision <= revision);
        (revision >= self.complete_after).then(|| self.changes.range(from..))
    }

    fn drop_oldest(&mut self) -> Option<Arc<Change>> {
        let oldest = self.changes.pop_front()?;
        self.complete_after = oldest.revision;
        Some(oldest)
    }
}

impl Default for Log {
    fn default() -> Self {
        Self::new(0, CHANGES_KEPT)
    }
}

impl Log {
    /// A log of nothing, in which everything up to `revision` is unknown.
    pub(crate) fn new(revision: u64, keep: usize) -> Self {
        let whole = Run { complete_after: revision, ..Run::default() };
        Self { whole, services: HashMap::new(), keep }
    }

    /// `before` is the revision of the last change of the same service, where that is known.
    pub(crate) fn push(&mut self, change: Arc<Change>, before: Option<u64>) {
        if self.whole.changes.len() >= self.keep {
            self.drop_oldest();
        }
        let run = self.services.entry(key(&change)).or_insert_with(|| {
            // What was there and is not kept is older than all that is.
            Run { complete_after: before.unwrap_or(self.whole.complete_after), ..Run::default() }
        });
        run.changes.push_back(change.clone());
        self.whole.changes.push_back(change);
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.whole.drop_oldest() else { return };
        let key = key(&oldest);
        if let Some(run) = self.services.get_mut(&key) {
            // The oldest of all is the oldest of its service.
            run.drop_oldest();
            if run.changes.is_empty() {
                self.services.remove(&key);
            }
        }
    }

    /// Every change after this revision is kept.
    pub(crate) fn complete_after(&self) -> u64 {
        self.whole.complete_after
    }

    /// The changes after `revision` within `scope`, if all of them are still known. `last` is the revision
    /// of the last change within a service, where that is known.
    pub(crate) fn since(&self, revision: u64, scope: &Scope, last: Option<u64>) -> Since {
        let changes: Option<Vec<Arc<Change>>> = match scope {
            Scope::All => self.whole.after(revision).map(|changes| changes.cloned().collect()),
            Scope::Namespace(namespace) => {
                let within = |change: &&Arc<Change>| change.target.namespace == *namespace;
                self.whole.after(revision).map(|changes| changes.filter(within).cloned().collect())
            }
            Scope::Service(namespace, service) => {
                match self.services.get(&(namespace.clone(), service.clone())) {
                    Some(run) => run.after(revision).map(|changes| changes.cloned().collect()),
                    None => (revision >= last.unwrap_or(self.whole.complete_after)).then(Vec::new),
                }
            }
        };
        changes.map_or(Since::Resync, Since::Changes)
    }
}

fn key(change: &Change) -> (Namespace, ServiceName) {
    (change.target.namespace.clone(), change.target.service.clone())
}

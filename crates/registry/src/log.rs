//! The recent changes, for watchers that follow from a revision.
//!
//! Beside the whole run there is one for each service, sharing the changes, so that the watcher of a
//! quiet service neither walks through what the busy ones did nor needs a snapshot because of it.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::{Equivalent, HashMap};
use identity::{Namespace, ServiceName};

use crate::{Change, Effect, Instance, Target};

/// How many changes are kept for watchers that were away: a hundred changes a second for five minutes.
pub const CHANGES_KEPT: usize = 32_768;
/// What they may take together, if the registry has none of their instances any more. Ordinarily it shares
/// these with them, and they take a fifth of it.
pub const CHANGES_BYTES: usize = 64 << 20;

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

/// A bounded run of changes without gaps.
#[derive(Debug)]
pub(crate) struct Log {
    whole: Run,
    services: HashMap<(Namespace, ServiceName), Run>,
    /// How many there may be.
    keep: usize,
    bytes: usize,
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
        Self { whole, services: HashMap::new(), keep, bytes: 0 }
    }

    /// `before` is the revision of the last change of the same service, where that is known.
    pub(crate) fn push(&mut self, change: Arc<Change>, before: Option<u64>) {
        self.bytes += bytes(&change);
        while self.whole.changes.len() >= self.keep || self.bytes > CHANGES_BYTES {
            if self.whole.changes.is_empty() {
                break;
            }
            self.drop_oldest();
        }
        if let Some(run) = self.services.get_mut(&Key::of(&change)) {
            run.changes.push_back(change.clone());
        } else {
            // What was there and is not kept is older than all that is.
            let complete_after = before.unwrap_or(self.whole.complete_after);
            let run = Run { changes: VecDeque::from([change.clone()]), complete_after };
            let Target { namespace, service, .. } = &change.target;
            self.services.insert((namespace.clone(), service.clone()), run);
        }
        self.whole.changes.push_back(change);
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.whole.drop_oldest() else { return };
        self.bytes -= bytes(&oldest);
        let key = Key::of(&oldest);
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
            Scope::Service(namespace, service) => match self.services.get(&Key(namespace, service)) {
                Some(run) => run.after(revision).map(|changes| changes.cloned().collect()),
                None => (revision >= last.unwrap_or(self.whole.complete_after)).then(Vec::new),
            },
        };
        changes.map_or(Since::Resync, Since::Changes)
    }
}

/// Roughly what a change takes in memory.
fn bytes(change: &Change) -> usize {
    let instance = match &change.effect {
        Effect::Put(instance) => size_of::<Instance>() + instance.registration.metadata.bytes(),
        Effect::Removed | Effect::Leased(_) => 0,
    };
    // Names, reasons and the share of the queues.
    size_of::<Change>() + 256 + instance
}

/// A service's names where they stand, to look for its run.
#[derive(Hash)]
struct Key<'a>(&'a Namespace, &'a ServiceName);

impl<'a> Key<'a> {
    fn of(change: &'a Change) -> Self {
        Key(&change.target.namespace, &change.target.service)
    }
}

impl Equivalent<(Namespace, ServiceName)> for Key<'_> {
    fn equivalent(&self, (namespace, service): &(Namespace, ServiceName)) -> bool {
        (self.0, self.1) == (namespace, service)
    }
}

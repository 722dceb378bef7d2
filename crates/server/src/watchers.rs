//! Who waits for which change, so that the churn of one service wakes its own watchers and nobody
//! else's.
//!
//! A watcher holds a receiver of its scope's channel. A channel that nobody listens to any more goes
//! when a change finds it so, or when there are many: there are never more than twice as many channels
//! as scopes that are watched, and a few.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::{Equivalent, HashMap, HashSet};
use identity::{Namespace, ServiceName};
use registry::{Scope, Target};
use tokio::sync::watch;

/// As many channels are kept without a look at who listens.
const FEW: usize = 64;

/// The channels of every scope that is watched.
#[derive(Debug)]
pub(crate) struct Watchers(Mutex<Channels>);

#[derive(Debug)]
struct Channels {
    of: HashMap<Scope, watch::Sender<u64>>,
    /// How many there may be before those without listeners go.
    room: usize,
    is_closed: bool,
}

/// Changes with every change of a scope; what it says is of no meaning. It ends with the registry's writer.
pub(crate) type Woken = watch::Receiver<u64>;

/// A [`Scope`] by names where they stand: every change is looked for in three. It has the same hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Within<'a> {
    All,
    Namespace(&'a Namespace),
    Service(&'a Namespace, &'a ServiceName),
}

impl<'a> Within<'a> {
    /// The scopes in which an instance is, the widest first.
    fn of(Target { namespace, service, .. }: &'a Target) -> [Self; 3] {
        [Within::All, Within::Namespace(namespace), Within::Service(namespace, service)]
    }
}

impl Equivalent<Scope> for Within<'_> {
    fn equivalent(&self, scope: &Scope) -> bool {
        *self
            == match scope {
                Scope::All => Within::All,
                Scope::Namespace(namespace) => Within::Namespace(namespace),
                Scope::Service(namespace, service) => Within::Service(namespace, service),
            }
    }
}

impl Watchers {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Channels { of: HashMap::new(), room: FEW, is_closed: false }))
    }

    /// Wakes for every change of this scope from now on. Whoever reads the registry only after this
    /// call misses nothing.
    pub(crate) fn follow(&self, scope: Scope) -> Woken {
        let mut channels = self.lock();
        if channels.is_closed {
            return watch::channel(0).1;
        }
        if channels.of.len() >= channels.room {
            channels.of.retain(|_, channel| channel.receiver_count() > 0);
            channels.room = FEW + channels.of.len() * 2;
        }
        channels.of.entry(scope).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// Wakes those who watch what has changed.
    pub(crate) fn publish<'a>(&self, changed: impl IntoIterator<Item = &'a Target>) {
        let mut channels = self.lock();
        // A batch may change a service a thousand times; its watchers are woken once.
        let scopes = changed.into_iter().flat_map(Within::of);
        let scopes: HashSet<Within<'_>> = scopes.filter(|scope| channels.of.contains_key(scope)).collect();
        for scope in scopes {
            let Some(channel) = channels.of.get(&scope) else { continue };
            if channel.receiver_count() == 0 {
                channels.of.remove(&scope);
            } else {
                channel.send_modify(|wakes| *wakes = wakes.wrapping_add(1));
            }
        }
    }

    /// Wakes those who watch this scope itself.
    pub(crate) fn wake(&self, scope: &Scope) {
        if let Some(channel) = self.lock().of.get(scope) {
            channel.send_modify(|wakes| *wakes = wakes.wrapping_add(1));
        }
    }

    /// Lets go of everybody: there will be no change any more.
    pub(crate) fn close(&self) {
        let mut channels = self.lock();
        channels.is_closed = true;
        channels.of.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

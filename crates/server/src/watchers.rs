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

#[cfg(test)]
mod tests {
    use super::*;

    fn target(namespace: &str, service: &str) -> Target {
        Target {
            namespace: namespace.parse().unwrap(),
            service: service.parse().unwrap(),
            instance: "a-1".parse().unwrap(),
        }
    }

    /// Whether it was woken since it was asked last.
    fn is_woken(watcher: &mut Woken) -> bool {
        let woken = watcher.has_changed().unwrap();
        watcher.mark_unchanged();
        woken
    }

    #[test]
    fn a_change_wakes_the_watchers_of_its_service_of_its_namespace_and_of_everything_and_nobody_else() {
        let watchers = Watchers::new();
        let scopes =
            [("default", "cart"), ("default", "pay"), ("other", "cart")].map(|(namespace, service)| {
                let Target { namespace, service, .. } = target(namespace, service);
                [Scope::Namespace(namespace.clone()), Scope::Service(namespace, service)]
            });
        let mut all = watchers.follow(Scope::All);
        let mut followed = scopes.map(|scopes| scopes.map(|scope| watchers.follow(scope)));
        let mut woken = |what: &[Target]| {
            watchers.publish(what);
            (is_woken(&mut all), followed.each_mut().map(|scopes| scopes.each_mut().map(is_woken)))
        };
        // Of each pair, the namespace and the service.
        let (cart, pay, none) = (target("default", "cart"), target("default", "pay"), [false, false]);
        assert_eq!(woken(&[]), (false, [none; 3]));
        assert_eq!(woken(std::slice::from_ref(&cart)), (true, [[true, true], [true, false], none]));
        assert_eq!(woken(&[target("default", "unwatched")]), (true, [[true, false], [true, false], none]));
        let churn: Vec<Target> = std::iter::repeat_n(pay, 1_000).collect();
        assert_eq!(woken(&churn), (true, [[true, false], [true, true], none]));
        assert_eq!(woken(&[target("other", "pay")]), (true, [none, none, [true, false]]));
    }

    #[test]
    fn who_listens_no_more_leaves_no_channel_behind_and_a_closed_registry_lets_go() {
        let watchers = Watchers::new();
        let of = target("default", "cart");
        let scope = Scope::Service(of.namespace.clone(), of.service.clone());
        drop(watchers.follow(scope.clone()));
        watchers.publish([&of]);
        assert!(watchers.lock().of.is_empty());
        for number in 0..10 * FEW {
            let Target { namespace, service, .. } = target("default", &format!("s-{number}"));
            drop(watchers.follow(Scope::Service(namespace, service)));
        }
        assert!(watchers.lock().of.len() <= FEW, "{}", watchers.lock().of.len());
        let watcher = watchers.follow(scope.clone());
        watchers.close();
        assert!(watcher.has_changed().is_err());
        assert!(watchers.follow(scope).has_changed().is_err());
    }
}

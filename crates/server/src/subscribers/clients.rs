//! The subscribers that are no proxies: whoever follows a service or asks for its instances.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use identity::{Mono, Namespace, Now, ServiceName};
use registry::{Scope, Subscriber, SubscriberKind, Target};

use crate::{clock, state::State};

/// How long somebody who asked for a service's instances is supposed to use the answer.
pub(crate) const POLL_WINDOW: Duration = Duration::from_secs(300);
/// Pollers of services that are known, some 200 bytes each. While there may be more, no receipt is safe.
const POLLERS_MAX: usize = 16_384;
/// How often it is worth looking for room among them.
const LOOK: Duration = Duration::from_secs(1);
/// Streams that are known, some 300 bytes each. While there are more, no receipt is safe.
const WATCHES_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Clients {
    watches: Mutex<Watches>,
    pollers: Mutex<Pollers>,
}

#[derive(Debug, Default)]
struct Watches {
    open: BTreeMap<u64, Watch>,
    last: u64,
    /// Those for which there was no room.
    uncounted: usize,
}

#[derive(Debug)]
struct Watch {
    name: Box<str>,
    scopes: Vec<Scope>,
    acknowledged: u64,
    heard: Now,
}

#[derive(Debug, Default)]
struct Pollers {
    /// Who asked for which service, or for a namespace whole, and when last.
    asked: HashMap<(Namespace, Option<ServiceName>), BTreeMap<Box<str>, Now>>,
    count: usize,
    /// When somebody asked last for whom there was no room.
    overflowed: Option<Mono>,
    /// When those who asked long ago were looked for last.
    looked: Mono,
}

/// An open stream; it counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Watching {
    state: Arc<State>,
    /// `None` where there was no room to know it by name.
    number: Option<u64>,
}

impl Watching {
    /// A client follows these.
    pub(crate) fn begin(state: &Arc<State>, name: &str, scopes: Vec<Scope>) -> Self {
        let clients = &state.subscribers.clients;
        let mut watches = clients.watches();
        let number = if watches.open.len() < WATCHES_MAX {
            watches.last += 1;
            let number = watches.last;
            let watch = Watch { name: name.into(), scopes, acknowledged: 0, heard: clock::now() };
            watches.open.insert(number, watch);
            Some(number)
        } else {
            watches.uncounted += 1;
            None
        };
        drop(watches);
        state.subscribers.tell();
        Self { state: state.clone(), number }
    }

    /// The client says that it knows this revision.
    pub(crate) fn acknowledged(&self, revision: u64) {
        let mut watches = self.state.subscribers.clients.watches();
        if let Some(watch) = self.number.and_then(|number| watches.open.get_mut(&number)) {
            (watch.acknowledged, watch.heard) = (revision, clock::now());
        }
        drop(watches);
        self.state.subscribers.tell();
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut watches = self.state.subscribers.clients.watches();
        match self.number {
            Some(number) => drop(watches.open.remove(&number)),
            None => watches.uncounted = watches.uncounted.saturating_sub(1),
        }
        drop(watches);
        self.state.subscribers.tell();
    }
}

impl Clients {
    pub(super) fn polled(&self, of: (&Namespace, Option<&ServiceName>), by: &str, now: Now) {
        let mut pollers = self.pollers();
        let key = (of.0.clone(), of.1.cloned());
        if let Some(known) = pollers.asked.get_mut(&key).and_then(|asked| asked.get_mut(by)) {
            *known = now;
            return;
        }
        if pollers.count >= POLLERS_MAX && now.mono.since(pollers.looked) >= LOOK {
            pollers.let_go(now.mono);
        }
        if pollers.count >= POLLERS_MAX {
            pollers.overflowed = Some(now.mono);
            return;
        }
        pollers.count += 1;
        pollers.asked.entry(key).or_default().insert(by.into(), now);
    }

    /// Adds those who may send calls to this instance, and says whether there is nobody else.
    pub(super) fn of(&self, target: &Target, now: Mono, all: &mut Vec<Subscriber>) -> bool {
        let watches = self.watches();
        let open =
            watches.open.values().filter(|watch| watch.scopes.iter().any(|scope| is_in(target, scope)));
        all.extend(open.map(|watch| Subscriber {
            is_connected: true,
            acknowledged: watch.acknowledged,
            ..subscriber(&watch.name, SubscriberKind::Watch, watch.heard)
        }));
        let watches_complete = watches.uncounted == 0;
        drop(watches);
        let pollers = self.pollers();
        let of = |service| pollers.asked.get(&(target.namespace.clone(), service));
        let asked = [of(Some(target.service.clone())), of(None)];
        let lately = asked.into_iter().flatten().flatten().filter(|(_, at)| now.since(at.mono) < POLL_WINDOW);
        let mut last: BTreeMap<&str, Now> = BTreeMap::new();
        for (name, at) in lately {
            let known = last.entry(name).or_insert(*at);
            *known = if known.mono < at.mono { *at } else { *known };
        }
        all.extend(last.into_iter().map(|(name, at)| subscriber(name, SubscriberKind::Poll, at)));
        watches_complete && pollers.overflowed.is_none_or(|at| now.since(at) >= POLL_WINDOW)
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pollers(&self) -> MutexGuard<'_, Pollers> {
        self.pollers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pollers {
    /// Forgets those who have not asked for long.
    fn let_go(&mut self, now: Mono) {
        self.looked = now;
        for asked in self.asked.values_mut() {
            asked.retain(|_, at| now.since(at.mono) < POLL_WINDOW);
        }
        self.asked.retain(|_, asked| !asked.is_empty());
        self.count = self.asked.values().map(BTreeMap::len).sum();
    }
}

fn is_in(target: &Target, scope: &Scope) -> bool {
    match scope {
        Scope::All => true,
        Scope::Namespace(namespace) => *namespace == target.namespace,
        Scope::Service(namespace, service) => *namespace == target.namespace && *service == target.service,
    }
}

fn subscriber(name: &str, kind: SubscriberKind, heard: Now) -> Subscriber {
    let (is_connected, acknowledged, settled, in_flight) = (false, 0, 0, 0);
    Subscriber { name: name.into(), kind, is_connected, acknowledged, settled, in_flight, heard: Some(heard) }
}

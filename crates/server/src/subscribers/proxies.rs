//! The proxies among the subscribers.
//!
//! A proxy that restarts keeps its id and draws another epoch. What an earlier process of it said holds no
//! more once the new one says hello, unless the earlier one still has a stream open: then two processes have
//! the same id, or the old one's end was not noticed yet, and both have to quiesce.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use identity::{Mono, Now, ProxyId, Wall};
use registry::{Subscriber, SubscriberKind, Target};
use storage_catalog::{KnownProxy, ProxyChange};
use wire::native::channel::{EndpointRow, Report};

/// Proxies that are known, each with some 300 bytes and 100 for each endpoint with calls. One that comes
/// when there are so many is served and not known by name, and no receipt is safe while there may be such.
pub(crate) const PROXIES_MAX: usize = 4_096;

/// A proxy without a stream that said nothing for this long is supposed to be gone for good. One that is
/// merely cut off for longer is not waited for by a drain.
pub(crate) const RETENTION: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
pub(super) struct Proxies(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    known: BTreeMap<ProxyId, Proxy>,
    /// When a proxy was heard last for which there was no room.
    overflowed: Option<Mono>,
}

#[derive(Debug)]
struct Proxy {
    since: Wall,
    sessions: Vec<Session>,
    /// What the catalog knows.
    kept: Kept,
    /// It has left, and only the catalog does not know yet.
    is_gone: bool,
    /// When it was heard last, or when this process began.
    heard: Mono,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    No,
    /// The disk refused, and will be asked again.
    Refused,
    Yes,
}

/// A process of a proxy.
#[derive(Debug)]
struct Session {
    epoch: u64,
    /// Streams that it has open.
    watches: u32,
    acknowledged: u64,
    settled: u64,
    /// Calls at each instance, where there are any.
    busy: HashMap<Target, u32>,
    heard: Now,
}

/// What became of forgetting a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgetting {
    /// It will be.
    Done,
    /// It is not known.
    Unknown,
    /// It is connected, and would go on sending calls without being counted.
    Connected,
}

impl Proxies {
    pub(super) fn restored(now: Mono, known: Vec<KnownProxy>) -> Self {
        let proxy = |known: KnownProxy| {
            let KnownProxy { id, since } = known;
            (id, Proxy { since, sessions: Vec::new(), kept: Kept::Yes, is_gone: false, heard: now })
        };
        let known: BTreeMap<ProxyId, Proxy> = known.into_iter().map(proxy).collect();
        // There may have been more.
        let overflowed = (known.len() >= PROXIES_MAX).then_some(now);
        Self(Mutex::new(Table { known, overflowed }))
    }

    /// These are known from elsewhere.
    pub(super) fn remember(&self, known: Vec<KnownProxy>, now: Now) {
        let mut table = self.lock();
        for KnownProxy { id, since } in known {
            if let Some(proxy) = table.enter(&id, now) {
                proxy.since = proxy.since.min(since);
            }
        }
    }

    /// Whether the catalog has to be told.
    pub(super) fn connected(&self, id: &ProxyId, epoch: u64, knows: Option<u64>, now: Now) -> bool {
        let mut table = self.lock();
        let Some(proxy) = table.enter(id, now) else { return false };
        proxy.sessions.retain(|session| session.epoch == epoch || session.watches > 0);
        let session = proxy.session(epoch, now);
        session.watches += 1;
        session.acknowledged = session.acknowledged.max(knows.unwrap_or(0));
        proxy.kept != Kept::Yes
    }

    pub(super) fn disconnected(&self, id: &ProxyId, epoch: u64, now: Now) {
        let mut table = self.lock();
        let Some(proxy) = table.known.get_mut(id) else { return };
        proxy.heard = now.mono;
        if let Some(session) = proxy.sessions.iter_mut().find(|session| session.epoch == epoch) {
            session.watches = session.watches.saturating_sub(1);
        }
    }

    /// Makes nobody known: the last word of one that has left may come after its farewell.
    pub(super) fn acknowledged(&self, id: &ProxyId, epoch: u64, revision: u64, now: Now) {
        let mut table = self.lock();
        let Some(proxy) = table.known.get_mut(id) else { return };
        proxy.heard = now.mono;
        if let Some(session) = proxy.sessions.iter_mut().find(|session| session.epoch == epoch) {
            (session.acknowledged, session.heard) = (revision, now);
        }
    }

    /// Whether the catalog has to be told.
    pub(super) fn reported(&self, report: &Report, now: Now) -> bool {
        let mut table = self.lock();
        if report.leaving {
            return table.leave(&report.proxy, report.epoch);
        }
        let Some(proxy) = table.enter(&report.proxy, now) else { return false };
        let session = proxy.session(report.epoch, now);
        session.acknowledged = session.acknowledged.max(report.revision);
        session.settled = report.settled_revision;
        session.busy = busy(&report.endpoints);
        session.heard = now;
        proxy.kept != Kept::Yes
    }

    pub(super) fn forget(&self, id: &ProxyId) -> Forgetting {
        let mut table = self.lock();
        match table.known.get_mut(id).filter(|proxy| !proxy.is_gone) {
            None => Forgetting::Unknown,
            Some(proxy) if proxy.is_connected() => Forgetting::Connected,
            Some(proxy) => {
                proxy.is_gone = true;
                Forgetting::Done
            }
        }
    }

    /// Lets go of those that were silent for too long.
    pub(super) fn let_go(&self, now: Mono) -> Vec<ProxyId> {
        let mut table = self.lock();
        let silent = table.known.iter_mut().filter(|(_, proxy)| {
            !proxy.is_gone && !proxy.is_connected() && now.since(proxy.heard) >= RETENTION
        });
        let gone = silent.map(|(id, proxy)| {
            proxy.is_gone = true;
            id.clone()
        });
        gone.collect()
    }

    pub(super) fn of(&self, target: &Target, now: Mono) -> (Vec<Subscriber>, bool) {
        let table = self.lock();
        let present = table.known.iter().filter(|(_, proxy)| !proxy.is_gone);
        let all = present.map(|(id, proxy)| proxy.subscriber(id, target)).collect();
        let is_complete = table.overflowed.is_none_or(|at| now.since(at) >= RETENTION);
        (all, is_complete)
    }

    pub(super) fn known(&self) -> Vec<KnownProxy> {
        let table = self.lock();
        let present = table.known.iter().filter(|(_, proxy)| !proxy.is_gone);
        present.map(|(id, proxy)| KnownProxy { id: id.clone(), since: proxy.since }).collect()
    }

    /// Whether the catalog was not told of it yet.
    pub(super) fn is_unkept(&self, id: &ProxyId) -> bool {
        self.lock().known.get(id).is_some_and(|proxy| !proxy.is_gone && proxy.kept == Kept::No)
    }

    /// What the catalog has to be told.
    pub(super) fn unkept(&self) -> Vec<ProxyChange> {
        let mut table = self.lock();
        table.known.retain(|_, proxy| !proxy.is_gone || proxy.kept == Kept::Yes);
        let change = |(id, proxy): (&ProxyId, &Proxy)| match (proxy.is_gone, proxy.kept) {
            (true, _) => Some(ProxyChange::Left(id.clone())),
            (false, Kept::Yes) => None,
            (false, _) => Some(ProxyChange::Came(KnownProxy { id: id.clone(), since: proxy.since })),
        };
        table.known.iter().filter_map(change).collect()
    }

    /// The catalog was told, or refused.
    pub(super) fn kept(&self, changes: &[ProxyChange], is_kept: bool) {
        let mut table = self.lock();
        for change in changes {
            let id = super::id(change);
            let Some(proxy) = table.known.get_mut(id) else { continue };
            match (change, is_kept) {
                (ProxyChange::Came(_), true) => proxy.kept = Kept::Yes,
                (ProxyChange::Came(_), false) => proxy.kept = Kept::Refused,
                (ProxyChange::Left(_), false) => {}
                (ProxyChange::Left(_), true) if proxy.is_gone => drop(table.known.remove(id)),
                // It came back while the catalog was told that it had left.
                (ProxyChange::Left(_), true) => proxy.kept = Kept::No,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// The place of a proxy that has said something.
    fn enter(&mut self, id: &ProxyId, now: Now) -> Option<&mut Proxy> {
        if self.known.len() >= PROXIES_MAX && !self.known.contains_key(id) {
            if self.overflowed.is_none() {
                tracing::warn!(proxy = %id, PROXIES_MAX, "there are more proxies than are counted; no drain is known to be safe");
            }
            self.overflowed = Some(now.mono);
            return None;
        }
        let proxy = self.known.entry(id.clone()).or_insert_with(|| Proxy {
            since: now.wall,
            sessions: Vec::new(),
            kept: Kept::No,
            is_gone: false,
            heard: now.mono,
        });
        (proxy.is_gone, proxy.heard) = (false, now.mono);
        Some(proxy)
    }

    /// A process of a proxy says that it has ended. If that was the only one, the proxy has left.
    fn leave(&mut self, id: &ProxyId, epoch: u64) -> bool {
        let Some(proxy) = self.known.get_mut(id) else { return false };
        proxy.sessions.retain(|session| session.epoch != epoch);
        proxy.is_gone = proxy.sessions.is_empty();
        proxy.is_gone
    }
}

impl Proxy {
    fn is_connected(&self) -> bool {
        self.sessions.iter().any(|session| session.watches > 0)
    }

    fn session(&mut self, epoch: u64, now: Now) -> &mut Session {
        let at = self.sessions.iter().position(|session| session.epoch == epoch);
        let at = at.unwrap_or_else(|| {
            let busy = HashMap::new();
            self.sessions.push(Session { epoch, watches: 0, acknowledged: 0, settled: 0, busy, heard: now });
            self.sessions.len() - 1
        });
        &mut self.sessions[at]
    }

    /// What all of its processes have proved together.
    fn subscriber(&self, id: &ProxyId, target: &Target) -> Subscriber {
        let least = |of: fn(&Session) -> u64| self.sessions.iter().map(of).min().unwrap_or(0);
        let in_flight = self.sessions.iter().filter_map(|session| session.busy.get(target));
        Subscriber {
            name: id.as_str().into(),
            kind: SubscriberKind::Proxy,
            is_connected: self.is_connected(),
            acknowledged: least(|session| session.acknowledged),
            settled: least(|session| session.settled),
            in_flight: in_flight.fold(0, |sum, calls| sum.saturating_add(*calls)),
            heard: self.sessions.iter().map(|session| session.heard).max_by_key(|heard| heard.mono),
        }
    }
}

/// Instances with calls. One that changed its address has a row for each.
fn busy(rows: &[EndpointRow]) -> HashMap<Target, u32> {
    let mut busy = HashMap::new();
    for row in rows.iter().filter(|row| row.in_flight > 0) {
        let target = Target {
            namespace: row.namespace.clone(),
            service: row.service.clone(),
            instance: row.instance.clone(),
        };
        let calls: &mut u32 = busy.entry(target).or_default();
        *calls = calls.saturating_add(row.in_flight);
    }
    busy
}

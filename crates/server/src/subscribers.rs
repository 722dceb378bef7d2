//! Everybody who may send calls to an instance, so that a drain knows whom to hear.
//!
//! A subscription outlives its stream: a proxy that is cut off goes on routing by what it knows, and that
//! is wanted. So proxies are known by their id, durably, from before they are given their first table
//! until they say goodbye, an operator forgets them, or they were silent for [`RETENTION`]. What they have
//! said of their calls is kept in memory only: after a restart it has to be said again, and until then they
//! count as unreachable, which is never too optimistic.
//!
//! Clients that are no proxies are known by what they do: watchers while their stream is open, and whoever
//! asked for a service's instances within [`clients::POLL_WINDOW`]. Bellwether's own command line and console send
//! no calls and do not count.
//!
//! **Where the disk refuses** to remember a new proxy it is served all the same, since discovery matters
//! more, and written down as soon as there is room. Were this process to end meanwhile, the next would not
//! know of it before it comes back.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use identity::{Mono, Namespace, Now, ProxyId, ServiceName};
use registry::{Subscriber, Target};
use storage_catalog::{KnownProxy, ProxyChange};
use tokio::sync::{Mutex, Notify, watch};
use wire::native::{channel::Report, problem::Problem};

use crate::roll::Roll;

mod clients;
mod proxies;
mod tend;

pub(crate) use clients::Watching;
pub(crate) use proxies::{Forgetting, RETENTION};
pub(crate) use tend::{farewell, gone, tend};

use clients::Clients;
use proxies::Proxies;

/// Proxies, watchers and pollers.
#[derive(Debug)]
pub(crate) struct Subscribers {
    proxies: Proxies,
    clients: Clients,
    /// Changes with everything that may change a receipt; what it says is of no meaning.
    news: watch::Sender<u64>,
    /// Rung when a proxy came or went that the catalog does not know of.
    unkept: Notify,
    /// Held by whoever tells the catalog, so that what came and what went arrives in this order.
    keeping: Mutex<()>,
    receipts: Receipts,
}

/// Receipts that were given.
#[derive(Debug, Default)]
struct Receipts {
    safe: AtomicU64,
    unsafe_: AtomicU64,
}

impl Subscribers {
    /// Those that the catalog knows; none of them was heard yet.
    pub(crate) fn restored(now: Mono, known: Vec<KnownProxy>) -> Self {
        Self {
            proxies: Proxies::restored(now, known),
            clients: Clients::default(),
            news: watch::Sender::new(0),
            unkept: Notify::new(),
            keeping: Mutex::default(),
            receipts: Receipts::default(),
        }
    }

    /// A proxy opened a watch, and routes by the revision that it knows, if it knows one.
    pub(crate) fn connected(&self, proxy: &ProxyId, epoch: u64, knows: Option<u64>, now: Now) {
        if self.proxies.connected(proxy, epoch, knows, now) {
            self.unkept.notify_one();
        }
        self.tell();
    }

    /// A proxy's watch ended.
    pub(crate) fn disconnected(&self, proxy: &ProxyId, epoch: u64, now: Now) {
        self.proxies.disconnected(proxy, epoch, now);
        self.tell();
    }

    /// A proxy routes by this revision now.
    pub(crate) fn acknowledged(&self, proxy: &ProxyId, epoch: u64, revision: u64, now: Now) {
        self.proxies.acknowledged(proxy, epoch, revision, now);
        self.tell();
    }

    /// A proxy reported.
    pub(crate) fn reported(&self, report: &Report, now: Now) {
        if self.proxies.reported(report, now) {
            self.unkept.notify_one();
        }
        self.tell();
    }

    /// Forgets a proxy by an operator's word, which must not be connected.
    pub(crate) fn forget(&self, proxy: &ProxyId) -> Forgetting {
        let done = self.proxies.forget(proxy);
        self.tell();
        done
    }

    /// These proxies are known from elsewhere, and were not heard here.
    pub(crate) fn remember(&self, known: Vec<KnownProxy>) {
        self.proxies.remember(known, crate::clock::now());
        self.tell();
    }

    /// A client asked for the instances of a service, or of a namespace.
    pub(crate) fn polled(&self, of: (&Namespace, Option<&ServiceName>), by: &str, now: Now) {
        self.clients.polled(of, by, now);
    }

    /// Everybody who may send calls to this instance, and whether there is nobody else.
    pub(crate) fn of(&self, target: &Target, now: Mono) -> (Vec<Subscriber>, bool) {
        let (mut all, proxies_complete) = self.proxies.of(target, now);
        let clients_complete = self.clients.of(target, now, &mut all);
        (all, proxies_complete && clients_complete)
    }

    /// The proxies that are known, connected or not, and since when.
    pub(crate) fn known(&self) -> Vec<KnownProxy> {
        self.proxies.known()
    }

    /// Tells of each change.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// A receipt was given.
    pub(crate) fn count(&self, safe: bool) {
        let count = if safe { &self.receipts.safe } else { &self.receipts.unsafe_ };
        count.fetch_add(1, Relaxed);
    }

    /// Receipts that were given: safe ones, and others.
    pub(crate) fn receipts(&self) -> (u64, u64) {
        (self.receipts.safe.load(Relaxed), self.receipts.unsafe_.load(Relaxed))
    }

    /// Waits until the catalog knows of this proxy, or could not be told.
    pub(crate) async fn until_kept(&self, proxy: &ProxyId) {
        let mut news = self.news.subscribe();
        while self.proxies.is_unkept(proxy) && news.changed().await.is_ok() {}
    }

    /// Tells the catalog which proxies came and went.
    pub(crate) async fn keep(&self, roll: &Roll) -> Result<(), Problem> {
        let _one_at_a_time = self.keeping.lock().await;
        loop {
            let changes = self.proxies.unkept();
            if changes.is_empty() {
                return Ok(());
            }
            let kept = roll.keep_proxies(changes.clone()).await;
            self.proxies.kept(&changes, kept.is_ok());
            self.tell();
            kept?;
        }
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// How long a disk that refused is left alone.
const RETRY: Duration = Duration::from_secs(1);

fn id(change: &ProxyChange) -> &ProxyId {
    match change {
        ProxyChange::Came(known) => &known.id,
        ProxyChange::Left(id) => id,
    }
}

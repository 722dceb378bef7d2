//! A new table in the place of another.
//!
//! Once an update is acknowledged, an operator may kill what it takes calls away from. So it is
//! acknowledged only when it has settled: no call is about to choose by the old table, and those that
//! did are counted as in flight. Calls choose without waiting for anything, also when they try again
//! (by the newest table then), so whoever still looks at the old one does so for microseconds, and what
//! settling costs is paid here and by no call.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, SeqCst},
            fence,
        },
    },
    time::Duration,
};

use identity::{Namespace, ServiceName};
use tokio::time::sleep;

use crate::{
    endpoint::Endpoint,
    gateway::Gateway,
    routing::{Routing, Service},
};

/// How often it is looked whether a table is still looked at. Its reader has lost the processor then.
const AGAIN: Duration = Duration::from_millis(1);

/// What tables have left behind.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    settled: AtomicU64,
    /// Those that no table names any more, and that have calls in flight; that bounds their number.
    departed: Mutex<Vec<Departed>>,
}

/// An endpoint that is no longer registered.
#[derive(Debug)]
pub(crate) struct Departed {
    pub(crate) namespace: Namespace,
    pub(crate) service: ServiceName,
    pub(crate) endpoint: Arc<Endpoint>,
}

impl Installed {
    /// No call chooses by an older revision than this any more.
    pub(crate) fn settled(&self) -> u64 {
        self.settled.load(SeqCst)
    }

    /// The endpoints that have departed and still have calls in flight.
    pub(crate) fn departed(&self) -> MutexGuard<'_, Vec<Departed>> {
        let mut departed = self.departed.lock().unwrap_or_else(PoisonError::into_inner);
        departed.retain(|departed| departed.endpoint.in_flight() > 0);
        departed
    }
}

/// Routes calls by `next` from now on, and returns when it has settled.
pub(crate) async fn install(gateway: &Gateway, next: Routing) {
    let revision = next.revision.unwrap_or_default();
    let next = Arc::new(next);
    for service in changed(&next, &gateway.routing.load()) {
        // Before the first call comes, so that its connection is kept.
        for seat in &service.seats {
            if seat.endpoint.seat(true) {
                let policy = service.policy.outlier_detection.as_ref();
                seat.endpoint.outlier.seat(true, policy, service.seats.len());
            }
        }
    }
    let old = gateway.routing.swap(next.clone());
    while Arc::strong_count(&old) > 1 {
        sleep(AGAIN).await;
    }
    // With the end of whoever looked at it, the places that were taken are seen.
    fence(Acquire);
    gateway.installed.settled.store(revision, SeqCst);
    let mut unseated = false;
    for service in changed(&old, &next) {
        unseated |= leave(gateway, service, next.find(service.namespace.as_str(), service.name.as_str()));
    }
    if unseated {
        // Somebody may wait to hear that nothing is under way there.
        gateway.outbox.bell.notify_one();
    }
}

/// The services of a table that another one does not have as they are.
fn changed<'a>(table: &'a Routing, other: &'a Routing) -> impl Iterator<Item = &'a Arc<Service>> {
    table.services().filter(|service| {
        let same = other.find(service.namespace.as_str(), service.name.as_str());
        same.is_none_or(|same| !Arc::ptr_eq(same, service))
    })
}

/// Leaves the endpoints to which calls go no longer; answers whether that is news of any.
fn leave(gateway: &Gateway, old: &Service, new: Option<&Arc<Service>>) -> bool {
    let seats = new.map(|service| service.seats.as_slice()).unwrap_or_default();
    let known = new.map(|service| service.endpoints.as_slice()).unwrap_or_default();
    let seats: HashSet<_> = seats.iter().map(|seat| Arc::as_ptr(&seat.endpoint)).collect();
    let known: HashSet<_> = known.iter().map(Arc::as_ptr).collect();
    let mut news = false;
    for endpoint in old.endpoints.iter().filter(|endpoint| !seats.contains(&Arc::as_ptr(endpoint))) {
        if endpoint.seat(false) {
            news = true;
            endpoint.outlier.seat(false, None, 0);
        }
        if !known.contains(&Arc::as_ptr(endpoint)) && endpoint.in_flight() > 0 {
            gateway.installed.departed().push(Departed {
                namespace: old.namespace.clone(),
                service: old.name.clone(),
                endpoint: endpoint.clone(),
            });
        }
    }
    news
}

//! The customers: a bounded number of visits a second, and of visits at a time.
//!
//! Visits come by the clock, whether or not the ones before have been answered: customers do not wait for
//! each other. A shop that is slow fills the places; who finds none is turned away, and counted.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{call::Call, kind::Kind, trade::CUSTOMER};

/// Visits a second, and at most at a time.
const VISITS_PER_SECOND: u32 = 8;
const PLACES: usize = 32;

/// How many customers there are; each is known by a name.
const CUSTOMERS: u32 = 40;

/// Of how many visits one leads to an order.
const ORDER_EVERY: u32 = 3;

/// What has become of the visits so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sales {
    /// Pages that were shown.
    pub shown: u64,
    /// Orders that were paid.
    pub paid: u64,
    /// Orders that wait for their payment, and were told so.
    pub queued: u64,
    /// Visits that ended in an error.
    pub failed: u64,
    /// Visits that found no place, and made no call.
    pub turned_away: u64,
}

impl Sales {
    /// All calls that were answered or failed.
    pub fn calls(&self) -> u64 {
        self.shown + self.paid + self.queued + self.failed
    }
}

#[derive(Debug, Default)]
struct Counts {
    shown: AtomicU64,
    paid: AtomicU64,
    queued: AtomicU64,
    failed: AtomicU64,
    turned_away: AtomicU64,
}

/// The customers at work.
#[derive(Debug)]
pub struct Load {
    stop: CancellationToken,
    task: JoinHandle<()>,
    counts: Arc<Counts>,
}

impl Load {
    /// Begins to call the storefront through the gateway.
    pub fn start(gateway: SocketAddr) -> Self {
        let stop = CancellationToken::new();
        let counts = Arc::<Counts>::default();
        let task = tokio::spawn(visit(gateway, stop.clone(), counts.clone()));
        Self { stop, task, counts }
    }

    /// What has become of the visits so far.
    pub fn sales(&self) -> Sales {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { shown, paid, queued, failed, turned_away } = &*self.counts;
        Sales {
            shown: of(shown),
            paid: of(paid),
            queued: of(queued),
            failed: of(failed),
            turned_away: of(turned_away),
        }
    }

    /// Ends once the visits that are under way have been answered, and says what has become of all.
    pub async fn finish(mut self) -> Sales {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::warn!(%error, "the load ended early");
        }
        self.sales()
    }
}

async fn visit(gateway: SocketAddr, stop: CancellationToken, counts: Arc<Counts>) {
    let mut visits = JoinSet::new();
    let mut beat = interval(Duration::from_secs(1) / VISITS_PER_SECOND);
    // After a pause there is no rush of those who would have come during it.
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = beat.tick() => {}
            Some(_) = visits.join_next() => continue,
        }
        if visits.len() >= PLACES {
            counts.turned_away.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let counts = counts.clone();
        visits.spawn(async move {
            let count = match outcome(gateway).await {
                Ok(StatusCode::OK) => &counts.shown,
                Ok(StatusCode::CREATED) => &counts.paid,
                Ok(StatusCode::ACCEPTED) => &counts.queued,
                Ok(_) => &counts.failed,
                Err(error) => {
                    tracing::debug!(%error, "the gateway cannot be called");
                    &counts.failed
                }
            };
            count.fetch_add(1, Ordering::Relaxed);
        });
    }
    visits.join_all().await;
}

async fn outcome(gateway: SocketAddr) -> std::io::Result<StatusCode> {
    let (method, path) =
        if fastrand::u32(..ORDER_EVERY) == 0 { (Method::POST, "/orders") } else { (Method::GET, "/") };
    let mut call = Call { method, ..Call::get(gateway, Kind::Storefront.as_str(), path) };
    let customer = format!("customer-{}", fastrand::u32(1..=CUSTOMERS));
    if let Ok(customer) = HeaderValue::from_str(&customer) {
        call.headers.insert(CUSTOMER, customer);
    }
    Ok(call.make().await?.status())
}

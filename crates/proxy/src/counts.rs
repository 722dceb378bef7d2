//! What is counted beside the ends of calls, for people who watch a fleet: how often was tried again, what
//! was refused and why, what breakers did; and how many connections are open.
//!
//! Sums since the start of the proxy, so that a report that is lost or comes twice changes nothing.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use wire::native::channel::{self, ServiceCounts};

use crate::{refusals::Refusals, routing::Service};

/// What has happened to the calls of a service.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) retries: Count,
    pub(crate) over_budget: Count,
    /// Calls that were not sent, by reason.
    pub(crate) refused: Refusals,
    /// What the breaker did, by the state that it went into.
    pub(crate) transitions: Refusals,
    pub(crate) ejections: Count,
}

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn one_more(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counts {
    /// What there is to say of a service; `None` where nothing but its calls has happened.
    pub(crate) fn row(&self, service: &Service) -> Option<ServiceCounts> {
        let row = ServiceCounts {
            namespace: service.namespace.clone(),
            service: service.name.clone(),
            retries: self.retries.get(),
            retries_over_budget: self.over_budget.get(),
            refused: self.refused.totals(),
            transitions: self.transitions.totals(),
            ejections: self.ejections.get(),
        };
        let something = row.retries + row.retries_over_budget + row.ejections > 0
            || !row.refused.is_empty()
            || !row.transitions.is_empty();
        something.then_some(row)
    }
}

/// How many connections are open.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(crate) clients: Arc<Gauge>,
    pub(crate) upgraded: Arc<Gauge>,
    pub(crate) endpoints: Arc<Gauge>,
}

impl Connections {
    pub(crate) fn row(&self) -> channel::Connections {
        channel::Connections {
            clients: self.clients.get(),
            upgraded: self.upgraded.get(),
            endpoints: self.endpoints.get(),
        }
    }
}

/// A number of things that are there.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// One more, until the answer is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Counted {
        self.0.fetch_add(1, Relaxed);
        Counted(self.clone())
    }
}

/// One of the things that are there.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Gauge>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

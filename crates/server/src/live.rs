//! What the proxies said last: volatile, bounded, gone with the process and told anew by the next report.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use identity::{InstanceId, Namespace, ProxyId, ServiceName, Wall};
use registry::Target;
use wire::native::{
    api,
    channel::{BreakerRow, Connections, EndpointRow, Report, ServiceCounts},
};

/// Proxies that are known at a time; the one that was silent the longest is forgotten for a new one.
const PROXIES_MAX: usize = 4_096;

/// The latest word of every proxy.
#[derive(Debug, Default)]
pub(crate) struct Live {
    proxies: Mutex<BTreeMap<ProxyId, ProxyState>>,
}

/// What is known of a proxy.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProxyState {
    /// Its version, as it said.
    pub(crate) version: String,
    /// Watches that it has open.
    pub(crate) watches: u32,
    /// The revision that it acknowledged last.
    pub(crate) revision: u64,
    /// When it was heard last.
    pub(crate) heard_at: Wall,
    /// When its last report came.
    pub(crate) reported_at: Option<Wall>,
    /// Its breakers.
    pub(crate) breakers: Vec<BreakerRow>,
    /// Its endpoints.
    pub(crate) endpoints: Vec<EndpointRow>,
    /// How often it refused clients, by reason.
    pub(crate) refused: Vec<(String, u64)>,
    /// What has happened to the calls of each service beside their ends.
    pub(crate) services: Vec<ServiceCounts>,
    /// Its connections.
    pub(crate) connections: Connections,
}

impl Live {
    /// A proxy opened a watch.
    pub(crate) fn connected(&self, proxy: &ProxyId, version: &str, now: Wall) {
        self.update(proxy, now, |state| {
            state.version = version.to_owned();
            state.watches += 1;
        });
    }

    /// A proxy's watch ended.
    pub(crate) fn disconnected(&self, proxy: &ProxyId, now: Wall) {
        if let Some(state) = self.lock().get_mut(proxy) {
            state.watches = state.watches.saturating_sub(1);
            state.heard_at = now;
        }
    }

    /// A proxy routes by this revision now.
    pub(crate) fn acknowledged(&self, proxy: &ProxyId, revision: u64, now: Wall) {
        self.update(proxy, now, |state| state.revision = revision);
    }

    /// A proxy does not count any more.
    pub(crate) fn forget(&self, proxy: &ProxyId) {
        self.lock().remove(proxy);
    }

    /// A proxy reported.
    pub(crate) fn reported(&self, report: &Report, now: Wall) {
        self.update(&report.proxy, now, |state| {
            state.revision = report.revision;
            state.reported_at = Some(now);
            state.breakers.clone_from(&report.breakers);
            state.endpoints.clone_from(&report.endpoints);
            state.refused.clone_from(&report.refused);
            state.services.clone_from(&report.services);
            state.connections = report.connections;
        });
    }

    /// All that is known, by proxy.
    pub(crate) fn proxies(&self) -> Vec<(ProxyId, ProxyState)> {
        self.lock().iter().map(|(proxy, state)| (proxy.clone(), state.clone())).collect()
    }

    /// The calls of a service that are under way, by instance, as all proxies reported them last.
    pub(crate) fn in_flight(&self, namespace: &Namespace, service: &ServiceName) -> HashMap<InstanceId, u32> {
        let mut calls: HashMap<InstanceId, u32> = HashMap::new();
        for state in self.lock().values() {
            let rows = state.endpoints.iter();
            for row in rows.filter(|row| row.namespace == *namespace && row.service == *service) {
                let sum = calls.entry(row.instance.clone()).or_default();
                *sum = sum.saturating_add(row.in_flight);
            }
        }
        calls
    }

    /// How the proxies that have reported an instance see it.
    pub(crate) fn seen(&self, target: &Target) -> Vec<api::Seen> {
        let is_it = |row: &EndpointRow| {
            (&row.namespace, &row.service, &row.instance)
                == (&target.namespace, &target.service, &target.instance)
        };
        let proxies = self.lock();
        let seen = proxies.iter().filter_map(|(proxy, state)| {
            let row = state.endpoints.iter().find(|row| is_it(row))?;
            Some(api::Seen {
                proxy: proxy.to_string(),
                in_flight: row.in_flight,
                ejected: row.ejected.clone(),
            })
        });
        seen.collect()
    }

    fn update(&self, proxy: &ProxyId, now: Wall, change: impl FnOnce(&mut ProxyState)) {
        let mut proxies = self.lock();
        if proxies.len() >= PROXIES_MAX && !proxies.contains_key(proxy) {
            let silent = proxies
                .iter()
                .filter(|(_, state)| state.watches == 0)
                .min_by_key(|(_, state)| state.heard_at);
            let Some(silent) = silent.map(|(proxy, _)| proxy.clone()) else { return };
            proxies.remove(&silent);
        }
        let state = proxies.entry(proxy.clone()).or_default();
        state.heard_at = now;
        change(state);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProxyId, ProxyState>> {
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! What every call shares.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use identity::{Namespace, Now, RouteName, ServiceName};
use registry::Networks;
use resilience::{State, Transition};
use tokio_util::sync::CancellationToken;
use traces::{propagation::Formats, sampling::Budget};
use wire::native::channel;

use crate::{
    access_log::AccessLog,
    balance::Draw,
    clock::Clock,
    counts::Connections,
    endpoint::Endpoint,
    freshness::Freshness,
    install::Installed,
    meter::Book,
    outbox::Outbox,
    overrides::Overrides,
    owners::Key,
    policy::Policy,
    random::Random,
    refusals::Refusals,
    routing::{Builder, Routing, Service},
    settings::{Limits, Settings},
    spans::Identity,
    taps::Taps,
    watched::Told,
};

/// What every call shares.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) clock: Clock,
    pub(crate) random: Arc<Random>,
    pub(crate) limits: Limits,
    /// The networks in which endpoints may be.
    pub(crate) networks: Networks,
    /// Where services without a namespace are looked for.
    pub(crate) namespace: Namespace,
    pub(crate) caller: ServiceName,
    pub(crate) identity: Identity,
    /// By what calls are routed; it changes only in `install`.
    pub(crate) routing: ArcSwap<Routing>,
    pub(crate) installed: Installed,
    pub(crate) freshness: Freshness,
    pub(crate) builder: Builder,
    pub(crate) book: Arc<Book>,
    pub(crate) outbox: Outbox,
    pub(crate) refusals: Arc<Refusals>,
    /// Who watches calls go by.
    pub(crate) taps: Taps,
    pub(crate) connections: Connections,
    pub(crate) access_log: AccessLog,
    /// What operators force breakers to.
    pub(crate) overrides: Overrides,
    pub(crate) sampling: Budget,
    /// In which formats callees are told of their trace.
    pub(crate) formats: Formats,
    /// Ends what no call waits for: upgraded connections.
    pub(crate) closing: CancellationToken,
    /// Since it stops: how long a client's connection may go unused before it is closed.
    pub(crate) leaving: OnceLock<Duration>,
}

impl Gateway {
    pub(crate) fn new(settings: &Settings) -> Self {
        let clock = Clock::start();
        let random = Arc::new(Random::new(settings.seed));
        let limits = settings.limits;
        let book = Arc::new(Book::new(limits.series));
        let outbox = Outbox::new(limits.spooled_spans, limits.spooled_bytes);
        let builder = Builder {
            limits,
            caller: settings.caller.clone(),
            policy: Arc::new(Policy::new(0, settings.policy.clone())),
            book: book.clone(),
            random: random.clone(),
            clock: clock.clone(),
            bell: outbox.bell.clone(),
        };
        Self {
            clock,
            random,
            limits,
            networks: settings.networks.clone(),
            namespace: settings.namespace.clone(),
            caller: settings.caller.clone(),
            identity: Identity::new(
                settings.proxy.clone(),
                settings.caller.as_str(),
                settings.version.as_str(),
            ),
            routing: ArcSwap::default(),
            installed: Installed::default(),
            freshness: Freshness::default(),
            builder,
            book,
            outbox,
            refusals: Arc::default(),
            taps: Taps::default(),
            connections: Connections::default(),
            access_log: AccessLog::new(settings.access_log, limits.access_lines_per_second),
            overrides: Overrides::default(),
            formats: settings.propagation,
            sampling: Budget::new(limits.traces_per_second, limits.remarkable_traces_per_second),
            closing: CancellationToken::new(),
            leaving: OnceLock::new(),
        }
    }

    /// What endpoints are chosen by at this moment.
    pub(crate) fn draw(&self, now: Now, key: Option<Key>) -> Draw<'_> {
        Draw { random: &self.random, now, most: self.limits.calls_per_endpoint, key }
    }

    /// Reports what the breaker of a service did, or that of one of its endpoints.
    pub(crate) fn tell(
        &self,
        service: &Service,
        endpoint: Option<&Endpoint>,
        transition: Transition,
        now: Now,
    ) {
        self.tell_of(service, endpoint, transition, "", now);
    }

    /// The same, with a note beside the reason.
    pub(crate) fn tell_of(
        &self,
        service: &Service,
        endpoint: Option<&Endpoint>,
        transition: Transition,
        note: &str,
        now: Now,
    ) {
        let watched = endpoint.map_or(&service.guard.watched, |endpoint| &endpoint.outlier.watched);
        let Told { transition, reason, exemplars } = watched.tell(transition, note, now);
        let (namespace, name) = (&service.namespace, &service.name);
        let (from, to) = (transition.from, transition.to);
        let counts = &service.guard.counts;
        match endpoint.map(|endpoint| &endpoint.instance) {
            Some(instance) => {
                if to == State::Open {
                    counts.ejections.one_more();
                }
                tracing::info!(%namespace, service = %name, %instance, %from, %to, reason, "outlier detection");
            }
            None => {
                counts.transitions.count(to.as_str(), 1);
                tracing::info!(%namespace, service = %name, %from, %to, reason, "circuit breaker");
            }
        }
        self.outbox.push_transition(channel::Transition {
            namespace: namespace.clone(),
            service: name.clone(),
            instance: endpoint.map(|endpoint| endpoint.instance.clone()),
            caller: self.caller.clone(),
            route: RouteName::default(),
            from,
            to,
            at: now.wall,
            reason,
            counts: transition.counts,
            exemplar_trace_ids: exemplars,
            policy_revision: service.policy.revision,
        });
    }
}

//! What every call shares.

use std::sync::Arc;

use arc_swap::ArcSwap;
use identity::{Namespace, Now, ServiceName};
use resilience::Transition;
use tokio_util::sync::CancellationToken;
use traces::sampling::Budget;

use crate::{
    clock::Clock,
    install::Installed,
    meter::Book,
    outbox::Outbox,
    random::Random,
    refusals::Refusals,
    routing::{Builder, Routing, Service},
    settings::{Limits, Settings},
    spans::Identity,
};

/// What every call shares.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) clock: Clock,
    pub(crate) random: Arc<Random>,
    pub(crate) limits: Limits,
    /// Where services without a namespace are looked for.
    pub(crate) namespace: Namespace,
    pub(crate) caller: ServiceName,
    pub(crate) identity: Identity,
    /// By what calls are routed; it changes only in `install`.
    pub(crate) routing: ArcSwap<Routing>,
    pub(crate) installed: Installed,
    pub(crate) builder: Builder,
    pub(crate) book: Arc<Book>,
    pub(crate) outbox: Outbox,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) sampling: Budget,
    /// Ends what no call waits for: upgraded connections.
    pub(crate) closing: CancellationToken,
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
            policy: settings.policy.clone(),
            book: book.clone(),
            random: random.clone(),
            clock,
            bell: outbox.bell.clone(),
        };
        Self {
            clock,
            random,
            limits,
            namespace: settings.namespace.clone(),
            caller: settings.caller.clone(),
            identity: Identity::new(
                settings.proxy.clone(),
                settings.caller.as_str(),
                settings.version.as_str(),
            ),
            routing: ArcSwap::default(),
            installed: Installed::default(),
            builder,
            book,
            outbox,
            refusals: Arc::default(),
            sampling: Budget::new(limits.traces_per_second, limits.remarkable_traces_per_second),
            closing: CancellationToken::new(),
        }
    }

    /// Reports what a breaker did.
    pub(crate) fn tell(&self, service: &Service, transition: Transition, now: Now) {
        let told = service.guard.tell(transition, service, &self.caller, now);
        tracing::info!(
            namespace = %told.namespace, service = %told.service, from = %told.from, to = %told.to,
            reason = told.reason, "circuit breaker"
        );
        self.outbox.push_transition(told);
    }
}

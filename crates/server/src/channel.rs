//! The control plane's end of the channel, for a proxy in this process and, through [`grpc`], for those
//! in others.

use std::{sync::Arc, time::Duration};

use identity::{InstanceId, Namespace, Now, ServiceName};
use registry::{Instance, Registry, Scope, Since, Status, Target};
use tokio::sync::watch;
use wire::native::{
    channel::{Endpoint, Hello, Report, ServiceUpdate, Tapped, Update, WarmUp},
    problem::Problem,
};

use crate::{clock, diary::What, intake, state::State, watchers::Woken};

pub(crate) mod grpc;

/// The control plane as a proxy sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Channel(pub(crate) Arc<State>);

impl Channel {
    /// Follows the registry from what the proxy has already.
    pub fn watch(&self, hello: Hello) -> Subscription {
        let now = clock::now();
        self.0.live.connected(&hello.proxy, &hello.version, now.wall);
        self.0.subscribers.connected(&hello.proxy, hello.epoch, hello.since, now);
        self.0.diary.note(&hello.proxy, What::Connected(hello.since), now.wall);
        let (revisions, words) = (self.0.roll.follow(Scope::All), self.0.forced.news());
        let (state, seen, taps) = (self.0.clone(), hello.since, self.0.taps.news());
        Subscription { state, revisions, words, taps, seen, told: 0, told_taps: 0, hello, is_kept: false }
    }

    /// Takes calls that somebody watches go by.
    pub fn tapped(&self, tapped: Tapped) {
        self.0.taps.tapped(tapped);
    }

    /// Takes a report. The answer means that it is durable.
    ///
    /// # Errors
    /// Why it is not. The same report may be sent again; nothing of it is counted twice.
    pub async fn report(&self, report: Report) -> Result<(), Problem> {
        intake::accept(&self.0, report).await
    }
}

/// A proxy's watch. It outlives nothing: a proxy that comes back opens another one.
#[derive(Debug)]
pub struct Subscription {
    state: Arc<State>,
    revisions: Woken,
    words: watch::Receiver<u64>,
    taps: watch::Receiver<u64>,
    seen: Option<u64>,
    /// The number of the operators' last word that it was told.
    told: u64,
    /// Which state of the taps it was told.
    told_taps: u64,
    hello: Hello,
    /// Whether it is written down that there is this proxy.
    is_kept: bool,
}

impl Subscription {
    /// The next update, as soon as there is one; `None` when the server stops.
    ///
    /// Changes that came quickly one after the other are one update: a service is sent as it is, not
    /// as it was in between.
    pub async fn next(&mut self) -> Option<Update> {
        if !self.is_kept {
            // Whoever has a table may send calls by it for as long as it likes. So before there is one, it
            // is known for good that there is this proxy.
            tokio::select! {
                () = self.state.subscribers.until_kept(&self.hello.proxy) => self.is_kept = true,
                () = self.state.stopping.cancelled() => return None,
            }
        }
        loop {
            // Marked as seen before the registry is read, so that no change falls between the two.
            self.revisions.borrow_and_update();
            self.words.borrow_and_update();
            self.taps.borrow_and_update();
            let update = self.missed();
            if let Some(mut update) = update.or_else(|| self.nothing_new()) {
                self.seen = Some(update.revision);
                let (overrides, told) = self.state.forced.after(self.told, clock::now().wall);
                (update.overrides, self.told) = (overrides, told);
                (update.taps, self.told_taps) = self.state.taps.after(self.told_taps);
                return Some(update);
            }
            tokio::select! {
                changed = self.revisions.changed() => changed.ok()?,
                changed = self.words.changed() => changed.ok()?,
                changed = self.taps.changed() => changed.ok()?,
                () = self.state.stopping.cancelled() => return None,
            }
        }
    }

    /// The proxy routes by this revision now.
    pub fn ack(&self, revision: u64) {
        let now = clock::now();
        self.state.live.acknowledged(&self.hello.proxy, revision, now.wall);
        self.state.subscribers.acknowledged(&self.hello.proxy, self.hello.epoch, revision, now);
        self.state.diary.note(&self.hello.proxy, What::Acknowledged(revision), now.wall);
    }

    /// An update without any change of the registry, where operators have said something new, or watch
    /// other calls.
    fn nothing_new(&self) -> Option<Update> {
        let (words, _) = self.state.forced.after(self.told, clock::now().wall);
        let (taps, _) = self.state.taps.after(self.told_taps);
        let revision = self.seen.filter(|_| !words.is_empty() || taps.is_some())?;
        let (services, policies, overrides) = (Vec::new(), Vec::new(), Vec::new());
        Some(Update { revision, snapshot: false, services, policies, overrides, taps: None })
    }

    fn missed(&self) -> Option<Update> {
        let now = clock::now();
        let registry = self.state.roll.read();
        let policies = self.seen.and_then(|seen| self.state.policies.since(&registry, seen));
        let (Some(seen), Some(policies)) = (self.seen, policies) else {
            return Some(snapshot(&self.state, &registry, now));
        };
        match registry.since(seen, &Scope::All) {
            Since::Resync => Some(snapshot(&self.state, &registry, now)),
            Since::Changes(changes) if changes.is_empty() && policies.is_empty() => None,
            Since::Changes(changes) => {
                let mut touched: Vec<(&Namespace, &ServiceName)> =
                    changes.iter().map(|change| (&change.target.namespace, &change.target.service)).collect();
                touched.sort();
                touched.dedup();
                let services =
                    touched.into_iter().map(|(namespace, name)| service(&registry, namespace, name, now));
                Some(Update {
                    revision: registry.revision(),
                    snapshot: false,
                    services: services.collect(),
                    policies,
                    overrides: Vec::new(),
                    taps: None,
                })
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let now = clock::now();
        self.state.live.disconnected(&self.hello.proxy, now.wall);
        self.state.subscribers.disconnected(&self.hello.proxy, self.hello.epoch, now);
        self.state.diary.note(&self.hello.proxy, What::Disconnected, now.wall);
    }
}

fn snapshot(state: &State, registry: &Registry, now: Now) -> Update {
    let services = registry.namespaces().flat_map(|namespace| {
        registry.services(namespace).map(move |name| service(registry, namespace, name, now))
    });
    Update {
        revision: registry.revision(),
        snapshot: true,
        services: services.collect(),
        policies: state.policies.all(registry),
        overrides: Vec::new(),
        taps: None,
    }
}

fn service(registry: &Registry, namespace: &Namespace, name: &ServiceName, now: Now) -> ServiceUpdate {
    let view = registry.service(namespace, name);
    let instances = view.as_ref().map(|view| view.instances.as_slice()).unwrap_or_default();
    let warm_up = |id: &InstanceId, instance: &Instance| {
        let over = instance.registration.warm_up.filter(|_| instance.status == Status::Starting)?;
        let over = Duration::from(over);
        let (namespace, service, instance) = (namespace.clone(), name.clone(), id.clone());
        let ramp = registry.ramp(now, &Target { namespace, service, instance })?;
        Some(WarmUp { elapsed: over.mul_f64(ramp.clamp(0.0, 1.0)), over })
    };
    let endpoint = |(id, instance): &(InstanceId, Arc<Instance>)| Endpoint {
        warm_up: warm_up(id, instance),
        instance: id.clone(),
        host: instance.registration.address.clone(),
        port: instance.registration.port,
        status: instance.status,
        weight: instance.weight(),
        zone: instance.registration.zone.clone(),
        version: instance.registration.version.clone(),
    };
    ServiceUpdate {
        namespace: namespace.clone(),
        service: name.clone(),
        endpoints: instances.iter().map(endpoint).collect(),
    }
}

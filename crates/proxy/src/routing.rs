//! What calls are routed by: an immutable table that is replaced as a whole.
//!
//! A call loads it once and sees one revision from beginning to end. What lasts longer than a revision
//! (breakers, connections, histograms) is shared between the tables, so that a change of one instance
//! forgets nothing about the others.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use http::request::Parts;

use identity::{InstanceId, Namespace, RouteName, ServiceName};
use monitoring::{CallKey, Outcome, Reporter, StatusClass};
use registry::Status;
use resilience::{Algorithm, LoadBalancing};
use tokio::sync::Notify;
use wire::native::channel::{self, ServiceUpdate, Update};

use crate::{
    endpoint::Endpoint,
    guard::Guard,
    hash_key,
    limits::Rates,
    meter::{Book, Meter},
    outlier::Outlier,
    owners::{Key, Owners},
    policies::Policies,
    policy::Policy,
    pool::Pool,
    random::Random,
    settings::Limits,
    turns,
    warm_up::Ramp,
};

/// Everything that is known, at one revision.
#[derive(Debug, Default, Clone)]
pub(crate) struct Routing {
    /// `None` before the first snapshot.
    pub(crate) revision: Option<u64>,
    policies: Arc<Policies>,
    services: HashMap<Namespace, HashMap<ServiceName, Arc<Service>>>,
}

/// A service at one revision.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) namespace: Namespace,
    pub(crate) name: ServiceName,
    /// What its calls follow.
    pub(crate) policy: Arc<Policy>,
    pub(crate) guard: Arc<Guard>,
    /// All of its endpoints, whatever their status.
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    /// Those that calls go to: first those that are up, then those that warm up.
    pub(crate) seats: Vec<Seat>,
    /// How many of them are up.
    pub(crate) up: usize,
    /// The weights of the endpoints, in their order.
    weights: Vec<u32>,
    /// Who owns which key, where the policy asks for it.
    pub(crate) owners: Option<Owners>,
    /// The order of the seats' turns, where they take turns.
    pub(crate) turns: Vec<u32>,
    pub(crate) rates: Rates,
}

/// An endpoint's place among those that calls go to.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) weight: u32,
    /// The weights of this one and of all before it: where it ends on the line that is drawn from.
    pub(crate) end: u64,
    /// How far it has warmed up, where it still does.
    pub(crate) ramp: Option<Ramp>,
}

/// What an update makes of a table.
#[derive(Debug)]
pub(crate) enum Step {
    /// The next table.
    Next(Routing),
    /// Nothing: it was known already.
    Known,
    /// Nothing: it is no proof of what it says.
    Suspect,
}

/// What a table is built with.
#[derive(Debug)]
pub(crate) struct Builder {
    pub(crate) limits: Limits,
    pub(crate) caller: ServiceName,
    /// Of services that have no other.
    pub(crate) policy: Arc<Policy>,
    pub(crate) book: Arc<Book>,
    pub(crate) random: Arc<Random>,
    pub(crate) clock: crate::clock::Clock,
    /// Given to endpoints.
    pub(crate) bell: Arc<Notify>,
}

impl Routing {
    /// The service with this name.
    pub(crate) fn find(&self, namespace: &str, service: &str) -> Option<&Arc<Service>> {
        self.services.get(namespace)?.get(service)
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values().flat_map(HashMap::values)
    }

    /// The names of a namespace's services.
    pub(crate) fn names(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.services.get(namespace).into_iter().flat_map(HashMap::keys).map(ServiceName::as_str)
    }

    /// What this update makes of the table.
    pub(crate) fn after(&self, update: &Update, builder: &Builder) -> Step {
        if self.revision.is_some_and(|known| !update.snapshot && update.revision <= known) {
            return Step::Known;
        }
        // The revision never goes back. If it does, and nothing is there any more, then it is more
        // likely that the control plane lost its memory than that everything has gone at once.
        let went_back = self.revision.is_some_and(|known| update.revision < known);
        if update.snapshot && went_back && update.services.is_empty() {
            return Step::Suspect;
        }
        let mut next = if update.snapshot { Routing::default() } else { self.clone() };
        next.revision = Some(update.revision);
        if !update.policies.is_empty() {
            Arc::make_mut(&mut next.policies).take(&update.policies, &self.policies);
        }
        for change in &update.services {
            // In the old table, so that a snapshot forgets no breaker either.
            let before = self.find(change.namespace.as_str(), change.service.as_str());
            let services = next.services.entry(change.namespace.clone()).or_default();
            if change.endpoints.is_empty() {
                services.remove(&change.service);
            } else {
                let policy = next.policies.find(&change.namespace, &change.service);
                let service = builder.service(change, policy.unwrap_or(&builder.policy), before);
                services.insert(change.service.clone(), Arc::new(service));
            }
        }
        if !update.snapshot && !update.policies.is_empty() {
            next.follow_policies(builder);
        }
        Step::Next(next)
    }

    /// Has each service follow the policy that holds for it now. Where it is another one, the service is
    /// another value, with everything that it has learnt.
    fn follow_policies(&mut self, builder: &Builder) {
        for service in self.services.values_mut().flat_map(HashMap::values_mut) {
            let policy = self.policies.find(&service.namespace, &service.name).unwrap_or(&builder.policy);
            if !Arc::ptr_eq(policy, &service.policy) {
                let next = Service { policy: policy.clone(), ..Service::clone(service) };
                *service = Arc::new(next.arranged(Some(service)));
            }
        }
    }
}

impl Service {
    /// Where a call's key lies, where keys have owners and the call has one.
    pub(crate) fn key(&self, parts: &Parts, peer: IpAddr) -> Option<Key> {
        let (owners, key) = self.owners.as_ref().zip(self.policy.load_balancing.hash_key.as_ref())?;
        hash_key::of(key, parts, peer).map(|key| owners.key(&key))
    }

    /// The service with what its policy asks to be worked out before calls come; what `before` has of it
    /// is used again.
    fn arranged(mut self, before: Option<&Service>) -> Self {
        let LoadBalancing { algorithm, bounded, .. } = self.policy.load_balancing;
        let before_owners = before.and_then(|before| before.owners.as_ref());
        let members = self.endpoints.iter().zip(self.weights.iter().copied());
        let owners = || Owners::new(algorithm, bounded, members, &self.seats, before_owners);
        self.owners = algorithm.is_hashing().then(owners);
        let takes_turns = algorithm == Algorithm::RoundRobin || algorithm.is_hashing();
        self.turns = if takes_turns { turns::of(&self.seats) } else { Vec::new() };
        self.rates = Rates::new(&self.policy, before.map(|before| &before.rates));
        self
    }
}

impl Builder {
    fn service(
        &self,
        change: &ServiceUpdate,
        policy: &Arc<Policy>,
        before: Option<&Arc<Service>>,
    ) -> Service {
        let guard = match before {
            Some(service) => service.guard.clone(),
            None => Arc::new(Guard::new(self.meter(change, None), self.random.number(), self.clock.now())),
        };
        let known = before.map(|service| service.endpoints.as_slice()).unwrap_or_default();
        let endpoints: Vec<_> =
            change.endpoints.iter().map(|row| self.endpoint(change, row, &guard, known)).collect();
        let mono = self.clock.mono();
        let rows = || change.endpoints.iter().zip(&endpoints).filter(|(row, _)| row.weight > 0);
        let up = rows().filter(|(row, _)| row.status == Status::Up).map(|(row, of)| (row, of, None));
        let warming = rows().filter(|(row, _)| row.status == Status::Starting).filter_map(|(row, of)| {
            let ramp = Ramp::new(row.warm_up?, mono);
            Some((row, of, Some(ramp)))
        });
        let mut end = 0;
        let seat = |(row, endpoint, ramp): (&channel::Endpoint, &Arc<Endpoint>, Option<Ramp>)| {
            end += u64::from(row.weight);
            Seat { endpoint: endpoint.clone(), weight: row.weight, end, ramp }
        };
        let seats: Vec<_> = up.chain(warming).map(seat).collect();
        let up = seats.iter().take_while(|seat| seat.ramp.is_none()).count();
        let (namespace, name) = (change.namespace.clone(), change.service.clone());
        let service = Service {
            namespace,
            name,
            policy: policy.clone(),
            guard,
            endpoints,
            seats,
            up,
            weights: change.endpoints.iter().map(|row| row.weight).collect(),
            owners: None,
            turns: Vec::new(),
            rates: Rates::default(),
        };
        service.arranged(before.map(|before| &**before))
    }

    /// The endpoint as it was, or a new one where it is another address.
    fn endpoint(
        &self,
        change: &ServiceUpdate,
        row: &channel::Endpoint,
        guard: &Guard,
        known: &[Arc<Endpoint>],
    ) -> Arc<Endpoint> {
        let same = |known: &&Arc<Endpoint>| {
            known.instance == row.instance && known.host == row.host && known.port == row.port
        };
        if let Some(endpoint) = known.iter().find(same) {
            // The control plane has said again that it is there.
            endpoint.doubt(false);
            return endpoint.clone();
        }
        let pool = Pool::new(self.limits.idle_per_endpoint, self.limits.idle_timeout);
        let meter = self.meter(change, Some(row.instance.clone()));
        let outlier = Outlier::new(guard.ejections.clone(), self.random.number(), self.clock.now());
        let (instance, host) = (row.instance.clone(), row.host.clone());
        Arc::new(Endpoint::new(instance, host, row.port, pool, meter, outlier, self.bell.clone()))
    }

    fn meter(&self, change: &ServiceUpdate, instance: Option<InstanceId>) -> Meter {
        let key = CallKey {
            namespace: change.namespace.clone(),
            caller: self.caller.clone(),
            service: change.service.clone(),
            instance,
            route: RouteName::default(),
            reporter: Reporter::Source,
            outcome: Outcome::Ok,
            status: StatusClass::None,
        };
        Meter::new(key, self.book.clone())
    }
}

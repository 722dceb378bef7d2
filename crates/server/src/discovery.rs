//! `bellwether.v1.Discovery`: following services with acknowledgements, for clients that are no proxies.
//!
//! What is sent is what the watch over server-sent events sends. What is added is the way back: a client
//! says by which revision it acts, and the receipt of a drain can say so of it. It cannot prove that no
//! call of its own is under way, as a proxy does, so a drain is not safe while it is connected.
//!
//! Messages are made when the client takes them. What waits for a slow one are references to instances
//! and changes that the registry holds anyway; what a client has missed for too long comes as a resync.

use std::{future, pin::Pin, sync::Arc, time::Duration, vec};

use futures_util::{Stream, StreamExt, stream};
use identity::{InstanceId, ServiceName};
use registry::{Change, Instance, Registry, Since};
use storage_catalog::Scope;
use tonic::{Request, Response, Status, Streaming};
use wire::native::{
    channel::proto::{
        Changes, DiscoveredService, DiscoveryRequest, DiscoveryResponse, Snapshot, discovery_request,
        discovery_response::Event, discovery_server,
    },
    discovery::{self, Subscribe},
    problem::{Code, Problem},
};

use crate::{access::Principal, api, state::State, subscribers::Watching, watchers::Woken};

/// The service that tonic routes to.
pub(crate) type Service = discovery_server::DiscoveryServer<Discovery>;

/// A request, which is names and a number; 64 names of services have at most 4 KiB.
const REQUEST_BYTES: usize = 16 << 10;
/// Messages hold this much and one item more, whose metadata may be 72 KiB. Clients take 4 MiB unless they
/// are told otherwise.
const MESSAGE_BYTES: usize = 1 << 20;
/// How long a client may take to say what it wants.
const FIRST: Duration = Duration::from_secs(10);

pub(crate) fn service(state: Arc<State>) -> Service {
    discovery_server::DiscoveryServer::new(Discovery(state)).max_decoding_message_size(REQUEST_BYTES)
}

#[derive(Debug)]
pub(crate) struct Discovery(Arc<State>);

#[tonic::async_trait]
impl discovery_server::Discovery for Discovery {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = request.extensions().get::<Principal>().cloned();
        let caller = caller.ok_or_else(|| Status::internal("the access check did not run"))?;
        let state = self.0.clone();
        let mut requests = request.into_inner();
        // The answer begins before the first request, so that a client that waits for it can go on.
        let feed = async move {
            match begin(state, &caller, &mut requests).await {
                Ok(feed) => follow(feed, requests).boxed(),
                Err(status) => stream::once(future::ready(Err(status))).boxed(),
            }
        };
        Ok(Response::new(Box::pin(stream::once(feed).flatten())))
    }
}

async fn begin(
    state: Arc<State>,
    caller: &Principal,
    requests: &mut Streaming<DiscoveryRequest>,
) -> Result<Feed, Status> {
    let refused = |code, detail: &str, field: &str| {
        Status::from(&Problem::new(code, detail.to_owned()).at(field.to_owned()))
    };
    let first = tokio::time::timeout(FIRST, requests.message()).await;
    let first = first.map_err(|_| refused(Code::RequestTimeout, "no request came", "subscribe"))?;
    let Some(discovery_request::Message::Subscribe(wanted)) = first?.and_then(|first| first.message) else {
        return Err(refused(Code::MissingField, "the first request of a watch is a subscribe", "subscribe"));
    };
    let wanted = discovery::subscribe_from_proto(wanted)
        .map_err(|error| refused(Code::InvalidValue, &error.to_string(), error.field))?;
    caller.require(Scope::Read, Some(&wanted.namespace)).map_err(|problem| Status::from(&problem))?;
    Ok(Feed::new(state, caller, wanted))
}

/// Sends what happens and takes acknowledgements, until the client or the server goes.
fn follow(
    feed: Feed,
    requests: Streaming<DiscoveryRequest>,
) -> impl Stream<Item = Result<DiscoveryResponse, Status>> {
    stream::unfold((feed, Some(requests)), |(mut feed, mut requests)| async move {
        loop {
            let request = async {
                match &mut requests {
                    Some(requests) => requests.next().await,
                    // A client that says no more goes on listening.
                    None => future::pending().await,
                }
            };
            tokio::select! {
                answer = feed.next() => return Some((Ok(answer?), (feed, requests))),
                request = request => match request {
                    Some(Ok(request)) => if let Err(status) = feed.take(request) {
                        return Some((Err(status), (feed, None)));
                    },
                    Some(Err(_)) => return None,
                    None => requests = None,
                },
            }
        }
    })
}

/// What a client follows, and how far it has come.
struct Feed {
    state: Arc<State>,
    wanted: Subscribe,
    scopes: Vec<registry::Scope>,
    woken: Vec<Woken>,
    watching: Watching,
    seen: Option<u64>,
    /// The last revision that it was sent.
    sent: u64,
    waiting: Waiting,
}

/// What the client has not taken yet.
enum Waiting {
    Nothing,
    Snapshot { revision: u64, is_resync: bool, services: vec::IntoIter<Listed>, rest: Option<Listed> },
    Changes { revision: u64, changes: vec::IntoIter<Arc<Change>> },
}

/// A service with those of its instances that were not sent yet.
struct Listed {
    service: ServiceName,
    revision: u64,
    instances: vec::IntoIter<(InstanceId, Arc<Instance>)>,
}

impl Feed {
    fn new(state: Arc<State>, caller: &Principal, wanted: Subscribe) -> Self {
        let namespace = &wanted.namespace;
        let scopes: Vec<registry::Scope> = match wanted.services.as_slice() {
            [] => vec![registry::Scope::Namespace(namespace.clone())],
            services => {
                let scope = |of: &ServiceName| registry::Scope::Service(namespace.clone(), of.clone());
                services.iter().map(scope).collect()
            }
        };
        let name = format!("{} {}", wanted.subscriber, api::subscriber(caller));
        let watching = Watching::begin(&state, &name, scopes.clone());
        let woken = scopes.iter().map(|scope| state.roll.follow(scope.clone())).collect();
        let seen = wanted.since;
        Self { state, wanted, scopes, woken, watching, seen, sent: 0, waiting: Waiting::Nothing }
    }

    /// The next answer as soon as there is one; `None` when the server stops. Whoever stops waiting for it
    /// loses nothing.
    async fn next(&mut self) -> Option<DiscoveryResponse> {
        loop {
            if let Some(answer) = self.answer() {
                self.sent = self.sent.max(answer.revision);
                return Some(answer);
            }
            // Marked as seen before the registry is read, so that no change falls between the two.
            for woken in &mut self.woken {
                woken.borrow_and_update();
            }
            self.collect();
            if matches!(self.waiting, Waiting::Nothing) {
                let changed = self.woken.iter_mut().map(|woken| Box::pin(woken.changed()));
                tokio::select! {
                    (changed, ..) = futures_util::future::select_all(changed) => changed.ok()?,
                    () = self.state.stopping.cancelled() => return None,
                }
            }
        }
    }

    /// What a client says after its subscribe.
    fn take(&self, request: DiscoveryRequest) -> Result<(), Status> {
        let refused = |detail: String| Status::from(&Problem::new(Code::InvalidValue, detail).at("ack"));
        let Some(discovery_request::Message::Ack(ack)) = request.message else {
            return Err(refused("after its subscribe a watch takes acknowledgements".to_owned()));
        };
        // A client that comes back has been sent by another stream what it says that it knows.
        let known = self.sent.max(self.wanted.since.unwrap_or(0));
        if ack.revision > known {
            let detail =
                format!("revision {} is acknowledged, but {known} is all that was sent", ack.revision);
            return Err(refused(detail));
        }
        self.watching.acknowledged(ack.revision);
        Ok(())
    }

    /// Looks what the client has missed.
    fn collect(&mut self) {
        let registry = self.state.roll.read();
        let revision = registry.revision();
        let missed = self.seen.map(|seen| missed(&registry, seen, &self.scopes));
        self.waiting = match missed {
            Some(Since::Changes(changes)) if changes.is_empty() => Waiting::Nothing,
            Some(Since::Changes(changes)) => Waiting::Changes { revision, changes: changes.into_iter() },
            other => Waiting::Snapshot {
                revision,
                is_resync: other.is_some(),
                services: listed(&registry, &self.wanted).into_iter(),
                rest: None,
            },
        };
        self.seen = Some(revision);
    }

    /// As much of what waits as a message holds.
    fn answer(&mut self) -> Option<DiscoveryResponse> {
        match &mut self.waiting {
            Waiting::Nothing => None,
            Waiting::Changes { revision, changes } => {
                let (mut taken, mut bytes, mut reached) = (Vec::new(), 0, *revision);
                while bytes < MESSAGE_BYTES
                    && let Some(change) = changes.next()
                {
                    let message = discovery::change_to_proto(&change);
                    bytes += discovery::size(&message);
                    reached = change.revision;
                    taken.push(message);
                }
                if changes.len() == 0 {
                    reached = *revision;
                    self.waiting = Waiting::Nothing;
                }
                let event = Event::Changes(Changes { changes: taken });
                Some(DiscoveryResponse { revision: reached, event: Some(event) })
            }
            Waiting::Snapshot { revision, is_resync, services, rest } => {
                let (mut taken, mut bytes) = (Vec::new(), 0);
                while bytes < MESSAGE_BYTES
                    && let Some(listed) = rest.take().or_else(|| services.next())
                {
                    taken.push(part(listed, &mut bytes, rest));
                }
                let complete = rest.is_none() && services.len() == 0;
                let (revision, snapshot) = (*revision, Snapshot { complete, services: taken });
                let event = if *is_resync { Event::Resync(snapshot) } else { Event::Snapshot(snapshot) };
                if complete {
                    self.waiting = Waiting::Nothing;
                }
                Some(DiscoveryResponse { revision, event: Some(event) })
            }
        }
    }
}

/// As many instances of a service as there is room for; those that are left become the rest.
fn part(mut listed: Listed, bytes: &mut usize, rest: &mut Option<Listed>) -> DiscoveredService {
    let mut instances = Vec::new();
    while *bytes < MESSAGE_BYTES
        && let Some((id, instance)) = listed.instances.next()
    {
        let message = discovery::instance_to_proto(&id, &instance);
        *bytes += discovery::size(&message);
        instances.push(message);
    }
    let (service, revision) = (listed.service.to_string(), listed.revision);
    if listed.instances.len() > 0 {
        *rest = Some(listed);
    }
    DiscoveredService { service, revision, instances }
}

/// What happened in all of these scopes, in order, each change once.
fn missed(registry: &Registry, seen: u64, scopes: &[registry::Scope]) -> Since {
    let mut all = Vec::new();
    for scope in scopes {
        match registry.since(seen, scope) {
            Since::Changes(changes) => all.extend(changes),
            Since::Resync => return Since::Resync,
        }
    }
    if scopes.len() > 1 {
        all.sort_by_key(|change| change.revision);
        all.dedup_by_key(|change| change.revision);
    }
    Since::Changes(all)
}

fn listed(registry: &Registry, wanted: &Subscribe) -> Vec<Listed> {
    let mut names: Vec<&ServiceName> = match wanted.services.as_slice() {
        [] => registry.services(&wanted.namespace).collect(),
        services => services.iter().collect(),
    };
    names.sort_unstable();
    names.dedup();
    let listed = names.into_iter().filter_map(|service| {
        let view = registry.service(&wanted.namespace, service)?;
        let instances = view.instances.into_iter();
        Some(Listed { service: service.clone(), revision: view.revision, instances })
    });
    listed.collect()
}

//! A proxy with a directory and a sink that a test holds in its hands, and endpoints to call.

use std::{
    collections::BTreeMap,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, client::conn::http1::SendRequest, service::service_fn};
use hyper_util::rt::TokioIo;
use proxy::{Directory, Proxy, Settings, Sink, SinkError, Subscription, Unavailable};
use registry::{Host, Status};
use resilience::{CallPolicy, Force, Parts};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use wire::native::channel::{
    Endpoint, Hello, Override, PolicyUpdate, Report, ServiceUpdate, Tap, Tapped, TappedCall, Update,
};

/// How long a test waits for what must happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The registry, as a test plays it.
#[derive(Clone)]
pub(crate) struct Registry(Arc<Shared>);

struct Shared {
    log: Mutex<Vec<(u64, ServiceUpdate)>>,
    policies: Mutex<Vec<(u64, PolicyUpdate)>>,
    /// With the number of the word that each watch was told last.
    overrides: watch::Sender<Vec<Override>>,
    /// With their number, that changes with them.
    taps: watch::Sender<(u64, Vec<Tap>)>,
    revision: watch::Sender<u64>,
    online: watch::Sender<bool>,
    pub(crate) acknowledged: watch::Sender<u64>,
    hellos: Mutex<Vec<Hello>>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            log: Mutex::default(),
            policies: Mutex::default(),
            overrides: watch::Sender::new(Vec::new()),
            taps: watch::Sender::default(),
            revision: watch::Sender::new(1),
            online: watch::Sender::new(true),
            acknowledged: watch::Sender::new(0),
            hellos: Mutex::default(),
        }))
    }

    /// Registers a service's endpoints, all of them, and answers with the revision.
    pub(crate) fn set(&self, service: &str, endpoints: &[(SocketAddr, Status)]) -> u64 {
        let endpoint = |(index, (address, status)): (usize, &(SocketAddr, Status))| Endpoint {
            instance: format!("{service}-{index}").parse().unwrap(),
            host: Host::Ip(address.ip()),
            port: address.port(),
            status: *status,
            weight: 100,
            zone: None,
            version: None,
            warm_up: None,
        };
        self.set_endpoints(service, endpoints.iter().enumerate().map(endpoint).collect())
    }

    pub(crate) fn up(&self, service: &str, addresses: &[SocketAddr]) -> u64 {
        let endpoints: Vec<_> = addresses.iter().map(|address| (*address, Status::Up)).collect();
        self.set(service, &endpoints)
    }

    pub(crate) fn set_endpoints(&self, service: &str, endpoints: Vec<Endpoint>) -> u64 {
        let update =
            ServiceUpdate { namespace: Default::default(), service: service.parse().unwrap(), endpoints };
        let revision = *self.0.revision.borrow() + 1;
        lock(&self.0.log).push((revision, update));
        self.0.revision.send_replace(revision);
        revision
    }

    /// Writes a service's policy, or removes it; its revision is the registry's.
    pub(crate) fn write_policy(&self, service: &str, policy: Option<CallPolicy>) -> u64 {
        let revision = *self.0.revision.borrow() + 1;
        let service = Some(service.parse().unwrap());
        let policy_revision = if policy.is_some() { revision } else { 0 };
        let update = PolicyUpdate { namespace: Default::default(), service, policy_revision, policy };
        lock(&self.0.policies).push((revision, update));
        self.0.revision.send_replace(revision);
        revision
    }

    /// Forces a service's breaker.
    pub(crate) fn force(&self, service: &str, force: Option<Force>, left: Duration) {
        self.0.overrides.send_modify(|words| {
            words.push(Override {
                namespace: Default::default(),
                service: service.parse().unwrap(),
                number: words.len() as u64 + 1,
                force,
                left,
                note: "maria: the new version".to_owned(),
            });
        });
    }

    /// Has the proxy tell of these calls.
    pub(crate) fn tap(&self, taps: Vec<Tap>) {
        self.0.taps.send_modify(|(number, now)| (*number, *now) = (*number + 1, taps));
    }

    /// Goes away, or comes back.
    pub(crate) fn go_online(&self, online: bool) {
        self.0.online.send_replace(online);
    }

    /// Waits until the proxy routes by this revision.
    pub(crate) async fn acknowledged(&self, revision: u64) {
        let mut acknowledged = self.0.acknowledged.subscribe();
        soon("an acknowledgement", acknowledged.wait_for(|acked| *acked >= revision)).await.unwrap();
    }

    pub(crate) fn hellos(&self) -> Vec<Hello> {
        lock(&self.0.hellos).clone()
    }
}

impl Directory for Registry {
    type Subscription = Watcher;

    async fn watch(&self, hello: Hello) -> Result<Watcher, Unavailable> {
        if !*self.0.online.borrow() {
            return Err(Unavailable("away".to_owned()));
        }
        let since = hello.since;
        lock(&self.0.hellos).push(hello);
        Ok(Watcher { shared: self.0.clone(), since, told: 0, told_taps: 0 })
    }
}

pub(crate) struct Watcher {
    shared: Arc<Shared>,
    since: Option<u64>,
    told: u64,
    told_taps: u64,
}

impl Watcher {
    fn tell_taps(&mut self) -> Option<Vec<Tap>> {
        let (number, taps) = self.shared.taps.borrow().clone();
        let is_news = std::mem::replace(&mut self.told_taps, number) != number;
        is_news.then_some(taps)
    }
}

impl Subscription for Watcher {
    async fn next(&mut self) -> Result<Update, Unavailable> {
        let (mut revision, mut online) = (self.shared.revision.subscribe(), self.shared.online.subscribe());
        let (since, told) = (self.since, self.told);
        let mut words = self.shared.overrides.subscribe();
        let (mut taps, told_taps) = (self.shared.taps.subscribe(), self.told_taps);
        tokio::select! {
            _ = taps.wait_for(|(number, _)| since.is_some() && *number != told_taps) => {}
            _ = words.wait_for(|words| since.is_some() && words.len() as u64 > told) => {}
            _ = revision.wait_for(|revision| since.is_none_or(|since| *revision > since)) => {}
            _ = online.wait_for(|online| !online) => return Err(Unavailable("gone".to_owned())),
        }
        let now = *self.shared.revision.borrow();
        let is_new = |revision: u64| since.is_none_or(|since| revision > since);
        let overrides: Vec<_> = self.shared.overrides.borrow()[told as usize..].to_vec();
        self.told += overrides.len() as u64;
        let taps = self.tell_taps();
        let policies = lock(&self.shared.policies);
        let policies =
            policies.iter().filter(|(at, _)| is_new(*at)).map(|(_, update)| update.clone()).collect();
        let mut latest = BTreeMap::new();
        for (revision, update) in lock(&self.shared.log).iter() {
            if is_new(*revision) {
                latest.insert(update.service.clone(), update.clone());
            }
        }
        self.since = Some(now);
        Ok(Update {
            revision: now,
            snapshot: since.is_none(),
            services: latest.into_values().collect(),
            policies,
            overrides,
            taps,
        })
    }

    async fn acknowledge(&mut self, revision: u64) -> Result<(), Unavailable> {
        self.shared.acknowledged.send_replace(revision);
        Ok(())
    }
}

/// What a sink does with reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Takes,
    IsAway,
    /// Stores the report, but its answer is lost.
    LosesAnswers,
    Refuses,
}

/// The stores, as a test plays them.
#[derive(Clone)]
pub(crate) struct Stores(Arc<Taken>);

struct Taken {
    mood: Mutex<Mood>,
    reports: Mutex<Vec<Report>>,
    tapped: Mutex<Vec<Tapped>>,
    offers: watch::Sender<u64>,
}

impl Stores {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Taken {
            mood: Mutex::new(Mood::Takes),
            reports: Mutex::default(),
            tapped: Mutex::default(),
            offers: watch::Sender::new(0),
        }))
    }

    pub(crate) fn be(&self, mood: Mood) {
        *lock(&self.0.mood) = mood;
    }

    /// The reports, each once.
    pub(crate) fn reports(&self) -> Vec<Report> {
        let mut reports: Vec<Report> = Vec::new();
        for report in lock(&self.0.reports).iter() {
            match reports.iter().find(|known| known.sequence == report.sequence) {
                Some(known) => assert_eq!(known, report, "the same number is the same report"),
                None => reports.push(report.clone()),
            }
        }
        reports
    }

    /// The report that came last.
    pub(crate) fn last(&self) -> Option<Report> {
        lock(&self.0.reports).last().cloned()
    }

    /// How often a report was handed over, those that came again included.
    pub(crate) fn handed_over(&self) -> usize {
        lock(&self.0.reports).len()
    }

    /// How often a report was offered.
    pub(crate) fn offers(&self) -> watch::Receiver<u64> {
        self.0.offers.subscribe()
    }

    pub(crate) fn spans(&self) -> Vec<traces::Span> {
        self.reports().into_iter().flat_map(|report| report.spans).collect()
    }

    pub(crate) fn transitions(&self) -> Vec<wire::native::channel::Transition> {
        self.reports().into_iter().flat_map(|report| report.transitions).collect()
    }

    /// The calls that were tapped, and how many more there were.
    pub(crate) fn tapped(&self) -> (Vec<TappedCall>, u64) {
        let tapped = lock(&self.0.tapped);
        let left_out = tapped.iter().flat_map(|tapped| &tapped.left_out).map(|(_, count)| count).sum();
        (tapped.iter().flat_map(|tapped| tapped.calls.clone()).collect(), left_out)
    }

    /// Calls by outcome and status class.
    pub(crate) fn calls(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        let mut calls = BTreeMap::new();
        for (key, durations) in self.reports().iter().flat_map(|report| &report.calls) {
            *calls.entry((key.outcome.as_str(), key.status.as_str())).or_default() += durations.count();
        }
        calls
    }

    /// Waits until the reports satisfy `holds`.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let mut offers = self.offers();
        let all = async {
            while !holds(self) {
                offers.changed().await.unwrap();
            }
        };
        soon(what, all).await;
    }
}

impl Sink for Stores {
    async fn tapped(&self, tapped: &Tapped) -> Result<(), SinkError> {
        if *lock(&self.0.mood) != Mood::Takes {
            return Err(SinkError::Unavailable("as the test wants".to_owned()));
        }
        lock(&self.0.tapped).push(tapped.clone());
        self.0.offers.send_modify(|offers| *offers += 1);
        Ok(())
    }

    async fn report(&self, report: &Report) -> Result<(), SinkError> {
        let mood = *lock(&self.0.mood);
        if matches!(mood, Mood::Takes | Mood::LosesAnswers) {
            lock(&self.0.reports).push(report.clone());
        }
        self.0.offers.send_modify(|offers| *offers += 1);
        match mood {
            Mood::Takes => Ok(()),
            Mood::Refuses => Err(SinkError::Refused("as the test wants".to_owned())),
            Mood::IsAway | Mood::LosesAnswers => Err(SinkError::Unavailable("as the test wants".to_owned())),
        }
    }
}

/// A proxy in its surroundings.
pub(crate) struct World {
    pub(crate) proxy: Proxy,
    pub(crate) registry: Registry,
    pub(crate) stores: Stores,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A world whose proxy has other settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::following(Registry::new(), change).await
    }

    /// A world with the registry of another one.
    pub(crate) async fn following(registry: Registry, change: impl FnOnce(&mut Settings)) -> Self {
        let world = Self::of(registry, change);
        world.proxy.ready().await;
        world
    }

    /// A world whose proxy hears from nobody.
    pub(crate) async fn without_directory(change: impl FnOnce(&mut Settings)) -> Self {
        let registry = Registry::new();
        registry.go_online(false);
        Self::of(registry, change)
    }

    fn of(registry: Registry, change: impl FnOnce(&mut Settings)) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut settings = Settings::new(listener, "proxy-1".parse().unwrap(), 77, 42).unwrap();
        settings.report_every = Duration::from_millis(20);
        change(&mut settings);
        let stores = Stores::new();
        let proxy = Proxy::start(settings, registry.clone(), stores.clone()).unwrap();
        Self { proxy, registry, stores }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.proxy.local_addr()
    }

    /// Registers endpoints and waits until calls go there.
    pub(crate) async fn up(&self, service: &str, addresses: &[SocketAddr]) {
        self.registry.acknowledged(self.registry.up(service, addresses)).await;
    }

    pub(crate) async fn get(&self, host: &str, path: &str) -> Answer {
        self.send(request("GET", host, path, "")).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        Client::new(self.address()).await.send(request).await
    }
}

pub(crate) fn policy(change: impl FnOnce(&mut Parts)) -> CallPolicy {
    let mut parts = (*CallPolicy::default()).clone();
    change(&mut parts);
    CallPolicy::new(parts).unwrap()
}

pub(crate) fn request(method: &str, host: &str, path: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(path).header("host", host).body(Full::from(body)).unwrap()
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of a problem document.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// A client that keeps its connection.
pub(crate) struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub(crate) async fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Answer {
        self.0.ready().await.unwrap();
        whole(soon("an answer", self.0.send_request(request)).await.unwrap()).await
    }
}

impl Client {
    /// Waits until the proxy has closed the connection.
    pub(crate) async fn closed(&mut self) {
        let closed = async {
            while self.0.ready().await.is_ok() {
                tokio::task::yield_now().await
            }
        };
        soon("the end of the connection", closed).await;
    }
}

pub(crate) async fn whole(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = soon("the whole answer", body.collect()).await.unwrap();
    let trailers = body.trailers().cloned();
    Answer { status: parts.status.as_u16(), headers: parts.headers, trailers, body: body.to_bytes() }
}

pub(crate) type Reply = Response<BoxBody<Bytes, hyper::Error>>;

pub(crate) fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    let mut response = Response::new(Full::new(body.into()).map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// An endpoint that behaves, as far as its handler does.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    calls: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    failing: Arc<AtomicBool>,
}

impl Backend {
    /// Answers every request with its handler.
    pub(crate) async fn new<F, R>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = Self {
            address: listener.local_addr().unwrap(),
            calls: Arc::default(),
            connections: Arc::default(),
            failing: Arc::default(),
        };
        let (calls, connections, failing) =
            (backend.calls.clone(), backend.connections.clone(), backend.failing.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, SeqCst);
                let (calls, failing, handler) = (calls.clone(), failing.clone(), handler.clone());
                let service = service_fn(move |request| {
                    calls.fetch_add(1, SeqCst);
                    let failing = failing.load(SeqCst);
                    let answer = handler(request);
                    async move { Ok::<_, hyper::Error>(if failing { reply(500, "") } else { answer.await }) }
                });
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                tokio::spawn(serving);
            }
        });
        backend
    }

    /// Answers with its name.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::new(move |_| async move { reply(200, name) }).await
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(SeqCst)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(SeqCst)
    }

    pub(crate) fn fail(&self, failing: bool) {
        self.failing.store(failing, SeqCst);
    }
}

/// An endpoint that speaks bytes.
pub(crate) async fn raw<F, R>(handler: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handler(stream));
        }
    });
    address
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come within {SOON:?}"),
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

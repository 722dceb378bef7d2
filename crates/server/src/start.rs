//! From a data folder to a serving process, and back to a folder at rest.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use http::Uri;
use registry::Networks;
use storage_catalog::{Catalog, Loaded};
use storage_disk::{
    RealDisk,
    folder::{DataFolder, FolderError, Store},
};
use storage_events::Events;
use storage_samples::{Samples, SeriesSettings, SeriesStore};
use storage_spans::Spans;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tower::Layer;
use traces::sampling::{Ratio, TailPolicy};
use wire::{
    native::{
        api::TokenRequest,
        problem::{Code, Problem},
    },
    otlp::metrics::Deltas,
};

use crate::{
    Budgets, Channel,
    access::{Access, Guard},
    api::{self, Shortcut},
    budgets::Place,
    channel::grpc,
    chronicle, clock,
    diary::{self, Diary},
    discovery,
    families::Families,
    forced::Forced,
    graph::{self, Graph},
    jaeger,
    listener::{self, BodyRule, Hosts, Limits, ListenerStats, Refusal, Tls, TlsFiles},
    live::Live,
    otlp, pages,
    pins::{self, Pins},
    policies::Policies,
    prober, problems, random, remote_write,
    roll::Roll,
    scraper::{self, ScrapeSettings, Targets},
    senders::{self, Senders},
    series_budget::Told,
    state::State,
    subscribers::{self, Subscribers},
    taps::Taps,
    zipkin,
};

/// What a server needs to know.
#[derive(Debug)]
pub struct Settings {
    /// The bound socket.
    pub listener: TcpListener,
    /// Further bound sockets, on which nothing but spans is taken.
    pub telemetry: Vec<TcpListener>,
    /// The data folder; made where it is not there.
    pub data: PathBuf,
    /// The certificate, where TLS is spoken.
    pub tls: Option<TlsFiles>,
    /// Whether tokens are asked for. Without, whoever reaches the address may do everything.
    pub require_tokens: bool,
    /// Serve other addresses than loopback without TLS or tokens.
    pub insecure: bool,
    /// Names besides the loopback ones that the server answers to.
    pub hosts: Vec<String>,
    /// The networks in which instances may be; nothing else is registered by address, nor dialled.
    pub networks: Networks,
    /// Whom to ask for metrics.
    pub scrape: ScrapeSettings,
    /// The share of traces that is kept, by their ids; all others count as sampled out.
    pub share: Ratio,
    /// Which of those stay once they are over; all where nothing is said.
    pub tail: Option<TailSampling>,
    /// Memory and disk by pillar.
    pub budgets: Budgets,
    /// The listener's bounds.
    pub limits: Limits,
    /// How long requests in flight may go on when the server stops.
    pub drain: Duration,
}

impl Settings {
    /// The usual settings.
    pub fn new(listener: TcpListener, data: PathBuf) -> Self {
        Self {
            listener,
            telemetry: Vec::new(),
            data,
            tls: None,
            require_tokens: false,
            insecure: false,
            hosts: Vec::new(),
            networks: Networks::default(),
            scrape: ScrapeSettings::default(),
            share: Ratio::ALL,
            tail: None,
            budgets: Budgets::default(),
            limits: Limits::default(),
            drain: Duration::from_secs(10),
        }
    }
}

/// Tail sampling.
#[derive(Debug, Clone, PartialEq)]
pub struct TailSampling {
    /// What is kept.
    pub policy: TailPolicy,
    /// How long everything can be read at most before what is not kept goes. Less makes smaller blocks.
    pub hold: Duration,
}

impl Default for TailSampling {
    fn default() -> Self {
        Self { policy: TailPolicy::default(), hold: Duration::from_secs(3_600) }
    }
}

/// A running control plane.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    tls: Option<Arc<Tls>>,
    serving: Vec<JoinHandle<std::io::Result<listener::Stopped>>>,
    writer: JoinHandle<()>,
    chronicler: JoinHandle<()>,
    prober: JoinHandle<()>,
    scraper: JoinHandle<()>,
    /// Held until everything is written.
    _folder: DataFolder,
}

impl Server {
    /// Recovers what the data folder holds, and serves.
    ///
    /// # Errors
    /// What is in the way, and what to do about it. The data folder is as it was.
    pub async fn start(settings: Settings) -> Result<Self, Problem> {
        let address = settings.listener.local_addr();
        let address = address.map_err(|error| Problem::new(Code::AddressUnavailable, error.to_string()))?;
        listener::check_exposure(
            address,
            settings.tls.is_some(),
            settings.require_tokens,
            settings.insecure,
        )?;
        let tls = settings.tls.map(Tls::load).transpose()?;

        let (data, budgets, tail) = (settings.data, settings.budgets, settings.tail);
        let opened = tokio::task::spawn_blocking(move || Stores::open(&data, &budgets, tail)).await;
        let stores = opened.map_err(|error| Problem::new(Code::Internal, error.to_string()))??;
        let spans = stores.spans;
        let (disk, place) = (stores.folder.disk(), stores.folder.store(Store::Spans).join("graph"));
        let reserve_bytes = settings.budgets.reserve_bytes;
        let opened = move || (Graph::open(&spans, disk, &place, reserve_bytes, clock::now().wall), spans);
        let opened = tokio::task::spawn_blocking(opened).await;
        let (graph, spans) = opened.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        let graph = graph.map_err(|error| problems::open(&error))?;
        let (disk, data) = (stores.folder.disk(), stores.folder.path().to_path_buf());
        let place = Place { budgets: settings.budgets, disk: disk.clone(), folder: data.clone() };
        let pins = tokio::task::spawn_blocking(move || Pins::open(disk, &data)).await;
        let pins = pins.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        let pins = pins.map_err(|error| Problem::new(Code::DataFolderUnusable, error.to_string()))?;
        pins.all().iter().for_each(|(id, _)| spans.pin(*id, true));
        let events = stores.events.clone();
        let restored = move || Forced::restored(&events, clock::now().wall);
        let forced = tokio::task::spawn_blocking(restored).await;
        let forced = forced.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        let Loaded { mut registry, tokens, proxies, .. } = stores.loaded;
        registry.confine(settings.networks.clone());

        let access = Arc::new(if settings.require_tokens {
            Access::required(tokens.clone())
        } else {
            Access::open(tokens.clone())
        });
        let stats: Arc<ListenerStats> = Arc::default();
        let stopping = CancellationToken::new();
        let (activity, _) = watch::channel(0_u64);
        let (roll, noticed, writer) = Roll::start(registry, stores.catalog, tokens, proxies.clone());
        let state = Arc::new(State {
            roll,
            policies: Policies::default(),
            events: stores.events,
            spans,
            pins,
            share: settings.share,
            graph,
            samples: stores.samples,
            series: stores.series,
            deltas: Deltas::default(),
            families: Families::default(),
            targets: Targets::default(),
            live: Live::default(),
            senders: Senders::default(),
            forced,
            taps: Taps::default(),
            diary: Diary::default(),
            subscribers: Subscribers::restored(clock::mono(), proxies),
            access,
            probes: Arc::default(),
            listener: stats.clone(),
            stopping: stopping.clone(),
            restoring: tokio::sync::Mutex::default(),
            ring: tokio::sync::Mutex::default(),
            queries: Arc::new(tokio::sync::Semaphore::new(api::QUERIES_AT_ONCE)),
            exports: Arc::new(tokio::sync::Semaphore::new(api::EXPORTS_AT_ONCE)),
            activity,
            place,
            started: clock::now().wall,
        });
        // What a crash left untold is there before the first reader. Where the disk refuses it, discovery
        // starts all the same, and the chronicler goes on trying.
        let _ = chronicle::catch_up(&state).await;
        let chronicler = tokio::spawn(chronicle::follow(state.clone()));
        tokio::spawn(chronicle::take_notice(state.clone(), noticed));

        tokio::spawn(retire(state.clone()));
        tokio::spawn(decide(state.clone()));
        tokio::spawn(subscribers::tend(state.clone()));
        tokio::spawn(diary::keep(state.clone()));
        tokio::spawn(graph::keep(state.clone()));
        let scraper = scraper::run(
            state.clone(),
            settings.scrape,
            settings.networks.clone(),
            settings.budgets.max_foreign_series(),
        );
        let scraper = tokio::spawn(scraper);
        let prober =
            prober::run(state.roll.clone(), settings.networks, state.probes.clone(), state.stopping.clone());
        let prober = tokio::spawn(prober);
        let listening = || listener::Settings {
            limits: settings.limits.clone(),
            tls: tls.clone(),
            drain: settings.drain,
            stats: stats.clone(),
            ..listener::Settings::new(Hosts::for_address(address.ip(), settings.hosts.clone()))
        };
        let main = listener::serve(settings.listener, app(&state), listening(), stopping.clone());
        let mut serving = vec![tokio::spawn(main)];
        for socket in settings.telemetry {
            let serve = listener::serve(socket, telemetry(&state), listening(), stopping.clone());
            serving.push(tokio::spawn(serve));
        }
        let started = format!("version {} on {address}", env!("CARGO_PKG_VERSION"));
        chronicle::record(&state, chronicle::server("started", started)).await;
        Ok(Self { address, state, tls, serving, writer, chronicler, prober, scraper, _folder: stores.folder })
    }

    /// The address that is served.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The way of a proxy in this process to the control plane.
    pub fn channel(&self) -> Channel {
        Channel(self.state.clone())
    }

    /// Reads the certificate's files again.
    ///
    /// # Errors
    /// Why they cannot be used; the old certificate stays.
    pub fn reload_tls(&self) -> Result<(), Problem> {
        self.tls.as_ref().map_or(Ok(()), |tls| tls.reload())
    }

    /// Finishes what is in flight, then what waits for the disk, and gives the data folder back.
    pub async fn shutdown(self) {
        chronicle::record(&self.state, chronicle::server("stopping", "asked to stop".to_owned())).await;
        self.state.stopping.cancel();
        for serving in self.serving {
            match serving.await {
                Ok(Ok(stopped)) if stopped.cut_off > 0 => {
                    tracing::warn!(
                        connections = stopped.cut_off,
                        "connections were cut off when the time to drain was over"
                    );
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::error!(%error, "the listener failed"),
                Err(error) => tracing::error!(%error, "the listener ended early"),
            }
        }
        if let Err(problem) = self.state.subscribers.keep(&self.state.roll).await {
            tracing::error!(%problem, "a proxy that came or went was not written down");
        }
        if let Err(error) = self.state.diary.write(&self.state).await {
            tracing::error!(%error, "what proxies acknowledged last was not written down");
        }
        let of = Arc::clone(&self.state);
        if let Err(error) = tokio::task::spawn_blocking(move || of.graph.keep()).await {
            tracing::error!(%error, "the graph was not kept");
        }
        self.state.roll.close();
        for task in [self.scraper, self.prober, self.writer, self.chronicler] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task ended early");
            }
        }
    }
}

/// How often the stores are told the time, so that what is too old goes.
const RETIRE_EVERY: Duration = Duration::from_secs(10);

/// How often the store of spans is, which decides about traces when nothing has come for a while.
const DECIDE_EVERY: Duration = Duration::from_secs(1);

/// Lets time pass in the store of spans until the server stops.
async fn decide(state: Arc<State>) {
    while tokio::time::timeout(DECIDE_EVERY, state.stopping.cancelled()).await.is_err() {
        state.spans.advance(clock::now().wall);
    }
}

/// Lets time pass in the stores until the server stops.
async fn retire(state: Arc<State>) {
    let mut told = Told::default();
    while tokio::time::timeout(RETIRE_EVERY, state.stopping.cancelled()).await.is_err() {
        let now = clock::now().wall;
        state.events.advance(now);
        state.series.advance(now);
        told.tell(&state, now).await;
        let of = state.clone();
        // It goes on by itself where the server stops meanwhile.
        let _ = tokio::task::spawn_blocking(move || pins::tend(&of, now)).await;
    }
}

/// Everything on one address.
fn app(state: &Arc<State>) -> Shortcut {
    let proxies = BodyRule::stream().layer(grpc::service(Channel(state.clone())));
    let clients = BodyRule::stream().layer(discovery::service(state.clone()));
    let guarded = api::router(state.clone())
        .route_service("/bellwether.v1.Proxy/{method}", proxies)
        .route_service("/bellwether.v1.Discovery/{method}", clients)
        .merge(senders(state))
        .merge(jaeger::routes().merge(zipkin::queries()).with_state(state.clone()))
        .layer(Guard(state.access.clone()));
    Shortcut::before(guarded.fallback(pages::serve), state.clone())
}

/// What a listener for spans alone serves.
fn telemetry(state: &Arc<State>) -> Router {
    let nothing = async |uri: Uri| Refusal(api::no_such_path(uri.path()));
    senders(state).layer(Guard(state.access.clone())).fallback(nothing)
}

/// The ways of spans that other senders send.
fn senders(state: &Arc<State>) -> Router {
    let routes =
        otlp::routes().merge(zipkin::routes()).merge(remote_write::routes()).with_state(state.clone());
    routes.layer(BodyRule::at_most(senders::MAX_BODY_BYTES))
}

struct Stores {
    folder: DataFolder,
    catalog: Catalog,
    loaded: Loaded,
    events: Events,
    spans: Spans,
    samples: Samples,
    series: SeriesStore,
}

impl Stores {
    fn open(data: &Path, budgets: &Budgets, tail: Option<TailSampling>) -> Result<Self, Problem> {
        let folder = data_folder(data)?;
        let now = clock::now();
        let open = |error: &storage_journal::OpenError| problems::open(error);
        let (catalog, loaded) =
            Catalog::open(folder.disk(), &folder.store(Store::Catalog), now).map_err(|error| open(&error))?;
        let settings = storage_events::Settings {
            memory_bytes: budgets.events.memory_bytes,
            disk_bytes: budgets.events.disk_bytes,
            max_age: budgets.events_max_age,
            reserve_bytes: budgets.reserve_bytes,
            ..storage_events::Settings::default()
        };
        let events = Events::open(folder.disk(), &folder.store(Store::Events), settings);
        let events = events.map_err(|error| open(&error))?;
        let usual = storage_spans::Settings::default();
        let settings = storage_spans::Settings {
            block_age: tail.as_ref().map_or(usual.block_age, |tail| tail.hold.min(usual.block_age)),
            tail: tail.map(|tail| tail.policy),
            memory_bytes: budgets.spans.memory_bytes,
            disk_bytes: budgets.spans.disk_bytes,
            max_age: budgets.spans_max_age,
            reserve_bytes: budgets.reserve_bytes,
            // Whatever a sender may send at once has to fit, with what the record adds to it.
            max_batch_bytes: 2 * senders::MAX_REQUEST_BYTES as u64,
            ..usual
        };
        let (spans, recovery) = Spans::open(folder.disk(), &folder.store(Store::Spans), settings)
            .map_err(|error| open(&error))?;
        warn_of_damage("spans", &recovery);
        let settings = storage_samples::Settings {
            max_series: budgets.max_series(),
            // A snapshot is written beside what it replaces.
            snapshot_after_bytes: budgets.samples.disk_bytes / 2,
            reserve_bytes: budgets.reserve_bytes,
            ..storage_samples::Settings::default()
        };
        let (samples, recovery) = Samples::open(folder.disk(), &folder.store(Store::Samples), settings)
            .map_err(|error| open(&error))?;
        warn_of_damage("samples", &recovery);
        let settings = SeriesSettings {
            max_series: budgets.max_foreign_series(),
            max_series_of_service: budgets.max_series_of_service(),
            memory_bytes: budgets.samples.memory_bytes,
            disk_bytes: budgets.samples.disk_bytes,
            reserve_bytes: budgets.reserve_bytes,
            // Whatever a sender may send at once has to fit, with what the record adds to it.
            max_batch_bytes: 2 * senders::MAX_REQUEST_BYTES as u64,
            ..SeriesSettings::default()
        };
        let place = folder.store(Store::Samples).join("series");
        let (series, recovery) =
            SeriesStore::open(folder.disk(), &place, settings).map_err(|error| open(&error))?;
        warn_of_damage("series", &recovery);
        Ok(Self { folder, catalog, loaded, events, spans, samples, series })
    }
}

fn warn_of_damage(store: &str, recovery: &storage_journal::Recovery) {
    for damage in &recovery.damaged {
        tracing::error!(store, %damage, "telemetry is damaged; the rest of the segment is left out and kept aside");
    }
}

/// Takes a data folder into possession, until the value is dropped.
///
/// # Errors
/// Why it cannot be used, and what to do about it; it is as it was.
pub fn data_folder(path: &Path) -> Result<DataFolder, Problem> {
    DataFolder::open(Arc::new(RealDisk), path).map_err(|error| refused_folder(&error))
}

fn refused_folder(error: &FolderError) -> Problem {
    let code = match error {
        FolderError::Locked { .. } => Code::DataFolderLocked,
        FolderError::ReadOnly { .. } => Code::DataFolderReadOnly,
        FolderError::Newer { .. } => Code::DataFolderNewer,
        FolderError::Damaged { .. } => Code::DataFolderDamaged,
        _ => Code::DataFolderUnusable,
    };
    let text = error.to_string();
    // The message ends with what to do, which a problem document has a place of its own for.
    match text.rsplit_once("; ") {
        Some((detail, next)) => Problem::new(code, detail).next(next.to_owned()),
        None => Problem::new(code, text),
    }
}

/// Makes a token while no server runs on the folder: the first token of an installation that asks for
/// tokens.
///
/// # Errors
/// What is in the way: above all a server that runs on the folder, which makes tokens itself.
pub async fn create_token_offline(data: &Path, request: &TokenRequest) -> Result<(String, String), Problem> {
    let spec = api::token_spec(request)?;
    let folder = data_folder(data)?;
    let now = clock::now();
    let (catalog, _) = Catalog::open(folder.disk(), &folder.store(Store::Catalog), now)
        .map_err(|error| problems::open(&error))?;
    let (token, secret) = spec.mint(random::bytes()?, now.wall)?;
    catalog.put_token(&token).await.map_err(problems::append)?;
    Ok((token.id, secret))
}

//! The control listener: one address for everything that the control plane serves.
//!
//! HTTP/1.1, HTTP/2 with and without TLS, gRPC, the console and streams of events share a port and
//! are told apart by their first bytes and then by path. The listener stands before everything that
//! knows anybody, so it trusts nobody: each step of a connection is bounded in time and size
//! ([`Limits`]), what is refused gets a problem document where the protocol has room for one, and
//! each refusal is counted ([`ListenerStats`]).
//!
//! It knows nothing of what it serves: an [`App`] is handed in, such as an [`axum::Router`], and who may do
//! what is [`access`](crate::access)'s business.

use std::{io, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wire::native::problem::{Code, Problem};

mod activity;
mod answer;
mod app;
mod bind;
mod body;
mod connection;
mod limits;
mod origin;
mod request;
mod stats;
mod tls;
mod transport;

pub use answer::{Refusal, answer, is_grpc};
pub use app::App;
pub use bind::{bind, check_exposure, is_loopback};
pub use body::{BodyError, BodyRule, RequestBody, Ruled};
pub use limits::Limits;
pub use origin::Hosts;
pub use request::Peer;
pub use stats::{ListenerStats, Reason};
pub use tls::{Tls, TlsFiles};

/// How one listener behaves.
#[derive(Debug)]
pub struct Settings {
    /// Its bounds.
    pub limits: Limits,
    /// The names it answers to.
    pub hosts: Hosts,
    /// TLS, if it is spoken; then nothing else is.
    pub tls: Option<Arc<Tls>>,
    /// How often the files of `tls` are looked at for a change.
    pub tls_watch: Duration,
    /// How long requests in flight may go on after the listener was told to stop.
    pub drain: Duration,
    /// Where everything is counted.
    pub stats: Arc<ListenerStats>,
}

impl Settings {
    /// The usual settings, with these names and without TLS.
    pub fn new(hosts: Hosts) -> Self {
        Self {
            limits: Limits::default(),
            hosts,
            tls: None,
            tls_watch: Duration::from_secs(2),
            drain: Duration::from_secs(10),
            stats: Arc::default(),
        }
    }
}

/// How a listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that were still busy when the time for draining was over.
    pub cut_off: usize,
}

/// Serves `app` until `stop` is cancelled, then finishes what is in flight.
///
/// After `stop` nothing new is accepted; HTTP/2 clients are told to go away, and each connection ends
/// with its last response. A stream that would never end has to end by itself: its handler watches
/// the same token. What is left after [`Settings::drain`] is cut off.
pub async fn serve(
    listener: std::net::TcpListener,
    app: impl App,
    settings: Settings,
    stop: CancellationToken,
) -> io::Result<Stopped> {
    let listener = TcpListener::from_std(listener)?;
    let settings = Arc::new(settings);
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let watch = settings.tls.clone().map(|tls| tokio::spawn(tls.watch(settings.tls_watch)));

    tokio::select! {
        () = stop.cancelled() => {}
        () = accept(&listener, &app, &settings, &connections, &stop, &cut) => {}
    }
    drop(listener);
    connections.close();
    let drained = timeout(settings.drain, connections.wait()).await.is_ok();
    let cut_off = if drained { 0 } else { connections.len() };
    for _ in 0..cut_off {
        settings.stats.refuse(Reason::CutOff);
    }
    cut.cancel();
    connections.wait().await;
    if let Some(watch) = watch {
        watch.abort();
    }
    Ok(Stopped { cut_off })
}

/// How long to wait when the operating system has no descriptor or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

async fn accept(
    listener: &TcpListener,
    app: &impl App,
    settings: &Arc<Settings>,
    connections: &TaskTracker,
    stop: &CancellationToken,
    cut: &CancellationToken,
) {
    let room = Arc::new(Semaphore::new(settings.limits.max_connections.min(Semaphore::MAX_PERMITS)));
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                settings.stats.refuse(Reason::Accept);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        settings.stats.accept();
        let Ok(permit) = room.clone().try_acquire_owned() else {
            settings.stats.refuse(Reason::Connections);
            turn_away(stream, settings);
            continue;
        };
        let active = settings.stats.activate();
        let serve = connection::serve(stream, address, app.clone(), settings.clone(), stop.clone());
        let cut = cut.clone();
        connections.spawn(async move {
            let _held = (permit, active);
            tokio::select! {
                () = serve => {}
                () = cut.cancelled() => {}
            }
        });
    }
}

/// The client was gone before we came to it; the next one may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Says why, as far as that goes without waiting, and closes.
fn turn_away(stream: tokio::net::TcpStream, settings: &Settings) {
    // TLS would take a handshake, which is what there is no room for.
    if settings.tls.is_none() {
        let detail = format!("all {} connections are in use", settings.limits.max_connections);
        let problem = Problem::new(Code::TooManyConnections, detail).retry_after(Duration::from_secs(1));
        // Reading first what is already there keeps the close from discarding the answer.
        let _ = stream.try_read(&mut [0; 4096]);
        let _ = stream.try_write(&answer::raw(&problem));
    }
}

//! A proxy from start to stop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use monitoring::Ledger;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use wire::native::channel::Hello;

use crate::{
    Directory, Settings, Sink, follow::Follower, gateway::Gateway, kept::Kept, listener, report::Reporter,
    taps,
};

/// How long a connection may go unused before it is closed when the proxy stops. A client that keeps asking
/// asks again sooner, and is told with the answer.
const QUIET: Duration = Duration::from_millis(100);

/// A running proxy. Dropped, it goes on; [`Proxy::shutdown`] stops it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    gateway: Arc<Gateway>,
    revision: watch::Receiver<Option<u64>>,
    stopping: CancellationToken,
    /// Cancelled after all calls have ended, so that the last report has them.
    calls_ended: CancellationToken,
    clients: JoinHandle<()>,
    follower: JoinHandle<()>,
    reporter: JoinHandle<()>,
    tapping: JoinHandle<()>,
    /// Writes the last table, where one is kept.
    keeper: Option<JoinHandle<()>>,
    kept: Option<Arc<Kept>>,
    drain: Duration,
}

impl Proxy {
    /// Starts a proxy in the current runtime of tokio.
    ///
    /// It accepts clients at once, and answers 503 until it has heard from its directory; see
    /// [`Proxy::ready`].
    ///
    /// # Errors
    /// A listener that cannot be used.
    pub fn start(settings: Settings, directory: impl Directory, sink: impl Sink) -> io::Result<Self> {
        let gateway = Arc::new(Gateway::new(&settings));
        let Settings { listener, proxy, version, epoch, drain, flush, report_every, keep, .. } = settings;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let (stopping, calls_ended) = (CancellationToken::new(), CancellationToken::new());

        let (sender, revision) = watch::channel(None);
        let hello = Hello { proxy: proxy.clone(), epoch, version, since: None };
        let kept = keep.map(|keep| Arc::new(Kept::new(keep, gateway.clock.clone())));
        let keeper = kept.clone().map(|kept| tokio::spawn(kept.run(calls_ended.clone())));
        let follower =
            Follower { gateway: gateway.clone(), directory, hello, revision: sender, kept: kept.clone() };
        let sink = Arc::new(sink);
        let tapping = taps::carry(gateway.clone(), sink.clone(), proxy.clone(), calls_ended.clone());
        let reporter = Reporter::new(gateway.clone(), sink, proxy, epoch);
        Ok(Self {
            address,
            clients: tokio::spawn(listener::serve(gateway.clone(), listener, stopping.clone(), drain)),
            follower: tokio::spawn(follower.run()),
            reporter: tokio::spawn(reporter.run(report_every, flush, calls_ended.clone())),
            tapping: tokio::spawn(tapping),
            keeper,
            kept,
            drain,
            gateway,
            revision,
            stopping,
            calls_ended,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The revision by which calls are routed; `None` before the first snapshot.
    pub fn revision(&self) -> Option<u64> {
        *self.revision.borrow()
    }

    /// How old the table is by which calls are routed; `None` while the control plane is heard.
    pub fn snapshot_age(&self) -> Option<Duration> {
        self.gateway.freshness.age(self.gateway.clock.now().wall)
    }

    /// Waits for the first snapshot.
    pub async fn ready(&self) {
        // The sender lives as long as the follower, which ends only with the proxy.
        let _ = self.revision.clone().wait_for(Option::is_some).await;
    }

    /// The account of the spans made here: `stored` is what was acknowledged, `spooled` what waits.
    pub fn ledger(&self) -> Ledger {
        self.gateway.outbox.ledger()
    }

    /// Whether it writes down the table that it goes by, where it was told to keep one: only one process may.
    /// When this returns nothing is being written any more, or it will be.
    pub async fn keep(&self, keeps: bool) {
        if let Some(kept) = &self.kept {
            kept.own(keeps).await;
        }
    }

    /// Stops: no new client is accepted, calls in flight go on for at most `drain`, and what happened is
    /// reported for the last time, for at most `flush`. Answers with the final account.
    ///
    /// Answers say from now on that the connection ends with them. One that is not used is closed after a
    /// moment: a client that was just about to send would find it closed.
    pub async fn shutdown(self) -> Ledger {
        self.leave(QUIET).await
    }

    /// The same where another process has taken over, so that nobody waits for this one: connections that are
    /// not used have half of the time to be used once more.
    pub async fn retire(self) -> Ledger {
        let half = self.drain / 2;
        self.leave(half).await
    }

    async fn leave(self, quiet: Duration) -> Ledger {
        let _ = self.gateway.leaving.set(quiet);
        self.stopping.cancel();
        let _ = self.clients.await;
        self.gateway.closing.cancel();
        self.calls_ended.cancel();
        let _ = self.reporter.await;
        let _ = self.tapping.await;
        if let Some(keeper) = self.keeper {
            let _ = keeper.await;
        }
        self.follower.abort();
        let _ = self.follower.await;
        self.gateway.outbox.ledger()
    }
}

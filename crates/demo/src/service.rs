//! A service of the shop, in a process of its own.

use std::{
    convert::Infallible,
    io::{self, BufRead, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{kind::Kind, membership::Membership, orders, trade::Trade};

/// How long calls are taken after the deregistration: a gateway hears of it within milliseconds.
const PARTING: Duration = Duration::from_millis(300);

/// How long calls in flight may go on at the end.
const DRAIN: Duration = Duration::from_secs(3);

/// What an instance is told.
#[derive(Debug, Clone)]
pub struct Order {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// The version that it says it is.
    pub version: String,
    /// Where it registers.
    pub control: SocketAddr,
    /// Through what it calls others.
    pub gateway: SocketAddr,
}

/// Serves until standard input ends, which is when the one who started it stops or dies, or until SIGTERM.
/// Once it is registered it says so in a line of JSON on standard output.
///
/// # Errors
/// What kept it from serving.
pub async fn serve(order: Order) -> io::Result<()> {
    let trade = Arc::new(Trade::new(order));
    let stop = ended(trade.clone())?;
    let order = &trade.order;
    let listener = TcpListener::bind((order.control.ip(), 0)).await?;
    let address = listener.local_addr()?;
    let closing = CancellationToken::new();
    let serving = tokio::spawn(listen(listener, trade.clone(), closing.clone()));
    let membership = tokio::select! {
        membership = Membership::join(order, address) => membership,
        () = stop.cancelled() => return Ok(()),
    };
    let settling = (order.kind == Kind::Checkout).then(|| {
        let (trade, stop) = (trade.clone(), stop.clone());
        tokio::spawn(async move { orders::settle(&trade, &stop).await })
    });
    let ready = json!({
        "service": order.kind.as_str(),
        "id": order.id,
        "address": address.to_string(),
        "pid": std::process::id(),
        "revision": membership.revision(),
    });
    writeln!(io::stdout().lock(), "{ready}")?;
    membership.keep(&stop).await;
    // Whoever chose us before hearing that we have left may still come, and is served.
    tokio::time::sleep(PARTING).await;
    closing.cancel();
    if let Some(settling) = settling {
        settling.await.map_err(io::Error::other)?;
    }
    serving.await.map_err(io::Error::other)
}

/// Cancelled when the process should end. Until then each line of standard input is the fault that the
/// service has from now on.
fn ended(trade: Arc<Trade>) -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let at_end = stop.clone();
    // A thread of its own: reading standard input cannot be cancelled, and must not keep the runtime.
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            match serde_json::from_str(&line) {
                Ok(fault) => trade.faulty.set(fault),
                Err(error) => tracing::warn!(%error, line, "that is no fault"),
            }
        }
        at_end.cancel();
    });
    let mut terminate = signal(SignalKind::terminate())?;
    // Ctrl-C reaches all processes of a terminal. Here it waits for the one who started this process,
    // which stops the customers first.
    let interrupt = signal(SignalKind::interrupt())?;
    let on_signal = stop.clone();
    tokio::spawn(async move {
        let _ignored = interrupt;
        terminate.recv().await;
        on_signal.cancel();
    });
    Ok(stop)
}

async fn listen(listener: TcpListener, trade: Arc<Trade>, stop: CancellationToken) {
    let connections = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let trade = trade.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let trade = trade.clone();
            async move { Ok::<_, Infallible>(trade.respond(&request).await) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connections.watch(connection));
    }
    let _ = timeout(DRAIN, connections.shutdown()).await;
}

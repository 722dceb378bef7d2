//! A service of the shop, in a process of its own.

use std::{
    convert::Infallible,
    io::{self, Read, Write},
    net::SocketAddr,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use serde_json::{Value as Json, json};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    call::{Call, answer},
    membership::Membership,
};

/// The headers of a trace. Whoever forwards them has its calls in the caller's trace: all that a service
/// has to do for it.
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// How long calls in flight may go on at the end.
const DRAIN: Duration = Duration::from_secs(3);

/// What a service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What customers see. It asks the catalog.
    Storefront,
    /// What there is to buy.
    Catalog,
}

impl Kind {
    /// The service's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Storefront => "storefront",
            Self::Catalog => "catalog",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Storefront, Self::Catalog]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("the shop has no service {text:?}, only storefront and catalog"))
    }
}

/// What an instance is told.
#[derive(Debug, Clone)]
pub struct Order {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
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
    let stop = ended()?;
    let listener = TcpListener::bind((order.control.ip(), 0)).await?;
    let address = listener.local_addr()?;
    let order = Arc::new(order);
    let serving = tokio::spawn(listen(listener, order.clone(), stop.clone()));
    let membership = tokio::select! {
        membership = Membership::join(&order, address) => membership,
        () = stop.cancelled() => return Ok(()),
    };
    let ready = json!({
        "service": order.kind.as_str(),
        "id": order.id,
        "address": address.to_string(),
        "pid": std::process::id(),
        "revision": membership.revision(),
    });
    writeln!(io::stdout().lock(), "{ready}")?;
    membership.keep(&stop).await;
    // Only when nobody is sent here any more, what is still under way is waited for.
    serving.await.map_err(io::Error::other)
}

/// Cancelled when the process should end.
fn ended() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let at_end = stop.clone();
    // A thread of its own: reading standard input cannot be cancelled, and must not keep the runtime.
    std::thread::spawn(move || {
        let mut byte = [0];
        while io::stdin().lock().read(&mut byte).is_ok_and(|read| read > 0) {}
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

async fn listen(listener: TcpListener, order: Arc<Order>, stop: CancellationToken) {
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
        let order = order.clone();
        let service = service_fn(move |request| {
            let order = order.clone();
            async move { Ok::<_, Infallible>(respond(&order, request).await) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connections.watch(connection));
    }
    let _ = timeout(DRAIN, connections.shutdown()).await;
}

async fn respond(order: &Order, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match (order.kind, request.uri().path()) {
        (_, "/healthz") => answer(StatusCode::OK, &json!({ "well": true })),
        (Kind::Storefront, "/") => storefront(order, request.headers()).await,
        (Kind::Catalog, "/products") => catalog(order).await,
        (kind, path) => {
            let body = json!({ "error": format!("{} has nothing at {path}", kind.as_str()) });
            answer(StatusCode::NOT_FOUND, &body)
        }
    }
}

/// Asks the catalog, by its name and through the gateway.
async fn storefront(order: &Order, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let mut call = Call::get(order.gateway, Kind::Catalog.as_str(), "/products");
    for name in TRACE_HEADERS {
        for value in headers.get_all(name) {
            call.headers.append(name, value.clone());
        }
    }
    match call.make().await {
        Ok(products) if products.status() == StatusCode::OK => {
            let products: Json = serde_json::from_slice(products.body()).unwrap_or_default();
            answer(StatusCode::OK, &json!({ "shop": order.id, "catalog": products }))
        }
        // A shop without its catalog has nothing to show, and does not pretend to.
        Ok(refused) => {
            let body =
                json!({ "shop": order.id, "error": format!("the catalog answered {}", refused.status()) });
            answer(StatusCode::BAD_GATEWAY, &body)
        }
        Err(error) => {
            let body = json!({ "shop": order.id, "error": format!("the catalog cannot be asked: {error}") });
            answer(StatusCode::BAD_GATEWAY, &body)
        }
    }
}

async fn catalog(order: &Order) -> Response<Full<Bytes>> {
    // As long as a small look-up in a database takes, so that there is something to see.
    tokio::time::sleep(Duration::from_micros(fastrand::u64(1_000..8_000))).await;
    let products = json!([
        { "name": "Brass bell", "price_cents": 2400 },
        { "name": "Sheep bell, large", "price_cents": 3900 },
        { "name": "Leather strap", "price_cents": 1150 },
    ]);
    answer(StatusCode::OK, &json!({ "from": order.id, "products": products }))
}

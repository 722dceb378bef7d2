//! A listener on a free port, and clients that can misbehave.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    routing::{get, post},
};
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use server::listener::{BodyRule, Hosts, ListenerStats, Reason, Settings, Stopped, bind, serve};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; reached only where a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A limit that is meant to fire.
pub(crate) const SHORT: Duration = Duration::from_millis(40);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) stats: Arc<ListenerStats>,
    pub(crate) stop: CancellationToken,
    task: JoinHandle<std::io::Result<Stopped>>,
}

impl Server {
    pub(crate) async fn start(app: Router, adjust: impl FnOnce(&mut Settings)) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings =
            Settings::new(Hosts::for_address(address.ip(), vec!["bellwether.test".to_owned()]));
        adjust(&mut settings);
        let (stats, stop) = (settings.stats.clone(), CancellationToken::new());
        let task = tokio::spawn(serve(listener, app, settings, stop.clone()));
        Self { address, stats, stop, task }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes on a new connection and returns all that comes back.
    pub(crate) async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        read_all(&mut stream).await
    }

    pub(crate) async fn refused(&self, reason: Reason) {
        until(reason.label(), || self.stats.refused(reason) > 0).await;
    }

    pub(crate) async fn finish(self) -> Stopped {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.expect("the listener ends").unwrap().unwrap()
    }

    pub(crate) async fn http1(&self) -> conn::http1::SendRequest<Full<Bytes>> {
        let (sender, connection) = conn::http1::handshake(TokioIo::new(self.connect().await)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    pub(crate) async fn http2(&self) -> conn::http2::SendRequest<Full<Bytes>> {
        let io = TokioIo::new(self.connect().await);
        let (sender, connection) = conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
    ) -> http::Request<Full<Bytes>> {
        let uri = format!("http://{}{path}", self.address);
        let request =
            http::Request::builder().method(method).uri(uri).header("host", self.address.to_string());
        request.body(Full::new(body.into())).unwrap()
    }
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain for: {what}"));
}

pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the listener closes").unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Reads until what was read contains `end`.
pub(crate) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut byte = [0];
        let count = timeout(PATIENCE, stream.read(&mut byte)).await.expect("an answer").unwrap();
        assert_eq!(count, 1, "the listener closed after {text:?}");
        text.push(char::from(byte[0]));
    }
    text
}

pub(crate) async fn text<B: hyper::body::Body>(response: Response<B>) -> String
where
    B::Error: std::fmt::Debug,
{
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// The answer's last part is a problem document with this code and status.
#[track_caller]
pub(crate) fn assert_problem(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains("\r\ncontent-type: application/problem+json\r\n"), "{answer}");
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let problem: serde_json::Value = serde_json::from_str(body).expect(answer);
    assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()), "{answer}");
    for member in ["type", "title", "detail", "next"] {
        assert!(!problem[member].as_str().expect(member).is_empty(), "{member}: {answer}");
    }
}

/// Something to serve. `gate` holds `/held` back; `entered` tells that it was reached.
pub(crate) fn app() -> Router {
    gated(Arc::default(), Arc::default())
}

pub(crate) fn gated(entered: Arc<Notify>, gate: Arc<Notify>) -> Router {
    let echo = |body: Bytes| async move { body };
    let held = move || async move {
        entered.notify_one();
        gate.notified().await;
        "held"
    };
    let panics = || async { if true { panic!("on purpose") } else { "never" } };
    let endless = || async {
        let chunk = || Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 16 << 10]));
        Body::from_stream(futures_util::stream::repeat_with(chunk))
    };
    let half = || async {
        let panics = |_: &mut Context<'_>| -> Poll<Option<Result<Bytes, Infallible>>> { panic!("halfway") };
        Body::from_stream(futures_util::stream::poll_fn(panics))
    };
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(echo))
        .route("/small", post(echo).layer(BodyRule::at_most(10)))
        .route("/large", post(echo).layer(BodyRule::at_most(4 << 20)))
        .route("/stream", post(echo).layer(BodyRule::stream()))
        .route("/unread", post(|_: Request| async { "unread" }))
        .route("/held", get(held))
        .route("/panics", get(panics))
        .route("/half", get(half))
        .route("/endless", get(endless))
}

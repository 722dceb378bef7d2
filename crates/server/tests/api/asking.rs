//! A server in this process, and a client that asks it over a real socket.

use std::{net::TcpListener, path::Path, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use server::{Server, Settings};

pub(crate) const HELLO: &str = "/bellwether/v1/namespaces/default/services/hello";
pub(crate) const HELLO_1: &str = "/bellwether/v1/namespaces/default/services/hello/instances/hello-1";

pub(crate) async fn start(data: &Path) -> Server {
    start_with(data, |_| {}).await
}

pub(crate) async fn start_with(data: &Path, change: impl FnOnce(&mut Settings)) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut settings = Settings::new(listener, data.to_path_buf());
    change(&mut settings);
    Server::start(settings).await.unwrap()
}

pub(crate) async fn send(
    server: &Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Response<Incoming> {
    let address = server.local_addr();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::copy_from_slice(body.as_ref()));
    sender.send_request(request.body(body).unwrap()).await.unwrap()
}

pub(crate) async fn ask(
    server: &Server,
    method: Method,
    path: &str,
    body: impl AsRef<[u8]>,
) -> (StatusCode, Json) {
    ask_as(server, method, path, &[], body).await
}

pub(crate) async fn ask_as(
    server: &Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> (StatusCode, Json) {
    let response = send(server, method, path, headers, body).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Json::Null))
}

pub(crate) async fn get(server: &Server, path: &str) -> Json {
    let (status, body) = ask(server, Method::GET, path, "").await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// Reads a stream of server-sent events until `wanted` of them came.
pub(crate) async fn events(response: Response<Incoming>, wanted: usize) -> Vec<(String, Json)> {
    let mut body = response.into_body();
    let mut text = String::new();
    let mut seen = Vec::new();
    while seen.len() < wanted {
        let frame = body.frame().await.expect("the stream goes on").unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        while let Some((event, rest)) = text.split_once("\n\n") {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if let (Some(name), Some(data)) = (field("event:"), field("data:")) {
                seen.push((name.to_owned(), serde_json::from_str(data).unwrap()));
            }
            text = rest.to_owned();
        }
    }
    seen
}

/// Waits until a condition holds that another task brings about.
pub(crate) async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("never: {what}"))
}

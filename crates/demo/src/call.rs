//! One HTTP call on a connection of its own.
//!
//! A few calls a second need no pool, and one that does not exist cannot hand out a dead connection.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// Longer than any call of the shop takes; the gateway has given up before.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than any answer of the shop has.
const BODY_BYTES: usize = 1 << 20;

/// A call to be made.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// Where the connection goes.
    pub(crate) to: SocketAddr,
    /// The host that is meant: a service's name, where `to` is the gateway.
    pub(crate) host: &'a str,
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl<'a> Call<'a> {
    /// A GET without anything.
    pub(crate) fn get(to: SocketAddr, host: &'a str, path: &'a str) -> Self {
        Self { to, host, method: Method::GET, path, headers: HeaderMap::new(), body: String::new() }
    }

    /// Makes it.
    pub(crate) async fn make(self) -> io::Result<Response<Bytes>> {
        timeout(PATIENCE, self.exchange()).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn exchange(self) -> io::Result<Response<Bytes>> {
        let mut request = Request::new(Full::new(Bytes::from(self.body)));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.path.parse().map_err(io::Error::other)?;
        *request.headers_mut() = self.headers;
        request.headers_mut().insert(http::header::HOST, self.host.parse().map_err(io::Error::other)?);
        let stream = TcpStream::connect(self.to).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
        let body = Limited::new(body, BODY_BYTES).collect().await.map_err(io::Error::other)?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

/// An answer with a JSON body.
pub(crate) fn answer(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

/// Asks the control plane, and gives its status and its document.
///
/// # Errors
/// It cannot be reached, or does not answer.
pub async fn ask(
    control: SocketAddr,
    method: Method,
    path: &str,
    body: &serde_json::Value,
) -> io::Result<(StatusCode, serde_json::Value)> {
    let host = control.to_string();
    let mut call = Call { method, ..Call::get(control, &host, path) };
    if !body.is_null() {
        call.body = body.to_string();
        call.headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    }
    let answer = call.make().await?;
    Ok((answer.status(), serde_json::from_slice(answer.body()).unwrap_or_default()))
}

//! Asking a control plane: one request, one connection.
//!
//! A command line asks once and ends, so there is no pool; what follows (a watch) keeps its one
//! connection. hyper is in the binary anyway, and its connection API is all that is needed.

use std::{fs, io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use identity::Namespace;
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use wire::native::{
    decode,
    problem::{Code, Problem},
};

use crate::config::{FromSetting, Secret, Settings, Url};

mod file;
mod path;
mod stream;
mod trust;

pub(crate) use path::Path;
pub(crate) use stream::{Message, Stream};
pub(crate) use trust::roots;

/// No answer that a person could want is larger.
const ANSWER_BYTES: usize = 64 << 20;

/// A control plane, and how to ask it.
#[derive(Debug)]
pub(crate) struct Client {
    url: Url,
    token: Option<Secret>,
    tls: Option<Arc<rustls::ClientConfig>>,
    timeout: Duration,
    namespace: Namespace,
}

/// A document as it came, and what this version understands of it.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub(crate) document: Json,
    pub(crate) value: T,
}

impl Client {
    /// The client that the settings describe.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Problem> {
        Self::of(settings.server.clone(), settings)
    }

    /// The same for another address.
    pub(crate) fn of(url: Url, settings: &Settings) -> Result<Self, Problem> {
        let tls = url.tls.then(|| trust::config(settings.tls_ca.as_deref())).transpose()?;
        Ok(Self {
            url,
            token: token(settings)?,
            tls: tls.map(Arc::new),
            timeout: settings.timeout,
            namespace: settings.namespace.clone(),
        })
    }

    /// The address that is asked.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The namespace that is meant.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// `/bellwether/v1/namespaces/{namespace}`, to be continued.
    pub(crate) fn in_namespace(&self) -> Path {
        Path::v1().segment("namespaces").segment(self.namespace.as_str())
    }

    /// Reads a document.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: Path) -> Result<Answer<T>, Problem> {
        let (_, body) = self.send(Method::GET, path, None, None).await?;
        understood(&body)
    }

    /// Reads a list to its end: all pages of it as one document.
    pub(crate) async fn get_all<T: DeserializeOwned>(
        &self,
        path: Path,
        list: &str,
        most: usize,
    ) -> Result<Answer<T>, Problem> {
        let mut whole: Answer<Json> = self.get(path.clone()).await?;
        while let Some(next) = whole.document["next"].as_str().map(str::to_owned) {
            let have = whole.document[list].as_array().map_or(0, Vec::len);
            if have >= most {
                break;
            }
            let mut page: Answer<Json> = self.get(path.clone().query("page", &next)).await?;
            let more = page.document[list].as_array_mut().map(std::mem::take).unwrap_or_default();
            if more.is_empty() {
                break;
            }
            whole.document["next"] = page.document["next"].take();
            if let Some(items) = whole.document[list].as_array_mut() {
                items.extend(more);
            }
        }
        let value = T::deserialize(&whole.document).map_err(|error| foreign(&error))?;
        Ok(Answer { document: whole.document, value })
    }

    /// Changes something.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: Path,
        body: Option<&Json>,
        lease: Option<&str>,
    ) -> Result<(StatusCode, Bytes), Problem> {
        let path = path.to_string();
        let exchange = async {
            let response = self.exchange(method, &path, body, lease, "application/json").await?;
            let (head, body) = response.into_parts();
            Ok((head, self.collect(body).await?))
        };
        let answered = timeout(self.timeout, exchange).await;
        let (head, body) = answered.map_err(|_| self.too_slow())??;
        if head.status.is_success() {
            Ok((head.status, body))
        } else {
            Err(refused(head.status, &body, &path))
        }
    }

    /// Follows a stream of server-sent events.
    pub(crate) async fn stream(&self, path: Path) -> Result<Stream, Problem> {
        self.stream_of(Method::GET, path, None, None).await
    }

    /// Changes something, and follows what comes of it.
    pub(crate) async fn stream_of(
        &self,
        method: Method,
        path: Path,
        body: Option<&Json>,
        lease: Option<&str>,
    ) -> Result<Stream, Problem> {
        let path = path.to_string();
        let response = self.exchange(method, &path, body, lease, "text/event-stream");
        let (head, body) = timeout(self.timeout, response).await.map_err(|_| self.too_slow())??.into_parts();
        if !head.status.is_success() {
            return Err(refused(head.status, &self.collect(body).await?, &path));
        }
        Ok(Stream::new(body, self.url.clone()))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Json>,
        lease: Option<&str>,
        accept: &'static str,
    ) -> Result<Response<Incoming>, Problem> {
        let mut request = self.head(method, path, accept)?;
        if let Some(lease) = lease {
            request = request.header(header::IF_MATCH, format!("\"{lease}\""));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        self.ask(request, Full::new(bytes)).await
    }

    /// The head of every request.
    fn head(&self, method: Method, path: &str, accept: &'static str) -> Result<request::Builder, Problem> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.url.authority())
            .header(header::USER_AGENT, concat!("bellwether/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, accept);
        if let Some(token) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            let mut value = value
                .map_err(|_| Problem::new(Code::InvalidSetting, "the token cannot stand in a header"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Sends one request on a connection of its own.
    async fn ask<B>(&self, request: request::Builder, body: B) -> Result<Response<Incoming>, Problem>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync,
    {
        let request = request.body(Box::pin(body)).map_err(|error| {
            Problem::new(Code::InvalidArgument, format!("the request cannot be made: {error}"))
        })?;

        let stream = TcpStream::connect((self.url.host.as_str(), self.url.port)).await;
        let stream = stream.map_err(|error| self.unreachable(&error))?;
        stream.set_nodelay(true).map_err(|error| self.unreachable(&error))?;
        match &self.tls {
            None => self.over(stream, request).await,
            Some(tls) => {
                let name = ServerName::try_from(self.url.host.clone()).map_err(|_| {
                    Problem::new(
                        Code::CertificateUntrusted,
                        format!("{} is no name that a certificate can have", self.url.host),
                    )
                })?;
                let stream = tokio_rustls::TlsConnector::from(tls.clone()).connect(name, stream).await;
                self.over(stream.map_err(|error| self.untrusted(&error))?, request).await
            }
        }
    }

    async fn over<B>(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<B>,
    ) -> Result<Response<Incoming>, Problem>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: std::error::Error + Send + Sync,
    {
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.broken(&error))?;
        // Ends with the response's body.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|error| self.broken(&error))
    }

    async fn collect(&self, body: Incoming) -> Result<Bytes, Problem> {
        let mut body = body;
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broken(&error))?;
            if let Some(data) = frame.data_ref() {
                if bytes.len() + data.len() > ANSWER_BYTES {
                    let detail = format!("the answer is longer than {ANSWER_BYTES} bytes");
                    return Err(
                        Problem::new(Code::AnswerNotUnderstood, detail).next("ask for less, with --limit")
                    );
                }
                bytes.extend_from_slice(data);
            }
        }
        Ok(bytes.freeze())
    }

    fn unreachable(&self, error: &io::Error) -> Problem {
        let detail = format!("nothing answers at {}: {error}", self.url);
        Problem::new(Code::ServerUnreachable, detail)
            .next("start it with `bellwether up`, or give its address with --server or BELLWETHER_SERVER")
    }

    fn untrusted(&self, error: &io::Error) -> Problem {
        let certificate = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match certificate {
            Some(error) => Problem::new(Code::CertificateUntrusted, format!("{}: {error}", self.url)),
            None => self.unreachable(error),
        }
    }

    fn broken(&self, error: &hyper::Error) -> Problem {
        if error.is_parse() {
            let detail = format!("what answers at {} does not speak HTTP: {error}", self.url);
            return Problem::new(Code::AnswerNotUnderstood, detail)
                .next("check the address; where the server speaks TLS it begins with https://");
        }
        let detail = format!("{} broke off before it had answered: {error}", self.url);
        Problem::new(Code::ServerUnreachable, detail)
            .next("try again; where the server speaks TLS the address begins with https://")
    }

    fn too_slow(&self) -> Problem {
        let waited = identity::duration::format(self.timeout);
        Problem::new(Code::AnswerTimeout, format!("{} did not answer within {waited}", self.url))
    }
}

/// The token to present.
pub(crate) fn token(settings: &Settings) -> Result<Option<Secret>, Problem> {
    let Some(path) = &settings.token_file else { return Ok(settings.token.clone()) };
    let text = fs::read_to_string(path).map_err(|error| {
        Problem::new(Code::FileUnreadable, format!("{} cannot be read: {error}", path.display()))
            .at("token_file")
    })?;
    let read = Secret::from_setting(text.trim());
    let read = read.map_err(|rule| Problem::new(Code::InvalidSetting, format!("{}: {rule}", path.display())));
    read.map(Some).map_err(|problem| problem.at("token_file"))
}

/// A document that this version understands.
pub(crate) fn understood<T: DeserializeOwned>(body: &[u8]) -> Result<Answer<T>, Problem> {
    let document: Json = serde_json::from_slice(body).map_err(|error| foreign(&error))?;
    let value = T::deserialize(&document).map_err(|error| foreign(&error))?;
    Ok(Answer { document, value })
}

fn foreign(error: &serde_json::Error) -> Problem {
    Problem::new(
        Code::AnswerNotUnderstood,
        format!("the answer is not the document that was expected: {error}"),
    )
}

/// The server's own problem where it sent one, else one for its status.
fn refused(status: StatusCode, body: &[u8], path: &str) -> Problem {
    if let Ok(problem) = decode::json::<Problem>(body) {
        return problem;
    }
    // Prometheus' API has documents of its own for errors.
    let document = serde_json::from_slice::<Json>(body).unwrap_or_default();
    if let (Some(_), Some(why)) = (document["errorType"].as_str(), document["error"].as_str()) {
        let is_late = status == StatusCode::SERVICE_UNAVAILABLE;
        return Problem::new(if is_late { Code::AnswerTimeout } else { Code::InvalidArgument }, why);
    }
    let detail = format!("the answer to {path} is {status} without a problem document");
    Problem::new(Code::AnswerNotUnderstood, detail)
}

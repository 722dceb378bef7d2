//! A server with a service, and proxies that say what the test wants them to.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use identity::Wall;
use serde_json::{Value as Json, json};
use server::{Server, Settings, Subscription};
use wire::native::channel::{EndpointRow, Hello, Intake, Report};

pub(crate) const CART: &str = "/bellwether/v1/namespaces/default/services/cart";
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

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

/// The files of a journal as they are, in another folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let names = std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    // The mark before the segments: it must not speak of more than there is.
    names.sort_by(|a, b| b.cmp(a));
    for name in names {
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

/// Waits until a condition holds that another task brings about.
pub(crate) async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// A server with two instances of `cart`.
pub(crate) async fn with_cart(data: &Path) -> Server {
    let server = start(data).await;
    for instance in ["a", "b"] {
        register(&server, instance).await;
    }
    server
}

pub(crate) async fn register(server: &Server, instance: &str) {
    let path = format!("{CART}/instances/{instance}");
    let (status, body) = ask(server, Method::PUT, &path, r#"{"address":"10.0.0.7","port":80}"#).await;
    assert!(status.is_success(), "{body}");
}

pub(crate) async fn send(
    server: &Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response<Incoming> {
    send_to(server.local_addr(), method, path, headers, body).await
}

pub(crate) async fn send_to(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response<Incoming> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    sender.send_request(request.body(body).unwrap()).await.unwrap()
}

/// Asks like the command line does.
pub(crate) async fn ask(server: &Server, method: Method, path: &str, body: &str) -> (StatusCode, Json) {
    json_of(send(server, method, path, &[("user-agent", "bellwether/test")], body).await).await
}

pub(crate) async fn json_of(response: Response<Incoming>) -> (StatusCode, Json) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Json::Null))
}

/// The receipt for `a` after at most `timeout`.
pub(crate) async fn drain(server: &Server, timeout: &str) -> Json {
    let body = json!({ "timeout": timeout, "reason": "new kernel" }).to_string();
    let (status, receipt) = ask(server, Method::POST, &format!("{CART}/instances/a/drain"), &body).await;
    assert_eq!(status, 200, "{receipt}");
    receipt
}

/// A drain of `a` that is waited for, as a stream.
pub(crate) struct Waiting(Incoming, String);

impl Waiting {
    pub(crate) async fn begin(server: &Server, timeout: &str) -> Self {
        let body = json!({ "timeout": timeout }).to_string();
        let headers = [("accept", "text/event-stream"), ("user-agent", "bellwether/test")];
        let response =
            send(server, Method::POST, &format!("{CART}/instances/a/drain"), &headers, &body).await;
        assert_eq!(response.status(), 200);
        Waiting(response.into_body(), String::new())
    }

    pub(crate) async fn next(&mut self) -> Option<(String, Json)> {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let found = field("event:").zip(field("data:"));
                let found = found.map(|(name, data)| (name.to_owned(), serde_json::from_str(data).unwrap()));
                self.1 = rest.to_owned();
                match found {
                    Some(found) => return Some(found),
                    None => continue,
                }
            }
            let frame = tokio::time::timeout(PATIENCE, self.0.frame()).await.unwrap()?.unwrap();
            self.1.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    /// Waits for a picture in which `p` stands like this.
    pub(crate) async fn until(&mut self, state: &str) -> Json {
        self.until_so(state, None).await
    }

    /// The same, with so many calls in flight.
    pub(crate) async fn until_so(&mut self, state: &str, in_flight: Option<u32>) -> Json {
        loop {
            let (name, picture) = self.next().await.expect("the stream goes on");
            assert_eq!(name, "progress", "{picture}");
            assert_eq!(picture["safe"], false, "{picture}");
            let one = &picture["subscribers"][0];
            if one["state"] == state && in_flight.is_none_or(|calls| one["in_flight"] == calls) {
                return picture;
            }
        }
    }

    /// Waits for the receipt, which is the last.
    pub(crate) async fn receipt(mut self) -> Json {
        loop {
            let (name, receipt) = self.next().await.expect("the stream goes on");
            if name == "receipt" {
                assert_eq!(self.next().await, None);
                return receipt;
            }
        }
    }
}

/// A proxy that says what it is told to say.
pub(crate) struct Fake {
    pub(crate) id: &'static str,
    pub(crate) epoch: u64,
    sequence: u64,
    pub(crate) watch: Option<Subscription>,
    pub(crate) revision: u64,
}

impl Fake {
    pub(crate) fn new(id: &'static str, epoch: u64) -> Self {
        Self { id, epoch, sequence: 0, watch: None, revision: 0 }
    }

    /// Connects, and knows what there is.
    pub(crate) async fn connect(server: &Server, id: &'static str, epoch: u64) -> Self {
        let mut fake = Fake::new(id, epoch);
        fake.reconnect(server, None).await;
        fake.follow().await;
        fake
    }

    pub(crate) async fn reconnect(&mut self, server: &Server, since: Option<u64>) {
        let hello = Hello { proxy: self.id.parse().unwrap(), epoch: self.epoch, version: "0".into(), since };
        self.watch = Some(server.channel().watch(hello));
    }

    /// Takes the next table, and acknowledges it.
    pub(crate) async fn follow(&mut self) {
        let watch = self.watch.as_mut().unwrap();
        self.revision = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap().revision;
        watch.ack(self.revision);
    }

    pub(crate) fn say(&mut self, settled: u64, in_flight: u32) -> Report {
        self.sequence += 1;
        Report {
            proxy: self.id.parse().unwrap(),
            epoch: self.epoch,
            sequence: self.sequence,
            at: Wall(1_700_000_000_000_000_000),
            revision: self.revision,
            spans_intake: Intake::default(),
            spans: vec![],
            calls_intake: Intake::default(),
            calls: vec![],
            breakers: vec![],
            transitions: vec![],
            endpoints: vec![EndpointRow {
                namespace: "default".parse().unwrap(),
                service: "cart".parse().unwrap(),
                instance: "a".parse().unwrap(),
                in_flight,
                state: Default::default(),
                ejected: String::new(),
                counts: Default::default(),
            }],
            refused: vec![],
            settled_revision: settled,
            leaving: false,
            services: Vec::new(),
            connections: Default::default(),
        }
    }

    pub(crate) async fn report(&mut self, server: &Server, settled: u64, in_flight: u32) {
        let report = self.say(settled, in_flight);
        server.channel().report(report).await.unwrap();
    }

    pub(crate) async fn leave(&mut self, server: &Server) {
        let report = Report { leaving: true, ..self.say(self.revision, 0) };
        server.channel().report(report).await.unwrap();
    }
}

pub(crate) fn states(receipt: &Json) -> Vec<(&str, &str)> {
    let all = receipt["subscribers"].as_array().unwrap();
    all.iter().map(|one| (one["subscriber"].as_str().unwrap(), one["state"].as_str().unwrap())).collect()
}

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::*;

/// So many pieces of 64 KiB, made when they are asked for, and counted.
struct Pieces {
    left: u64,
    made: Arc<AtomicU64>,
}

const PIECE: usize = 64 * 1024;

impl Body for Pieces {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.made.fetch_add(1, SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; PIECE])))))
    }
}

async fn send<B>(world: &World, request: Request<B>) -> Response<Incoming>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    soon("an answer", sender.send_request(request)).await.unwrap()
}

#[tokio::test]
async fn a_large_body_is_streamed_down_at_the_pace_of_the_client() {
    const PIECES: u64 = 1_600; // 100 MiB
    let world = World::new().await;
    let made = Arc::new(AtomicU64::new(0));
    let count = made.clone();
    let backend = Backend::new(move |_| {
        let body = Pieces { left: PIECES, made: count.clone() };
        async move { Response::new(body.boxed()) }
    })
    .await;
    world.up("cart", &[backend.address]).await;
    let call = Request::get("/").header("host", "cart").body(Full::<Bytes>::default()).unwrap();
    let mut body = send(&world, call).await.into_body();
    // Nothing is read here until the endpoint has stopped making more.
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = made.load(SeqCst);
        if now == before && now > 0 {
            break;
        }
        before = now;
    }
    assert!(before * PIECE as u64 <= 32 << 20, "{before} pieces are under way and nobody reads");
    let mut bytes = 0;
    while let Some(frame) = soon("a frame", body.frame()).await {
        bytes += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(bytes, PIECES as usize * PIECE);
}

#[tokio::test]
async fn a_large_body_is_streamed_up_and_arrives_whole() {
    const PIECES: u64 = 800; // 50 MiB
    let world = World::new().await;
    let backend = Backend::new(|request: Request<Incoming>| async move {
        let mut body = request.into_body();
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.into_data().map_or(0, |data| data.len());
        }
        reply(200, bytes.to_string())
    })
    .await;
    world.up("cart", &[backend.address]).await;
    let body = Pieces { left: PIECES, made: Arc::default() };
    let call = Request::post("/").header("host", "cart").body(body).unwrap();
    let answer = whole(send(&world, call).await).await;
    assert_eq!(answer.body, (PIECES * PIECE as u64).to_string());
}

#[tokio::test]
async fn a_head_is_answered_with_the_length_and_no_body() {
    let world = World::new().await;
    let backend = Backend::new(|request: Request<Incoming>| async move {
        assert_eq!(request.method(), "HEAD");
        let mut answer = reply(200, "");
        answer.headers_mut().insert("content-length", 1234.into());
        answer
    })
    .await;
    world.up("cart", &[backend.address]).await;
    let mut client = Client::new(world.address()).await;
    for _ in 0..2 {
        let answer = client.send(request("HEAD", "cart", "/", "")).await;
        assert_eq!((answer.status, answer.header("content-length")), (200, "1234"));
        assert!(answer.body.is_empty());
    }
}

#[tokio::test]
async fn a_get_keeps_its_body_of_whatever_length() {
    let world = World::new().await;
    let backend = Backend::new(|request: Request<Incoming>| async move {
        reply(200, request.into_body().collect().await.unwrap().to_bytes())
    })
    .await;
    world.up("cart", &[backend.address]).await;
    for framing in
        ["content-length: 4\r\n\r\nbody", "transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"]
    {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let bytes = format!("GET / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n{framing}");
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon("the answer", stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nbody"), "{answer}");
    }
}

#[tokio::test]
async fn trailers_go_both_ways() {
    let world = World::new().await;
    let backend = Backend::new(|request: Request<Incoming>| async move {
        let te = request.headers().get("te").cloned().unwrap();
        assert_eq!(te, "trailers");
        let sent = request.into_body().collect().await.unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-echo", sent.trailers().unwrap()["x-sum"].clone());
        let frames = [Ok(Frame::data(sent.to_bytes())), Ok(Frame::trailers(trailers))];
        let mut answer = Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed());
        answer.headers_mut().insert("trailer", "x-echo".parse().unwrap());
        answer
    })
    .await;
    world.up("cart", &[backend.address]).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    let frames =
        [Ok::<_, hyper::Error>(Frame::data(Bytes::from_static(b"data"))), Ok(Frame::trailers(trailers))];
    let call = Request::post("/")
        .header("host", "cart")
        .header("te", "trailers")
        .header("trailer", "x-sum")
        .body(StreamBody::new(futures_util::stream::iter(frames)))
        .unwrap();
    let answer = whole(send(&world, call).await).await;
    assert_eq!(answer.body, "data");
    assert_eq!(answer.trailers.unwrap()["x-echo"], "42");
}

#[tokio::test]
async fn a_client_that_expects_100_is_told_to_go_on() {
    let world = World::new().await;
    let backend = Backend::new(|request: Request<Incoming>| async move {
        assert!(!request.headers().contains_key("expect"));
        reply(200, request.into_body().collect().await.unwrap().to_bytes())
    })
    .await;
    world.up("cart", &[backend.address]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 4\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut go_on = [0; 25];
    soon("100", stream.read_exact(&mut go_on)).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").await.unwrap();
    let mut answer = String::new();
    soon("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("body"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_for_the_client_too_and_is_an_error() {
    let world = World::new().await;
    for bytes in [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".as_slice(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nrubbish\r\n",
    ] {
        let address = raw(move |mut stream| async move {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(bytes).await;
        })
        .await;
        world.up("cart", &[address]).await;
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = soon("the end", stream.read_to_end(&mut answer)).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 200 OK"), "{text}");
        assert!(!text.ends_with("0\r\n\r\n"), "it must not look complete: {text}");
    }
    world.stores.until("three errors", |stores| stores.calls().values().sum::<u64>() == 3).await;
    assert_eq!(world.stores.calls(), [(("error", "2xx"), 3)].into());
}

#[tokio::test]
async fn half_an_answer_does_not_look_whole_to_a_client_that_knows_only_the_connections_end() {
    let world = World::new().await;
    let address = raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
        let _ = stream.write_all(head).await;
    })
    .await;
    world.up("cart", &[address]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\nhost: cart\r\n\r\n").await.unwrap();
    let end = soon("the end", stream.read_to_end(&mut Vec::new())).await;
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_answer_that_stalls_is_ended_after_the_idle_time() {
    let short = policy(|parts| parts.timeouts.idle = Duration::from_millis(50));
    let world = World::with(|settings| settings.policy = short).await;
    let address = raw(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        std::future::pending::<()>().await;
    })
    .await;
    world.up("cart", &[address]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
    let _ = soon("the end", stream.read_to_end(&mut Vec::new())).await;
    world.stores.until("a time-out", |stores| stores.calls().contains_key(&("timeout", "2xx"))).await;
}

#[tokio::test]
async fn a_client_that_goes_away_is_cancelled_and_the_endpoint_notices() {
    let world = World::new().await;
    let (ended, mut wait) = tokio::sync::watch::channel(false);
    let address = raw(move |mut stream| {
        let ended = ended.clone();
        async move {
            let mut buffer = [0; 1024];
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
            ended.send_replace(true);
        }
    })
    .await;
    world.up("cart", &[address]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
    world
        .stores
        .until("the call under way", |stores| {
            stores.reports().iter().any(|report| report.endpoints.iter().any(|row| row.in_flight == 1))
        })
        .await;
    drop(stream);
    soon("the end of the upstream connection", wait.wait_for(|ended| *ended)).await.unwrap();
    world.stores.until("the call", |stores| !stores.calls().is_empty()).await;
    assert_eq!(world.stores.calls(), [(("cancelled", "none"), 1)].into());
    let breakers: Vec<_> = world.stores.reports().into_iter().flat_map(|report| report.breakers).collect();
    assert!(breakers.iter().all(|row| row.counts.failures == 0), "{breakers:?}");
}

#[tokio::test]
async fn a_client_whose_body_breaks_off_is_not_the_services_failure() {
    let world = World::new().await;
    let backend = Backend::new(|request: Request<Incoming>| async move {
        let _ = request.into_body().collect().await;
        reply(200, "")
    })
    .await;
    world.up("cart", &[backend.address]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: chunked\r\n\r\nrubbish")
        .await
        .unwrap();
    let _ = soon("the end", stream.read_to_end(&mut Vec::new())).await;
    world.stores.until("the call", |stores| !stores.calls().is_empty()).await;
    let outcomes: Vec<_> = world.stores.calls().into_keys().map(|(outcome, _)| outcome).collect();
    assert_eq!(outcomes, ["cancelled"]);
}

#[tokio::test]
async fn an_upload_that_is_too_slow_for_the_call_is_the_clients_fault() {
    let world = World::with(|settings| {
        settings.policy = policy(|parts| parts.timeouts.call = Duration::from_millis(400))
    })
    .await;
    let backend = Backend::new(|request: Request<hyper::body::Incoming>| async move {
        let _ = request.into_body().collect().await;
        reply(200, "")
    })
    .await;
    world.up("cart", &[backend.address]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 1000\r\n\r\n").await.unwrap();
    let (mut read, mut write) = stream.split();
    let drip = async {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = Vec::new();
    tokio::select! {
        () = drip => {}
        end = soon("an answer", read.read_to_end(&mut answer)) => drop(end),
    }
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", answer.escape_ascii());
    world
        .stores
        .until("the breaker", |stores| {
            stores.last().is_some_and(|last| !last.breakers.is_empty() || !last.calls.is_empty())
        })
        .await;
    let counted = world
        .stores
        .reports()
        .iter()
        .flat_map(|report| report.breakers.clone())
        .map(|row| row.counts.failures)
        .max();
    assert_eq!(counted.unwrap_or(0), 0, "it says nothing about the service");
}

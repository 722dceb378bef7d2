//! Endpoints that misbehave on purpose, and what becomes of calls and of them.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use resilience::State;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

use crate::world::*;

/// What an endpoint does instead of answering.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It takes connections and resets them.
    Resets,
    /// It never answers.
    Hangs,
    /// It says these bytes and closes.
    Says(&'static str),
    /// It says these bytes and nothing more.
    StallsAfter(&'static str),
}

const FAULTS: [Fault; 9] = [
    Fault::Resets,
    Fault::Hangs,
    Fault::Says(""),
    Fault::Says("SSH-2.0-OpenSSH_9.2\r\n"),
    Fault::Says("HTTP/1.1 200 OK\r\ncontent-le"),
    Fault::Says("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"),
    Fault::Says("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd"),
    Fault::Says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"),
    Fault::StallsAfter("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"),
];

impl Fault {
    async fn endpoint(self) -> SocketAddr {
        raw(move |mut stream: TcpStream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let (words, goes_on) = match self {
                Self::Resets => {
                    let _ = stream.set_zero_linger();
                    return;
                }
                Self::Hangs => ("", true),
                Self::Says(words) => (words, false),
                Self::StallsAfter(words) => (words, true),
            };
            let _ = stream.write_all(words.as_bytes()).await;
            if goes_on {
                let _ = stream.read(&mut [0; 1]).await;
            }
        })
        .await
    }
}

/// A call's status and whole body; `None` where the answer broke off.
async fn call(address: SocketAddr) -> Option<(u16, Bytes)> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = soon("an answer", sender.send_request(request("GET", "cart", "/", ""))).await.ok()?;
    let status = answer.status().as_u16();
    let body = soon("the body or its end", answer.collect()).await.ok()?.to_bytes();
    Some((status, body))
}

#[tokio::test]
async fn whatever_an_endpoint_does_it_is_taken_out_and_no_wrong_answer_gets_through() {
    for fault in FAULTS {
        let policy = policy(|parts| {
            parts.timeouts.attempt = Some(Duration::from_millis(300));
            parts.timeouts.idle = Duration::from_millis(300);
        });
        let world = World::with(|settings| settings.policy = policy).await;
        let good = [Backend::named("whole").await, Backend::named("whole").await];
        world.up("cart", &[good[0].address, good[1].address, fault.endpoint().await]).await;
        let (mut failed, mut is_out) = (0, false);
        let until_out = async {
            while !is_out {
                match call(world.address()).await {
                    Some((200, body)) => assert_eq!(body, "whole", "{fault:?}"),
                    Some((status, _)) => {
                        assert!(matches!(status, 502 | 504), "{fault:?}: {status}");
                        failed += 1;
                    }
                    None => failed += 1,
                }
                let turns = world.stores.transitions();
                is_out = turns.iter().any(|turn| turn.instance.is_some() && turn.to == State::Open);
            }
        };
        soon("the ejection", until_out).await;
        assert!(failed >= 6, "{fault:?}: out after {failed} failures");
        let ejected: Vec<_> =
            world.stores.transitions().iter().filter_map(|turn| turn.instance.clone()).collect();
        assert_eq!(ejected.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["cart-2"], "{fault:?}");
        for _ in 0..20 {
            assert_eq!(call(world.address()).await.map(|(status, _)| status), Some(200), "{fault:?}");
        }
    }
}

#[tokio::test]
async fn what_came_of_an_answer_that_breaks_off_reaches_the_client() {
    let half = raw(|mut stream: TcpStream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it").await;
    })
    .await;
    let world = World::new().await;
    let patient = policy(|parts| (parts.circuit_breaker, parts.outlier_detection) = (None, None));
    world.registry.write_policy("cart", Some(patient));
    world.up("cart", &[half]).await;
    for call in 0..30 {
        let mut client = TcpStream::connect(world.address()).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        // Its end is the connection's, however that comes.
        let _ = soon("the end of the connection", client.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("half of it"), "{call}: {answer:?}");
    }
}

#[tokio::test]
async fn an_answer_before_the_request_is_complete_is_passed_on_and_is_no_failure() {
    let early = raw(|mut stream: TcpStream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
        let words =
            "HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 9\r\n\r\ntoo large";
        let _ = stream.write_all(words.as_bytes()).await;
        // It reads on for a while, as servers do that want to be heard.
        let mut sink = vec![0; 64 * 1024];
        while stream.read(&mut sink).await.is_ok_and(|count| count > 0) {}
    })
    .await;
    let world = World::new().await;
    world.up("cart", &[early, early, early]).await;
    for _ in 0..10 {
        let stream = TcpStream::connect(world.address()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let upload =
            Request::post("/").header("host", "cart").body(Full::<Bytes>::from(vec![7; 1 << 20])).unwrap();
        let answer = whole(soon("an answer", sender.send_request(upload)).await.unwrap()).await;
        assert_eq!((answer.status, &answer.body[..]), (413, &b"too large"[..]));
    }
    world.stores.until("the calls", |stores| stores.calls().values().sum::<u64>() == 10).await;
    assert!(world.stores.transitions().is_empty());
}

/// An endpoint that can die: its port refuses and its connections break.
async fn mortal() -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let life = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|_| async { Ok::<_, hyper::Error>(reply(200, "alive")) });
            let serving = hyper::server::conn::http1::Builder::new();
            connections.spawn(serving.serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, life)
}

#[tokio::test]
async fn an_instance_that_dies_under_load_is_soon_out_and_callers_do_not_notice() {
    const PER_TICK: usize = 4;
    let world = World::new().await;
    let mut endpoints = [mortal().await, mortal().await, mortal().await];
    world.up("cart", &endpoints.each_ref().map(|(address, _)| *address)).await;
    // 200 calls a second.
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let (mut calls, mut died) = (JoinSet::new(), None::<Instant>);
    let out = loop {
        let now = tick.tick().await;
        for _ in 0..PER_TICK {
            let address = world.address();
            calls.spawn(async move { call(address).await.map(|(status, _)| status) });
        }
        if died.is_none() && calls.len() == 50 * PER_TICK {
            // What is under way there at this moment breaks off with it.
            while calls.join_next().await.is_some() {}
            endpoints[1].1.abort();
            let _ = (&mut endpoints[1].1).await;
            died = Some(now);
        }
        let turns = world.stores.transitions();
        if turns.iter().any(|turn| turn.to == State::Open) {
            break turns;
        }
        assert!(died.is_none_or(|died| died.elapsed() < SOON), "it is still in");
    };
    let took = died.unwrap().elapsed();
    println!("out {took:?} after its death, at 200 calls a second");
    assert_eq!(
        out.iter().map(|turn| turn.instance.as_ref().unwrap().as_str()).collect::<Vec<_>>(),
        ["cart-1"]
    );
    while let Some(status) = calls.join_next().await {
        assert_eq!(status.unwrap(), Some(200), "a refused connection is tried elsewhere");
    }
}

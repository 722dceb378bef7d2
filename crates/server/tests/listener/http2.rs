//! HTTP/2 on the same port, and its own limits.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use server::listener::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{SHORT, Server, app, text, until};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[tokio::test]
async fn http1_and_http2_share_a_port() {
    let server = Server::start(app(), |_| {}).await;
    let (mut one, mut two) = (server.http1().await, server.http2().await);
    for _ in 0..3 {
        let response = one.send_request(server.request("GET", "/", "")).await.unwrap();
        assert_eq!((response.version(), &*text(response).await), (http::Version::HTTP_11, "hello"));
        let response = two.send_request(server.request("POST", "/echo", "ping")).await.unwrap();
        assert_eq!((response.version(), &*text(response).await), (http::Version::HTTP_2, "ping"));
    }
    assert_eq!(server.stats.accepted(), 2);
}

#[tokio::test]
async fn a_preface_may_come_byte_by_byte() {
    let server = Server::start(app(), |_| {}).await;
    let mut stream = server.connect().await;
    stream.set_nodelay(true).unwrap();
    for byte in PREFACE {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.write_all(EMPTY_SETTINGS).await.unwrap();
    let mut header = [0; 9];
    stream.read_exact(&mut header).await.unwrap();
    assert_eq!(header[3], 4, "the server's own SETTINGS come first");
}

#[tokio::test]
async fn the_limits_of_a_request_hold_on_http2() {
    let server = Server::start(app(), |settings| {
        settings.limits.max_body_bytes = 100;
        settings.limits.max_uri_bytes = 100;
        settings.limits.max_header_bytes = 8 << 10;
    })
    .await;
    let mut client = server.http2().await;
    let mut status = async |request| client.send_request(request).await.unwrap().status().as_u16();
    assert_eq!(status(server.request("POST", "/echo", vec![b'x'; 101])).await, 413);
    assert_eq!(status(server.request("GET", &format!("/{}", "x".repeat(100)), "")).await, 414);
    let mut request = server.request("GET", "/", "");
    request.headers_mut().insert("x", "x".repeat(9 << 10).parse().unwrap());
    assert_eq!(status(request).await, 431);
    let mut request = server.request("GET", "/", "");
    *request.uri_mut() = "http://evil.test/".parse().unwrap();
    request.headers_mut().remove("host");
    assert_eq!(status(request).await, 421);
    assert_eq!(status(server.request("GET", "/", "")).await, 200, "and the connection goes on");
}

#[tokio::test]
async fn no_more_requests_run_at_the_same_time_than_streams_are_allowed() {
    let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, most) = (running.clone(), peak.clone());
    let handler = move || async move {
        most.fetch_max(counted.fetch_add(1, SeqCst) + 1, SeqCst);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        counted.fetch_sub(1, SeqCst);
    };
    let app = axum::Router::new().route("/", axum::routing::get(handler));
    let server = Server::start(app, |settings| settings.limits.h2_max_streams = 3).await;
    let mut client = server.http2().await;
    // The client knows the limit once it has an answer.
    client.send_request(server.request("GET", "/", "")).await.unwrap();
    let requests = (0..30).map(|_| client.send_request(server.request("GET", "/", "")));
    for response in futures_util::future::join_all(requests.collect::<Vec<_>>()).await {
        assert_eq!(response.unwrap().status(), 200);
    }
    assert_eq!((peak.load(SeqCst), running.load(SeqCst)), (3, 0));
}

#[tokio::test]
async fn a_connection_without_requests_is_told_to_go() {
    let server = Server::start(app(), |settings| settings.limits.idle = SHORT).await;
    let mut client = server.http2().await;
    // Where the machine is slow, even this one comes too late.
    let _ = client.send_request(server.request("GET", "/", "")).await;
    until("it is closed", || client.is_closed()).await;
    assert_eq!(server.stats.refused(Reason::Idle), 1);
    assert_eq!(server.stats.refused(Reason::Http2), 0);
    until("it is counted out", || server.stats.active() == 0).await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_dropped() {
    let server = Server::start(app(), |settings| {
        settings.limits.h2_ping_interval = SHORT;
        settings.limits.h2_ping_timeout = SHORT;
    })
    .await;
    let mut stream = server.connect().await;
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(EMPTY_SETTINGS).await.unwrap();
    server.refused(Reason::Http2).await;
    until("it is gone", || server.stats.active() == 0).await;
}

/// A request's head from HPACK's static table alone.
fn head(stream: u32, fields: &[u8]) -> Vec<u8> {
    let length = u8::try_from(fields.len()).unwrap();
    [&[0, 0, length, 1, 5][..], &stream.to_be_bytes(), fields].concat()
}

/// `:method GET`, `:scheme http`, `:path /`.
const GET: &[u8] = &[0x82, 0x86, 0x84];

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let server = Server::start(app(), |settings| settings.limits.h2_max_resets = 5).await;
    let mut stream = server.connect().await;
    let mut flood = [PREFACE, EMPTY_SETTINGS].concat();
    // Fewer than the protocol's library would end it for by itself.
    for stream in (1_u32..30).step_by(2) {
        let reset = [&[0, 0, 4, 3, 0][..], &stream.to_be_bytes(), &8_u32.to_be_bytes()].concat();
        flood.extend([head(stream, GET), reset].concat());
    }
    stream.write_all(&flood).await.unwrap();
    server.refused(Reason::Http2).await;
    until("it is gone", || server.stats.active() == 0).await;
}

#[tokio::test]
async fn errors_of_the_client_end_the_connection_when_they_are_too_many() {
    let server = Server::start(app(), |settings| settings.limits.h2_max_errors = 5).await;
    let mut stream = server.connect().await;
    let mut flood = [PREFACE, EMPTY_SETTINGS].concat();
    // A method and nothing else is no request.
    flood.extend((1_u32..30).step_by(2).flat_map(|stream| head(stream, &GET[..1])));
    stream.write_all(&flood).await.unwrap();
    server.refused(Reason::Http2).await;
    until("it is gone", || server.stats.active() == 0).await;
}

#[tokio::test]
async fn a_client_that_vanishes_has_broken_no_rule() {
    let server = Server::start(app(), |_| {}).await;
    for linger in [None, Some(std::time::Duration::ZERO)] {
        let mut stream = server.connect().await;
        let endless = [&[0x82, 0x86, 0x04, 8][..], b"/endless", &[0x41, 9], b"localhost"].concat();
        stream.write_all(&[PREFACE, EMPTY_SETTINGS, &head(1, &endless)].concat()).await.unwrap();
        stream.read_exact(&mut [0; 20_000]).await.unwrap();
        // With a reset, or with an end in the middle of a response.
        socket2::SockRef::from(&stream).set_linger(linger).unwrap();
        drop(stream);
        until("it is gone", || server.stats.active() == 0).await;
    }
    assert_eq!((server.stats.requests(), server.stats.refused(Reason::Http2)), (2, 0));
}

/// Reads a frame: its kind, its flags, its stream.
async fn frame(stream: &mut tokio::net::TcpStream) -> (u8, u8, u32) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
    (head[3], head[4], u32::from_be_bytes(head[5..].try_into().unwrap()))
}

#[tokio::test]
async fn a_refusal_that_comes_before_the_body_does_not_reset_the_stream() {
    const RST_STREAM: u8 = 3;
    const PING: u8 = 6;
    let server =
        Server::start(app(), |settings| settings.limits.linger = std::time::Duration::from_secs(60)).await;
    // `POST` to a path that is not there, and to a host that is not ours; the body comes later.
    let nowhere = [&[0x83, 0x86, 0x04, 5][..], b"/none", &[0x41, 9], b"localhost"].concat();
    let misled = [&[0x83, 0x86, 0x84][..], &[0x41, 9], b"evil.test"].concat();
    for fields in [nowhere, misled] {
        let mut stream = server.connect().await;
        let mut request = head(1, &fields);
        request[4] = 4;
        stream.write_all(&[PREFACE, EMPTY_SETTINGS, &request].concat()).await.unwrap();
        while !matches!(frame(&mut stream).await, (0 | 1, flags, 1) if flags & 1 == 1) {}
        let body = [&[0, 0, 4, 0, 1, 0, 0, 0, 1][..], b"body"].concat();
        let ping = [&[0, 0, 8, PING, 0, 0, 0, 0, 0][..], &[7; 8]].concat();
        stream.write_all(&[body, ping].concat()).await.unwrap();
        loop {
            match frame(&mut stream).await {
                (RST_STREAM, ..) => panic!("the stream was reset"),
                (PING, 1, _) => break,
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn the_limits_are_announced() {
    let server = Server::start(app(), |settings| {
        settings.limits.h2_max_streams = 7;
        settings.limits.h2_stream_window = 70_000;
        settings.limits.h2_max_frame = 17_000;
        settings.limits.max_header_bytes = 9_000;
    })
    .await;
    let mut stream = server.connect().await;
    stream.write_all(&[PREFACE, EMPTY_SETTINGS].concat()).await.unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    let mut settings = vec![0; usize::from(frame[2])];
    stream.read_exact(&mut settings).await.unwrap();
    let setting = |id: u16| {
        let found = settings.chunks(6).find(|setting| setting[..2] == id.to_be_bytes());
        found.map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()))
    };
    assert_eq!([3, 4, 5, 6].map(setting), [7, 70_000, 17_000, 9_000].map(Some));
}

#[tokio::test]
async fn what_breaks_the_rules_of_http2_ends_the_connection() {
    let server = Server::start(app(), |_| {}).await;
    let mut stream = server.connect().await;
    // A frame of 16 MB, where 16 KiB are allowed.
    let frame = [0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1];
    stream.write_all(&[PREFACE, EMPTY_SETTINGS, &frame].concat()).await.unwrap();
    server.refused(Reason::Http2).await;
}

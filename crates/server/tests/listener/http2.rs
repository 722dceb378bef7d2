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
    client.send_request(server.request("GET", "/", "")).await.unwrap();
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

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let server = Server::start(app(), |settings| settings.limits.h2_max_resets = 5).await;
    let mut stream = server.connect().await;
    let mut flood = [PREFACE, EMPTY_SETTINGS].concat();
    for stream in (1_u32..400).step_by(2) {
        // :method GET, :scheme http, :path /, all from the static table, then RST_STREAM (CANCEL).
        flood.extend_from_slice(&[0, 0, 3, 1, 5]);
        flood.extend_from_slice(&stream.to_be_bytes());
        flood.extend_from_slice(&[0x82, 0x86, 0x84, 0, 0, 4, 3, 0]);
        flood.extend_from_slice(&stream.to_be_bytes());
        flood.extend_from_slice(&8_u32.to_be_bytes());
    }
    let _ = stream.write_all(&flood).await;
    server.refused(Reason::Http2).await;
    until("it is gone", || server.stats.active() == 0).await;
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

//! Requests' bodies: how large, how slow, how broken.

use server::listener::Reason;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::harness::{PATIENCE, SHORT, Server, app, assert_problem, read_all, read_until};

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n{body}")
}

fn sized(path: &str, bytes: usize) -> String {
    post(path, &format!("content-length: {bytes}\r\n"), &"x".repeat(bytes))
}

fn chunked(path: &str, bytes: usize) -> String {
    post(path, "transfer-encoding: chunked\r\n", &format!("{bytes:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(bytes)))
}

#[tokio::test]
async fn a_body_beyond_its_routes_limit_gets_413() {
    let server = Server::start(app(), |settings| settings.limits.max_body_bytes = 100).await;
    for (path, limit) in [("/echo", 100), ("/small", 10), ("/large", 4 << 20)] {
        for build in [sized, chunked] {
            let before = server.stats.refused(Reason::BodyTooLarge);
            let answer = server.exchange(build(path, limit)).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {:.200}", answer);
            let answer = server.exchange(build(path, limit + 1)).await;
            assert_problem(&answer, 413, "BW-1012");
            assert!(answer.contains(&identity::size::format(limit as u64)), "{answer}");
            assert_eq!(server.stats.refused(Reason::BodyTooLarge), before + 1, "{path}");
        }
    }
    let answer = server.exchange(sized("/stream", 10_000)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "a stream has no size");
}

#[tokio::test]
async fn the_refusal_reaches_a_client_that_is_still_sending() {
    let server = Server::start(app(), |_| {}).await;
    for _ in 0..20 {
        assert_problem(&server.exchange(sized("/small", 800 << 10)).await, 413, "BW-1012");
    }
}

#[tokio::test]
async fn who_asks_before_sending_too_much_need_not_send_it() {
    let server = Server::start(app(), |_| {}).await;
    let head = post("/small", "content-length: 1000000\r\nexpect: 100-continue\r\n", "");
    assert_problem(&server.exchange(head).await, 413, "BW-1012");
    let mut stream = server.connect().await;
    let head = post("/small", "content-length: 2\r\nexpect: 100-continue\r\n", "");
    stream.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
    stream.write_all(b"ok").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("ok"));
}

#[tokio::test]
async fn a_body_that_trickles_gets_408_however_often_bytes_come() {
    let server = Server::start(app(), |settings| settings.limits.body_grace = SHORT).await;
    let (mut read, mut write) = server.connect().await.into_split();
    let trickle = tokio::spawn(async move {
        let _ = write.write_all(post("/echo", "content-length: 100000\r\n", "").as_bytes()).await;
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    });
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, read.read_to_end(&mut answer)).await.expect("an end");
    assert_problem(&String::from_utf8(answer).unwrap(), 408, "BW-1013");
    assert_eq!(server.stats.refused(Reason::BodyTimeout), 1);
    trickle.await.unwrap();
}

#[tokio::test]
async fn a_stream_may_be_silent_for_as_long_as_it_likes() {
    let server = Server::start(app(), |settings| settings.limits.body_grace = SHORT).await;
    let head = |path| post(path, "content-length: 2\r\n", "");
    let mut stream = server.connect().await;
    stream.write_all(head("/stream").as_bytes()).await.unwrap();
    // Its silence began before that of this one, which is over.
    assert_problem(&server.exchange(head("/echo")).await, 408, "BW-1013");
    stream.write_all(b"ok").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("ok"));
}

#[tokio::test]
async fn a_body_that_ends_too_early_or_is_badly_framed_gets_400() {
    let server = Server::start(app(), |_| {}).await;
    let truncated = post("/echo", "content-length: 10\r\n", "short");
    let bad_chunk = post("/echo", "transfer-encoding: chunked\r\n", "zz\r\nshort\r\n0\r\n\r\n");
    for (count, request) in [truncated, bad_chunk].iter().enumerate() {
        let mut stream = server.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_problem(&read_all(&mut stream).await, 400, "BW-1001");
        assert_eq!(server.stats.refused(Reason::BodyMalformed), count as u64 + 1);
    }
}

#[tokio::test]
async fn a_body_that_no_one_reads_does_not_hold_the_connection() {
    let server = Server::start(app(), |_| {}).await;
    let answer = server.exchange(sized("/unread", 700 << 10)).await;
    assert!(answer.ends_with("unread"), "{answer}");
}

//! HTTP/1 up to the end of a request's head.

use server::listener::Reason;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::harness::{PATIENCE, SHORT, Server, app, assert_problem, read_all, read_until, until};

const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const LAST: &str = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let server = Server::start(app(), |_| {}).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(GET.as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "hello").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
    }
    assert_eq!((server.stats.accepted(), server.stats.active(), server.stats.requests()), (1, 1, 3));
    drop(stream);
    until("the connection is counted out", || server.stats.active() == 0).await;
    server.finish().await;
}

#[tokio::test]
async fn what_is_not_http_gets_a_problem_document() {
    let server = Server::start(app(), |_| {}).await;
    let heads = [
        "hello\r\n\r\n",
        "GET / HTTP/9.9\r\nhost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nhost localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: localhost\r\nbad header: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03",
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        "GET /",
    ];
    for (count, head) in heads.iter().enumerate() {
        let mut stream = server.connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_all(&mut stream).await;
        assert_problem(&answer, 400, "BW-1001");
        assert_eq!(server.stats.refused(Reason::Malformed), count as u64 + 1, "{head:?}");
    }
    assert_eq!(server.stats.requests(), 0, "none of them reached the application");
}

#[tokio::test]
async fn a_request_that_answered_before_does_not_hide_the_problem_of_the_next() {
    let server = Server::start(app(), |_| {}).await;
    let mut stream = server.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut stream, "hello").await;
    stream.write_all(b"nonsense\r\n\r\n").await.unwrap();
    assert_problem(&read_all(&mut stream).await, 400, "BW-1001");
}

#[tokio::test]
async fn a_head_that_is_too_large_gets_431() {
    let server = Server::start(app(), |settings| settings.limits.max_header_bytes = 8 << 10).await;
    for bytes in [8 << 10, 20 << 10, 500 << 10] {
        let before = server.stats.refused(Reason::HeadTooLarge);
        let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(bytes));
        assert_problem(&server.exchange(head).await, 431, "BW-1010");
        assert_eq!(server.stats.refused(Reason::HeadTooLarge), before + 1, "{bytes}");
    }
}

#[tokio::test]
async fn too_many_headers_get_431() {
    let server = Server::start(app(), |settings| settings.limits.max_headers = 10).await;
    let head = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(11));
    assert_problem(&server.exchange(head).await, 431, "BW-1010");
    assert_eq!(server.stats.refused(Reason::HeadTooLarge), 1);
    assert!(server.exchange(LAST).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_path_that_is_too_long_gets_414() {
    let server = Server::start(app(), |settings| settings.limits.max_uri_bytes = 100).await;
    for bytes in [101, 30 << 10, 60 << 10, 500 << 10] {
        let before = server.stats.refused(Reason::UriTooLong);
        let head =
            format!("GET /{} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", "x".repeat(bytes));
        assert_problem(&server.exchange(head).await, 414, "BW-1011");
        assert_eq!(server.stats.refused(Reason::UriTooLong), before + 1, "{bytes}");
    }
    assert!(server.exchange(LAST).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_says_nothing_is_sent_away() {
    let server = Server::start(app(), |settings| settings.limits.first_bytes = SHORT).await;
    assert_problem(&server.exchange("").await, 408, "BW-1013");
    assert_problem(&server.exchange("PRI * HT").await, 408, "BW-1013");
    assert_eq!(server.stats.refused(Reason::FirstBytes), 2);
}

#[tokio::test]
async fn a_head_that_trickles_is_ended_however_often_bytes_come() {
    let server = Server::start(app(), |settings| settings.limits.head = SHORT).await;
    let (mut read, mut write) = server.connect().await.into_split();
    let trickle = tokio::spawn(async move {
        let _ = write.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ").await;
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    });
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end: the client never stopped sending.
    let _ = timeout(PATIENCE, read.read_to_end(&mut answer)).await.expect("an end");
    assert_problem(&String::from_utf8(answer).unwrap(), 408, "BW-1013");
    assert_eq!(server.stats.refused(Reason::HeadTimeout), 1);
    trickle.await.unwrap();
}

#[tokio::test]
async fn a_head_that_begins_after_a_response_has_no_more_time_than_the_first() {
    let server = Server::start(app(), |settings| settings.limits.head = SHORT).await;
    let mut stream = server.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut stream, "hello").await;
    stream.write_all(b"GET / HT").await.unwrap();
    assert_problem(&read_all(&mut stream).await, 408, "BW-1013");
    assert_eq!(server.stats.refused(Reason::HeadTimeout), 1);
}

#[tokio::test]
async fn a_connection_that_waits_for_its_next_request_is_kept_longer_than_a_head_may_take() {
    let server = Server::start(app(), |settings| settings.limits.head = SHORT).await;
    let mut waiting = server.connect().await;
    waiting.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut waiting, "hello").await;
    // Its wait began before that of this one, which is over.
    assert_problem(&server.exchange("GET / HT").await, 408, "BW-1013");
    waiting.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut waiting, "hello").await;
    assert_eq!(server.stats.refused(Reason::Idle), 0);
}

#[tokio::test]
async fn a_connection_without_requests_is_closed() {
    let server = Server::start(app(), |settings| settings.limits.idle = SHORT).await;
    let mut stream = server.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut stream, "hello").await;
    assert_eq!(read_all(&mut stream).await, "", "nothing is said, since nothing was asked");
    assert_eq!(server.stats.refused(Reason::Idle), 1);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so_and_room_is_given_back() {
    let server = Server::start(app(), |settings| settings.limits.max_connections = 1).await;
    let mut first = server.connect().await;
    first.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut first, "hello").await;

    let answer = read_all(&mut server.connect().await).await;
    assert_problem(&answer, 503, "BW-1014");
    assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert_eq!(server.stats.refused(Reason::Connections), 1);
    assert_eq!((server.stats.accepted(), server.stats.active()), (2, 1));

    drop(first);
    until("the first is gone", || server.stats.active() == 0).await;
    assert!(server.exchange(LAST).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_does_not_take_its_response_is_dropped() {
    let server = Server::start(app(), |settings| settings.limits.write_stall = SHORT).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    server.refused(Reason::WriteStall).await;
    until("the connection is gone", || server.stats.active() == 0).await;
}

#[tokio::test]
async fn a_host_that_is_not_ours_is_refused_on_loopback() {
    let server = Server::start(app(), |_| {}).await;
    let with_host = |host: &str| format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    let answer = server.exchange(with_host("evil.test")).await;
    assert_problem(&answer, 421, "BW-1016");
    assert!(answer.contains("evil.test"), "{answer}");
    assert_eq!(server.stats.refused(Reason::Host), 1);
    for host in ["localhost", "[::1]", "bellwether.test:80", &server.address.to_string()] {
        assert!(server.exchange(with_host(host)).await.starts_with("HTTP/1.1 200"), "{host}");
    }
    // The target's own host counts more than the header's.
    let absolute = "GET http://evil.test/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_problem(&server.exchange(absolute).await, 421, "BW-1016");
    let none = "GET / HTTP/1.1\r\nconnection: close\r\n\r\n";
    assert_problem(&server.exchange(none).await, 400, "BW-1001");
}

#[tokio::test]
async fn a_browsers_change_from_another_origin_is_refused() {
    let server = Server::start(app(), |_| {}).await;
    let post = |headers: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nhost: localhost:1\r\n{headers}connection: close\r\ncontent-length: 2\r\n\r\nok"
        )
    };
    for headers in ["origin: http://evil.test\r\n", "origin: null\r\n", "sec-fetch-site: cross-site\r\n"] {
        assert_problem(&server.exchange(post(headers)).await, 403, "BW-1017");
    }
    assert_eq!(server.stats.refused(Reason::Origin), 3);
    for headers in ["", "origin: http://localhost:1\r\nsec-fetch-site: same-origin\r\n"] {
        assert!(server.exchange(post(headers)).await.ends_with("ok"), "{headers}");
    }
}

#[tokio::test]
async fn a_refusal_speaks_grpc_to_grpc() {
    let server = Server::start(app(), |_| {}).await;
    let head = "POST /x.Y/Z HTTP/1.1\r\nhost: evil.test\r\ncontent-type: application/grpc\r\nconnection: close\r\n\r\n";
    let answer = server.exchange(head).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\r\ngrpc-status: 7\r\n") && answer.contains("BW-1016"), "{answer}");
}

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::*;

/// What the proxy says to these bytes, until it closes the connection.
async fn answer(world: &World, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon("the end of the connection", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A world with an endpoint that repeats the head and body it got, byte by byte.
async fn echoing() -> World {
    let world = World::new().await;
    let address = raw(|mut stream| async move {
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        // A request of these tests ends with an empty line or an empty chunk, or with its four bytes.
        while !got.ends_with(b"\r\n\r\n") && !got.ends_with(b"body") {
            match stream.read(&mut buffer).await {
                Ok(read) if read > 0 => got.extend_from_slice(&buffer[..read]),
                _ => break,
            }
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", got.len());
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&got).await;
    })
    .await;
    world.up("cart", &[address]).await;
    world
}

#[tokio::test]
async fn of_length_and_chunked_only_one_travels_on() {
    let world = echoing().await;
    for framing in
        ["content-length: 3\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 3"]
    {
        let bytes = format!(
            "POST / HTTP/1.1\r\nhost: cart\r\n{framing}\r\nconnection: close\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
        );
        let answer = answer(&world, bytes.as_bytes()).await.to_lowercase();
        if answer.starts_with("http/1.1 200") {
            let (_, echo) = answer.split_once("\r\n\r\n").unwrap();
            assert!(!echo.contains("content-length") && echo.contains("4\r\nbody\r\n0\r\n"), "{echo}");
        } else {
            assert!(answer.starts_with("http/1.1 400"), "{answer}");
        }
    }
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused() {
    let world = echoing().await;
    for (bytes, status) in [
        ("POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nbody", "400"),
        ("POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: +4\r\n\r\nbody", "400"),
        ("POST / HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: chunked, gzip\r\n\r\n", "400"),
        (
            "POST / HTTP/1.1\r\nhost: cart\r\ntransfer-encoding: gzip, chunked\r\nconnection: close\r\n\r\n0\r\n\r\n",
            "501",
        ),
        ("POST / HTTP/1.0\r\nhost: cart\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\nhost: other\r\nconnection: close\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost : cart\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nhost: cart\r\n folded: 1\r\n\r\n", "400"),
        ("GET / HTTP/9.9\r\nhost: cart\r\n\r\n", "400"),
        ("CONNECT cart:80 HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n", "405"),
    ] {
        let answer = answer(&world, bytes.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{bytes:?}: {answer}");
    }
}

#[tokio::test]
async fn an_absolute_target_stands_above_the_host_header_and_becomes_a_path() {
    let world = echoing().await;
    let bytes = b"GET http://cart/a?b HTTP/1.1\r\nhost: other\r\nconnection: close\r\n\r\n";
    let answer = answer(&world, bytes).await.to_lowercase();
    assert!(answer.contains("get /a?b http/1.1\r\n") && answer.contains("host: cart\r\n"), "{answer}");
    assert!(!answer.contains("other"), "{answer}");
}

#[tokio::test]
async fn more_clients_than_the_limit_wait_until_one_leaves() {
    let world = World::with(|settings| settings.limits.connections = 1).await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    let mut first = Client::new(world.address()).await;
    assert_eq!(first.send(request("GET", "cart", "/", "")).await.status, 200);
    let mut second = Client::new(world.address()).await;
    let waiting = tokio::spawn(async move { second.send(request("GET", "cart", "/", "")).await.status });
    assert_eq!(first.send(request("GET", "cart", "/", "")).await.status, 200);
    assert!(!waiting.is_finished());
    drop(first);
    assert_eq!(waiting.await.unwrap(), 200);
    let full = |stores: &Stores| {
        stores.reports().iter().any(|report| report.refused.contains(&("connections".to_owned(), 2)))
    };
    world.stores.until("the limit, reached twice", full).await;
}

#[tokio::test]
async fn requests_that_were_sent_ahead_are_answered_in_order() {
    let world = World::new().await;
    let backend = Backend::new(|request| async move { reply(200, request.uri().path().to_owned()) }).await;
    world.up("cart", &[backend.address]).await;
    let one = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: cart\r\n{more}\r\n");
    let bytes = one("/first", "") + &one("/second", "") + &one("/third", "connection: close\r\n");
    let answer = answer(&world, bytes.as_bytes()).await;
    let bodies: Vec<_> = answer
        .split("HTTP/1.1 200 OK")
        .filter_map(|part| part.rsplit_once("\r\n\r\n"))
        .map(|p| p.1)
        .collect();
    assert_eq!(bodies, ["/first", "/second", "/third"]);
}

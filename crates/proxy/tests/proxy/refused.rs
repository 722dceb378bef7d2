//! Requests that cannot be read, and limits that are reached: each is told, and each is counted.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::world::*;

/// Sends these bytes and reads until the end of the connection.
async fn exchange(world: &World, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read_to_end(&mut stream).await
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    soon("the end of the connection", stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Status, code and detail of an answer that has to be a whole problem document.
fn problem(answer: &str) -> (u16, String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {answer:?}"));
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    let field = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
        line.and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value).to_owned()
    };
    assert_eq!(field("content-type"), "application/problem+json", "{answer}");
    assert_eq!(field("content-length"), body.len().to_string(), "{answer}");
    assert_eq!(field("connection"), "close", "{answer}");
    assert_eq!(field("proxy-status"), "bellwether; error=http_request_error", "{answer}");
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["status"], status);
    (status, problem["code"].as_str().unwrap().to_owned(), problem["detail"].as_str().unwrap().to_owned())
}

/// Waits until a report says so of this reason.
async fn counted(world: &World, reason: &str, count: u64) {
    let holds = |stores: &Stores| {
        stores.last().is_some_and(|report| report.refused.contains(&(reason.to_owned(), count)))
    };
    world.stores.until(&format!("{count} of {reason}"), holds).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_told_by_a_problem_document_and_counted() {
    let world = World::with(|settings| settings.limits.head_bytes = 8 * 1024).await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    let get = "GET / HTTP/1.1\r\nhost: cart\r\n";
    let post = "POST / HTTP/1.1\r\nhost: cart\r\n";
    let long = "x".repeat(9_000);
    for (bytes, status, code) in [
        ("\x16\x03\x01\x02\x01\x01\r\n\r\n".to_owned(), 400, "BW-1001"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400, "BW-1001"),
        (format!("{get}no colon\r\n\r\n"), 400, "BW-1001"),
        (format!("{post}content-length: 4\r\ncontent-length: 5\r\n\r\nbody!"), 400, "BW-1001"),
        (format!("{post}content-length: -4\r\n\r\nbody"), 400, "BW-1001"),
        (format!("{post}transfer-encoding: chunked, gzip\r\n\r\n"), 400, "BW-1001"),
        ("GET /\u{7f} HTTP/1.1\r\nhost: cart\r\n\r\n".to_owned(), 400, "BW-1001"),
        (format!("{get}x: {long}\r\n\r\n"), 431, "BW-1010"),
        (format!("{get}{}\r\n", "x: y\r\n".repeat(101)), 431, "BW-1010"),
        (format!("GET /{long} HTTP/1.1\r\nhost: cart\r\n\r\n"), 414, "BW-1011"),
        (format!("GET /{long}"), 414, "BW-1011"),
    ] {
        let answer = exchange(&world, bytes.as_bytes()).await;
        let told = problem(&answer);
        assert_eq!((told.0, &*told.1), (status, code), "{bytes:?}: {answer}");
    }
    counted(&world, "malformed", 7).await;
    counted(&world, "head_too_large", 2).await;
    counted(&world, "uri_too_long", 2).await;
    assert_eq!(backend.calls(), 0);
}

#[tokio::test]
async fn a_head_that_stops_halfway_is_told_and_a_client_that_said_nothing_is_not() {
    let world = World::with(|settings| {
        settings.limits.head_timeout = Duration::from_millis(100);
        settings.limits.client_idle = Duration::from_millis(100);
    })
    .await;
    let half = b"GET / HTTP/1.1\r\nhost: ca";
    let told = problem(&exchange(&world, half).await);
    assert_eq!((told.0, &*told.1), (408, "BW-1013"));
    assert!(told.2.contains("100ms"), "{}", told.2);
    counted(&world, "head_timeout", 1).await;
    assert_eq!(exchange(&world, b"").await, "");

    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(half).await.unwrap();
    stream.shutdown().await.unwrap();
    let told = problem(&read_to_end(&mut stream).await);
    assert_eq!((told.0, &*told.1), (400, "BW-1001"));
    counted(&world, "malformed", 1).await;
}

#[tokio::test]
async fn a_request_that_names_no_service_is_counted() {
    let world = World::new().await;
    assert_eq!(world.get("nowhere", "/").await.code(), "BW-2001");
    assert_eq!(world.get("127.0.0.1", "/").await.status, 400);
    counted(&world, "no_route", 1).await;
    counted(&world, "host_missing", 1).await;
}

#[tokio::test]
async fn after_a_whole_answer_what_cannot_be_read_is_told_as_well() {
    let world = World::new().await;
    let backend = Backend::named("first").await;
    world.up("cart", &[backend.address]).await;
    let bytes = b"GET / HTTP/1.1\r\nhost: cart\r\n\r\nGET / HTTP/1.1\r\nbad header\r\n\r\n";
    let answer = exchange(&world, bytes).await;
    let (first, second) = answer.split_once("firstHTTP/1.1").expect("two answers");
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let told = problem(&format!("HTTP/1.1{second}"));
    assert_eq!((told.0, &*told.1), (400, "BW-1001"));
    counted(&world, "malformed", 1).await;
    assert_eq!(backend.calls(), 1);
}

#[tokio::test]
async fn an_answer_of_an_endpoint_is_never_taken_for_one_of_the_library() {
    let world = World::new().await;
    let address = raw(|mut stream| async move {
        let mut buffer = [0; 4096];
        while let Ok(1..) = stream.read(&mut buffer).await {
            let answer = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    })
    .await;
    world.up("cart", &[address]).await;
    let mut client = Client::new(world.address()).await;
    for _ in 0..3 {
        let answer = client.send(request("GET", "cart", "/", "")).await;
        assert_eq!((answer.status, answer.header("content-type"), answer.body.len()), (431, "", 0));
    }
    world.stores.until("the calls", |stores| stores.calls() == [(("ok", "4xx"), 3)].into()).await;
    assert!(world.stores.reports().iter().all(|report| report.refused.is_empty()));
}

/// More than the sockets between the proxy and a client that does not read hold.
const LARGE: usize = 24 << 20;

/// A world whose endpoint answers with as many bytes as the path says.
async fn sized() -> World {
    let world = World::new().await;
    let backend = Backend::new(|request| async move {
        let length: usize = request.uri().path()[1..].parse().unwrap();
        reply(200, (0..length).map(|at| (at % 251) as u8).collect::<Vec<_>>())
    })
    .await;
    world.up("cart", &[backend.address]).await;
    world
}

/// Lengths that end at different places of what the sockets to a client that is late can hold.
fn lengths() -> impl Iterator<Item = usize> {
    (0..6).map(|step| (2 << 20) + step * (192 << 10))
}

/// Sends this by a connection that holds little, and reads until its end.
async fn read_late(world: &World, bytes: String) -> Vec<u8> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut stream = socket.connect(world.address()).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon("the end of the connection", stream.read_to_end(&mut answer)).await.unwrap();
    answer
}

/// What follows the first answer, which has to be whole.
fn after_answer(answer: &[u8], length: usize) -> String {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    assert!(answer.len() >= head + length, "of {length} {} bytes are missing", head + length - answer.len());
    let (body, rest) = answer[head..].split_at(length);
    assert!(body.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8), "the body is mangled");
    String::from_utf8_lossy(rest).into_owned()
}

#[tokio::test]
async fn an_answer_that_its_client_takes_late_arrives_whole_before_what_is_said_next() {
    let world = sized().await;
    for length in lengths() {
        let ask = format!("GET /{length} HTTP/1.1\r\nhost: cart\r\n\r\nbad header\r\n\r\n");
        let rest = after_answer(&read_late(&world, ask).await, length);
        assert!(rest.starts_with("HTTP/1.1 400") && rest.contains("BW-1001"), "{rest}");
    }
}

#[tokio::test]
async fn the_last_answer_of_a_connection_arrives_whole_at_a_client_that_takes_it_late() {
    let world = sized().await;
    for length in lengths() {
        for more in ["connection: close\r\n", "content-length: 100000\r\n"] {
            let ask = format!("POST /{length} HTTP/1.1\r\nhost: cart\r\n{more}\r\n");
            assert_eq!(after_answer(&read_late(&world, ask).await, length), "");
        }
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_left_and_counted() {
    let world = World::with(|settings| settings.limits.write_stall = Duration::from_millis(100)).await;
    let backend = Backend::new(|_| async { reply(200, vec![7; LARGE]) }).await;
    world.up("cart", &[backend.address]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n").await.unwrap();
    counted(&world, "write_stall", 1).await;
    world.stores.until("the call", |stores| stores.calls() == [(("cancelled", "none"), 1)].into()).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_told() {
    let world = World::new().await;
    let backend = Backend::new(|request| async move {
        match request.into_body().collect().await {
            Ok(_) => reply(200, ""),
            Err(_) => reply(500, ""),
        }
    })
    .await;
    world.up("cart", &[backend.address]).await;
    for (framing, body) in [
        ("transfer-encoding: chunked", "rubbish\r\n"),
        ("transfer-encoding: chunked", "4\r\nbodyrubbish"),
        ("content-length: 10", "body"),
        ("transfer-encoding: chunked", "4\r\nbody\r\n"),
    ] {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let bytes = format!("POST / HTTP/1.1\r\nhost: cart\r\n{framing}\r\n\r\n{body}");
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let told = problem(&read_to_end(&mut stream).await);
        assert_eq!((told.0, &*told.1), (400, "BW-1002"), "{bytes:?}");
        assert!(
            told.2.starts_with("instance \"cart-0\"") || told.2.starts_with("the request's body broke off: "),
            "{}",
            told.2
        );
    }
}

#[tokio::test]
async fn a_body_that_stalls_is_told() {
    let world = World::with(|settings| {
        settings.policy = policy(|parts| parts.timeouts.idle = Duration::from_millis(100));
    })
    .await;
    let backend = Backend::new(|request| async move {
        let _ = request.into_body().collect().await;
        reply(200, "")
    })
    .await;
    world.up("cart", &[backend.address]).await;
    let bytes = b"POST / HTTP/1.1\r\nhost: cart\r\ncontent-length: 10\r\n\r\nbody";
    let told = problem(&exchange(&world, bytes).await);
    assert_eq!((told.0, &*told.1), (408, "BW-1013"), "{}", told.2);
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let body = vec![7; 4 << 20];
    let head = format!("POST / HTTP/1.1\r\nhost: nowhere\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    soon("all of it to be sent", stream.write_all(&body)).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("BW-2001"), "{answer}");
}

#[tokio::test]
async fn what_is_sent_ahead_of_an_upgrade_arrives() {
    let world = World::new().await;
    let address = raw(|mut stream| async move {
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        while !got.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer).await {
                Ok(count @ 1..) => got.extend_from_slice(&buffer[..count]),
                _ => return,
            }
        }
        // What looks like the library's own answer comes here by another protocol.
        let head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        stream.write_all(head).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    world.up("cart", &[address]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let ask = "GET / HTTP/1.1\r\nhost: cart\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nearly";
    stream.write_all(ask.as_bytes()).await.unwrap();
    stream.write_all(b" and late").await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = read_to_end(&mut stream).await;
    let (head, echo) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{answer}");
    assert_eq!(echo, "HTTP/1.1 400 Bad Request\r\n\r\nearly and late");
}

#[tokio::test]
async fn a_head_has_its_own_time_however_long_the_connection_was_idle_before() {
    let world = World::with(|settings| {
        settings.limits.head_timeout = Duration::from_millis(300);
        settings.limits.client_idle = Duration::from_secs(3_600);
    })
    .await;
    let backend = Backend::named("a").await;
    world.up("cart", &[backend.address]).await;
    let mut client = Client::new(world.address()).await;
    for _ in 0..2 {
        // Longer than a head may take, of which nothing has come.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(client.send(request("GET", "cart", "/", "")).await.status, 200);
    }
    // Byte by byte is no way around it.
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let (mut read, mut write) = stream.split();
    let drip = async {
        for byte in b"GET /".iter().chain(std::iter::repeat(&b'x')) {
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut answer = vec![0; 64];
    tokio::select! {
        () = drip => panic!("it should have been told"),
        read = soon("an answer", read.read(&mut answer)) => drop(read.unwrap()),
    }
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", answer.escape_ascii());
}

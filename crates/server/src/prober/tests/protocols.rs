//! What passes and what fails, protocol by protocol.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::transport::server::TcpIncoming;
use tonic_health::{ServingStatus, server::health_reporter};

use super::*;

/// What becomes of a check whose target answers every request with these bytes.
async fn answered(probe: Probe, answer: Vec<u8>) -> (Status, String) {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(folder.path());
    let (listener, port) = listen().await;
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&answer).await;
                // Until the other side has had enough.
                let _ = stream.shutdown().await;
                while stream.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {}
            });
        }
    });
    house.register("a", "127.0.0.1", port, patient(probe)).await;
    let found = verdict(&house, "a").await;
    serving.abort();
    house.stop().await;
    found
}

/// What the first answer amounts to.
async fn verdict(house: &House, name: &str) -> (Status, String) {
    tokio::select! {
        why = house.until(name, Status::Up) => (Status::Up, why),
        why = house.until(name, Status::Down) => (Status::Down, why),
    }
}

#[tokio::test]
async fn of_http_answers_every_2xx_passes_and_the_others_say_what_they_were() {
    let cases: [(&str, Result<(), &str>); 8] = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Ok(())),
        ("HTTP/1.1 299 Fine\r\n\r\n", Ok(())),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Err("it answered 404 Not Found")),
        ("HTTP/1.1 500 What it holds\r\n\r\nsecret", Err("it answered 500 Internal Server Error")),
        ("HTTP/1.1 500 \x1b[31mred\r\n\r\n", Err("no valid HTTP answer")),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", Err("its answer broke off")),
        ("SSH-2.0-OpenSSH_9.2\r\n", Err("no valid HTTP answer")),
        ("", Err("no valid HTTP answer")),
    ];
    for (answer, expected) in cases {
        let (status, reason) = answered(http("/"), answer.into()).await;
        match expected {
            Ok(()) => assert_eq!(status, Status::Up, "{answer:?}: {reason}"),
            Err(why) => {
                assert!(status == Status::Down && reason.contains(why), "{answer:?}: {status} {reason}");
                assert!(!reason.chars().any(char::is_control));
            }
        }
    }
}

#[tokio::test]
async fn a_huge_head_fails_and_an_endless_body_is_left_unread() {
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let (status, reason) = answered(http("/"), head.into()).await;
    assert!(status == Status::Down && reason.contains("no valid HTTP answer"), "{reason}");
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.extend(vec![b'x'; 8 << 20]);
    let (status, reason) = answered(http("/"), endless).await;
    assert_eq!(status, Status::Up, "{reason}");
}

#[tokio::test]
async fn a_connection_that_is_accepted_passes_and_a_refused_one_fails() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(folder.path());
    let (listener, port) = listen().await;
    house.register("a", "127.0.0.1", port, patient(Probe::Tcp)).await;
    house.until("a", Status::Up).await;
    drop(listener);
    let reason = house.until("a", Status::Down).await;
    assert!(reason.starts_with(&format!("check tcp fails: 127.0.0.1:{port}: ")), "{reason}");
    house.stop().await;
}

#[tokio::test]
async fn the_checks_own_port_is_asked_on_the_instances_own_host() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(folder.path());
    let (_listener, port) = listen().await;
    let (gone, gone_port) = listen().await;
    drop(gone);
    let check = Check { port: Some(port), ..patient(Probe::Tcp) };
    house.register("a", "127.0.0.1", gone_port, check).await;
    house.until("a", Status::Up).await;
    house.stop().await;
}

#[tokio::test]
async fn a_grpc_server_passes_while_it_says_serving_and_else_says_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(folder.path());
    let (listener, port) = listen().await;
    let (reporter, health) = health_reporter();
    let incoming = TcpIncoming::from(listener);
    let serving =
        tokio::spawn(tonic::transport::Server::builder().add_service(health).serve_with_incoming(incoming));
    reporter.set_service_status("shop.Cart", ServingStatus::Serving).await;
    house.register("whole", "127.0.0.1", port, patient(grpc(""))).await;
    house.register("cart", "127.0.0.1", port, patient(grpc("shop.Cart"))).await;
    house.register("other", "127.0.0.1", port, patient(grpc("shop.Other"))).await;
    house.until("whole", Status::Up).await;
    house.until("cart", Status::Up).await;
    let reason = house.until("other", Status::Down).await;
    assert_eq!(reason, "check grpc shop.Other fails: it knows no service \"shop.Other\" (NOT_FOUND)");
    reporter.set_service_status("shop.Cart", ServingStatus::NotServing).await;
    assert_eq!(house.until("cart", Status::Down).await, "check grpc shop.Cart fails: it says NOT_SERVING");
    assert_eq!(house.instance("whole").status, Status::Up);
    reporter.set_service_status("shop.Cart", ServingStatus::Serving).await;
    house.until("cart", Status::Up).await;
    serving.abort();
    house.stop().await;
}

#[tokio::test]
async fn a_grpc_server_without_a_health_service_and_one_that_speaks_no_grpc_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(folder.path());
    let (listener, port) = listen().await;
    let routes = tonic::service::Routes::default();
    let incoming = TcpIncoming::from(listener);
    let serving =
        tokio::spawn(tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming));
    house.register("a", "127.0.0.1", port, patient(grpc(""))).await;
    let reason = house.until("a", Status::Down).await;
    assert_eq!(reason, "check grpc fails: it has no health service (UNIMPLEMENTED)");
    serving.abort();
    house.stop().await;

    let (status, reason) = answered(grpc(""), b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    assert!(status == Status::Down && reason.contains("no gRPC answer"), "{reason}");
}

//! Who is let in, over real sockets, as the listener serves it.

#![expect(clippy::unwrap_used, reason = "what helps a test is a test")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router, routing::get};
use identity::Namespace;
use server::{
    access::{Access, Guard, Principal, RANDOM_BYTES, TokenSpec},
    clock,
    listener::{Hosts, Refusal, Settings, bind, serve},
};
use storage_catalog::Scope;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

async fn start(access: Access) -> SocketAddr {
    let secret = |Extension(caller): Extension<Principal>| async move {
        caller.require(Scope::Write, Some(&Namespace::default()))?;
        Ok::<_, Refusal>(format!("hello {}", caller.name))
    };
    let app = Router::new()
        .route("/secret", get(secret).post(secret))
        .route("/healthz", get(|| async { "alive" }))
        .layer(Guard(Arc::new(access)));
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let settings = Settings::new(Hosts::for_address(address.ip(), vec![]));
    tokio::spawn(serve(listener, app, settings, CancellationToken::new()));
    address
}

async fn get_with(address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

fn spec(scope: Scope, namespace: &str) -> TokenSpec {
    let namespaces = vec![namespace.parse().unwrap()];
    TokenSpec { name: "ci".to_owned(), scopes: vec![scope], namespaces, ttl: None }
}

#[tokio::test]
async fn a_request_is_let_in_by_its_token_and_its_scope() {
    let mint = |scope, namespace, seed| {
        spec(scope, namespace).mint([seed; RANDOM_BYTES], clock::now().wall).unwrap()
    };
    let (writer, writers) = mint(Scope::Write, "default", 1);
    let (reader, readers) = mint(Scope::Read, "default", 2);
    let (stranger, strangers) = mint(Scope::Admin, "other", 3);
    let address = start(Access::required(vec![writer, reader, stranger])).await;

    let none = get_with(address, "/secret", "").await;
    assert!(none.starts_with("HTTP/1.1 401 ") && none.contains("BW-1201"), "{none}");
    assert!(none.contains("\r\nwww-authenticate: Bearer realm=\"bellwether\"\r\n"), "{none}");
    assert!(none.contains("\"instance\":\"/secret\""), "{none}");

    let with =
        async |token: &str| get_with(address, "/secret", &format!("authorization: Bearer {token}\r\n")).await;
    assert!(with(&writers).await.ends_with("hello ci"));
    let bad = with("bw_nonsense").await;
    assert!(
        bad.starts_with("HTTP/1.1 401 ") && bad.contains("BW-1202") && bad.contains("invalid_token"),
        "{bad}"
    );
    let weak = with(&readers).await;
    assert!(
        weak.starts_with("HTTP/1.1 403 ") && weak.contains("BW-1204") && weak.contains("scope write"),
        "{weak}"
    );
    let foreign = with(&strangers).await;
    assert!(foreign.starts_with("HTTP/1.1 403 ") && foreign.contains("BW-1205"), "{foreign}");
    assert!(foreign.contains("namespace default"), "{foreign}");

    assert!(get_with(address, "/healthz", "").await.ends_with("alive"), "health is public");
    let other = get_with(address, "/healthz/", "").await;
    assert!(!other.ends_with("alive"), "and nothing that only looks like it: {other}");
}

#[tokio::test]
async fn grpc_is_told_in_its_own_words() {
    let address = start(Access::required(vec![])).await;
    let answer = get_with(address, "/secret", "content-type: application/grpc+proto\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\r\ngrpc-status: 16\r\n") && answer.contains("BW-1201"), "{answer}");
}

#[tokio::test]
async fn without_required_tokens_everybody_is_an_operator() {
    let address = start(Access::open(vec![])).await;
    assert!(get_with(address, "/secret", "").await.ends_with("hello operator"));
    let bad = get_with(address, "/secret", "authorization: Bearer bw_nonsense\r\n").await;
    assert!(bad.starts_with("HTTP/1.1 401 "), "a token that is presented has to be a good one: {bad}");
}

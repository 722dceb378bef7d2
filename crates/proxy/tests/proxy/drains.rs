//! What an operator relies on who is told that an instance can be killed.

use std::time::Duration;

use registry::Status;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
};

use crate::world::*;

/// The latest report: its settled revision, and the calls in flight at an instance.
fn latest(stores: &Stores, instance: &str) -> (u64, u32) {
    let Some(report) = stores.last() else { return (0, 0) };
    assert!(report.settled_revision <= report.revision);
    let mut rows = report.endpoints.iter().filter(|row| row.instance.as_str() == instance);
    let in_flight = rows.next().map_or(0, |row| row.in_flight);
    assert!(rows.next().is_none(), "an instance has one row: {report:?}");
    (report.settled_revision, in_flight)
}

/// A world that reports only when it is rung.
async fn rung() -> World {
    World::with(|settings| settings.report_every = Duration::from_secs(3_600)).await
}

/// An endpoint that answers when it is told to.
async fn waiting() -> (Backend, watch::Sender<bool>) {
    let (go, wait) = watch::channel(false);
    let backend = Backend::new(move |_| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.unwrap();
            reply(200, "late")
        }
    })
    .await;
    (backend, go)
}

async fn called(backend: &Backend) {
    let calls = async {
        while backend.calls() == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("a call", calls).await;
}

#[tokio::test]
async fn a_drain_and_the_end_of_its_last_call_are_reported_at_once() {
    let world = rung().await;
    let (backend, go) = waiting().await;
    world.up("cart", &[backend.address]).await;
    let address = world.address();
    let get = async move { Client::new(address).await.send(request("GET", "cart", "/", "")).await };
    let call = tokio::spawn(get);
    called(&backend).await;
    let revision = world.registry.set("cart", &[(backend.address, Status::Draining)]);
    world.stores.until("the drain", |stores| latest(stores, "cart-0") == (revision, 1)).await;
    go.send_replace(true);
    assert_eq!(call.await.unwrap().status, 200);
    world.stores.until("the last call's end", |stores| latest(stores, "cart-0") == (revision, 0)).await;
}

#[tokio::test]
async fn an_instance_that_is_gone_or_has_moved_is_reported_as_long_as_something_is_under_way_there() {
    let world = World::new().await;
    let (old, go) = waiting().await;
    let new = Backend::named("new").await;
    let address = world.address();
    let get = || async move { Client::new(address).await.send(request("GET", "cart", "/", "")).await };
    world.up("cart", &[old.address]).await;
    let call = tokio::spawn(get());
    called(&old).await;
    let moved = world.registry.up("cart", &[new.address]);
    world.stores.until("the move", |stores| latest(stores, "cart-0") == (moved, 1)).await;
    assert_eq!(get().await.body, "new");
    let gone = world.registry.up("cart", &[]);
    world.stores.until("the end of the service", |stores| latest(stores, "cart-0") == (gone, 1)).await;
    go.send_replace(true);
    assert_eq!(call.await.unwrap().body, "late");
    world.stores.until("the end of the call", |stores| latest(stores, "cart-0") == (gone, 0)).await;
    assert!(world.stores.last().unwrap().endpoints.is_empty());
}

#[tokio::test]
async fn upgraded_connections_and_answers_that_stream_are_in_flight_until_they_end() {
    let world = rung().await;
    let address = raw(|mut stream| async move {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        let head: &[u8] = if buffer[..count].starts_with(b"GET /upgrade") {
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n"
        } else {
            b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nthe beginning"
        };
        stream.write_all(head).await.unwrap();
        // Until the proxy lets go.
        let _ = stream.read(&mut buffer).await;
    })
    .await;
    for ask in [
        "GET /upgrade HTTP/1.1\r\nhost: cart\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n",
        "GET /stream HTTP/1.1\r\nhost: cart\r\n\r\n",
    ] {
        world.up("cart", &[address]).await;
        let mut client = TcpStream::connect(world.address()).await.unwrap();
        client.write_all(ask.as_bytes()).await.unwrap();
        assert_ne!(soon("the answer's head", client.read(&mut [0; 4096])).await.unwrap(), 0);
        let revision = world.registry.up("cart", &[]);
        world.stores.until("the departure", |stores| latest(stores, "cart-0") == (revision, 1)).await;
        drop(client);
        world.stores.until("the end", |stores| latest(stores, "cart-0") == (revision, 0)).await;
    }
}

#[tokio::test]
async fn a_call_that_tries_again_goes_where_calls_go_now() {
    let world = World::with(|settings| {
        settings.policy = policy(|parts| parts.timeouts.connect = Duration::from_millis(300));
    })
    .await;
    // Nobody accepts, and when its queue is full the kernel answers nothing.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let stuck: TcpListener = socket.listen(1).unwrap();
    let stuck = (stuck.local_addr().unwrap(), stuck);
    let mut queue = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(stuck.0)).await
    {
        queue.push(stream.unwrap());
    }
    let other = Backend::named("other").await;
    world.up("cart", &[stuck.0]).await;
    let address = world.address();
    let call =
        tokio::spawn(async move { Client::new(address).await.send(request("GET", "cart", "/", "")).await });
    world.stores.until("the first try", |stores| latest(stores, "cart-0").1 == 1).await;
    world.registry.set("cart", &[(stuck.0, Status::Draining), (other.address, Status::Up)]);
    assert_eq!(call.await.unwrap().body, "other");
}

#[tokio::test]
async fn where_no_calls_go_no_connection_is_kept() {
    let world = World::new().await;
    let (closed, mut wait) = watch::channel(0);
    let address = raw(move |mut stream| {
        let closed = closed.clone();
        async move {
            let mut buffer = [0; 4096];
            while let Ok(1..) = stream.read(&mut buffer).await {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
            closed.send_modify(|closed| *closed += 1);
        }
    })
    .await;
    for (round, status) in [Some(Status::Draining), Some(Status::Down), None].into_iter().enumerate() {
        world.up("cart", &[address]).await;
        for _ in 0..3 {
            assert_eq!(world.get("cart", "/").await.status, 200);
        }
        assert_eq!(*wait.borrow(), round, "it is kept while calls go there");
        let endpoints: Vec<_> = status.map(|status| (address, status)).into_iter().collect();
        world.registry.set("cart", &endpoints);
        soon("the end of the connection", wait.wait_for(|closed| *closed == round + 1)).await.unwrap();
    }
}

/// What a receipt stands on, tried while calls come from all sides.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_report_that_nothing_is_under_way_nothing_arrives() {
    const ROUNDS: usize = 20;
    let world = World::with(|settings| settings.limits.traces_per_second = 0).await;
    let (stays, drains) = (Backend::named("stays").await, Backend::named("drains").await);
    let both = |status| [(stays.address, Status::Up), (drains.address, status)];
    world.registry.acknowledged(world.registry.set("cart", &both(Status::Up))).await;
    let (stop, stopped) = watch::channel(false);
    let address = world.address();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let mut client = Client::new(address).await;
                while !*stopped.borrow() {
                    assert_eq!(client.send(request("GET", "cart", "/", "")).await.status, 200);
                }
            })
        })
        .collect();
    for round in 0..ROUNDS {
        let before = (stays.calls(), drains.calls());
        let goes_on = || stays.calls() > before.0 + 20 && drains.calls() > before.1;
        soon("calls to both", async {
            while !goes_on() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let revision = world.registry.set("cart", &both(Status::Draining));
        let quiet = |stores: &Stores| {
            let (settled, in_flight) = latest(stores, "cart-1");
            settled >= revision && in_flight == 0
        };
        world.stores.until("the receipt", quiet).await;
        let (last, others) = (drains.calls(), stays.calls());
        soon("more calls", async {
            while stays.calls() < others + 50 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(drains.calls(), last, "round {round}: a call arrived after the receipt");
        world.registry.acknowledged(world.registry.set("cart", &both(Status::Up))).await;
    }
    stop.send_replace(true);
    for client in clients {
        client.await.unwrap();
    }
}

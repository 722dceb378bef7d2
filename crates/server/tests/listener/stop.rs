//! Stopping gracefully, and taking an address.

use std::{net::SocketAddr, sync::Arc};

use server::listener::{Reason, bind, check_exposure};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Notify};
use wire::native::problem::Code;

use crate::harness::{SHORT, Server, app, gated, read_all, read_until, text, until};

#[tokio::test]
async fn what_is_in_flight_is_answered_and_nothing_new_is_taken() {
    let (entered, gate) = (Arc::<Notify>::default(), Arc::<Notify>::default());
    let server = Server::start(gated(entered.clone(), gate.clone()), |_| {}).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut idle, "hello").await;
    let mut silent = server.connect().await;

    let (mut one, mut two) = (server.http1().await, server.http2().await);
    let request = || server.request("GET", "/held", "");
    let held = [tokio::spawn(one.send_request(request())), tokio::spawn(two.send_request(request()))];
    entered.notified().await;
    until("both are in flight", || server.stats.requests() == 3).await;

    server.stop.cancel();
    assert_eq!(read_all(&mut idle).await, "", "an idle connection is closed at once");
    assert_eq!(read_all(&mut silent).await, "", "and so is one that has said nothing");
    until("the port is free", || std::net::TcpStream::connect(server.address).is_err()).await;

    for held in held {
        gate.notify_one();
        let response = held.await.unwrap().unwrap();
        assert_eq!(text(response).await, "held");
    }
    let refused = two.send_request(request()).await;
    assert!(refused.is_err(), "HTTP/2 was told to go away");
    assert_eq!(server.finish().await.cut_off, 0);
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_off() {
    let entered = Arc::<Notify>::default();
    let server =
        Server::start(gated(entered.clone(), Arc::default()), |settings| settings.drain = SHORT).await;
    let mut client = server.http1().await;
    let held = tokio::spawn(client.send_request(server.request("GET", "/held", "")));
    entered.notified().await;
    let stats = server.stats.clone();
    assert_eq!(server.finish().await.cut_off, 1);
    assert_eq!((stats.refused(Reason::CutOff), stats.active()), (1, 0));
    assert!(held.await.unwrap().is_err());
}

#[tokio::test]
async fn a_stop_comes_through_a_flood_of_connections() {
    let server = Server::start(app(), |_| {}).await;
    let streams: Vec<TcpStream> = futures_util::future::join_all((0..200).map(|_| server.connect())).await;
    until("all are accepted", || server.stats.active() == 200).await;
    assert_eq!(server.finish().await.cut_off, 0);
    drop(streams);
}

#[test]
fn a_taken_port_is_named_with_its_holder_and_what_to_do() {
    let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = first.local_addr().unwrap();
    let problem = bind(address).unwrap_err();
    assert_eq!(problem.code(), Code::AddressInUse);
    assert!(problem.detail().contains(&address.to_string()), "{problem}");
    assert!(problem.what_next().contains("127.0.0.1:0"), "{problem}");
    if cfg!(target_os = "linux") {
        assert!(problem.detail().contains(&format!("(process {})", std::process::id())), "{problem}");
    }
    drop(first);
    bind(address).expect("free again");
}

#[test]
fn an_address_of_another_machine_is_unavailable() {
    let problem = bind("192.0.2.1:0".parse().unwrap()).unwrap_err();
    assert_eq!(problem.code(), Code::AddressUnavailable);
    assert!(problem.detail().contains("192.0.2.1:0"), "{problem}");
}

#[tokio::test]
async fn ipv6_loopback_is_served_like_ipv4() {
    let Ok(listener) = bind("[::1]:0".parse().unwrap()) else {
        return; // A machine without IPv6.
    };
    let address = listener.local_addr().unwrap();
    let settings =
        server::listener::Settings::new(server::listener::Hosts::for_address(address.ip(), vec![]));
    let stop = tokio_util::sync::CancellationToken::new();
    let task = tokio::spawn(server::listener::serve(listener, app(), settings, stop.clone()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("hello"));
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[test]
fn other_addresses_than_loopback_need_tls_and_tokens_or_insistence() {
    let check = |address: &str, tls, auth, insecure| {
        check_exposure(address.parse::<SocketAddr>().unwrap(), tls, auth, insecure).map_err(|p| p.code())
    };
    for loopback in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(check(loopback, false, false, false), Ok(()), "{loopback}");
    }
    for open in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[2001:db8::1]:1"] {
        for (tls, auth) in [(false, false), (true, false), (false, true)] {
            assert_eq!(check(open, tls, auth, false), Err(Code::Exposed), "{open} {tls} {auth}");
            assert_eq!(check(open, tls, auth, true), Ok(()), "{open} {tls} {auth}");
        }
        assert_eq!(check(open, true, true, false), Ok(()), "{open}");
    }
}

//! A gateway without its control plane: what it remembers, and what operators have said.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
};

use rustix::process::Signal;
use support::{Process, register, request, run, text, until, until_routed};

const FREE: &str = "127.0.0.1:0";

/// A service that answers every connection with its name.
fn service(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(FREE).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let length = name.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{name}");
            if stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    address
}

#[test]
fn a_gateway_that_restarts_while_its_control_plane_is_down_serves_minds_an_operators_word_and_hears_of_its_return()
 {
    let folder = tempfile::tempdir().unwrap();
    let (data, kept) = (folder.path().join("server"), folder.path().join("gateway"));
    let server = Process::start(&["server", "--data", text(&data), "--listen", FREE]);
    let control = server.address("listen");
    let url = format!("http://{control}");
    let start = || Process::start(&["gateway", "--control", &url, "--data", text(&kept), "--listen", FREE]);
    let mut gateway = start();
    register(control, "hello", "hello-1", service("hello"));
    let registered = register(control, "shut", "shut-1", service("shut"));
    until_routed(control, registered["revision"].as_u64().unwrap());
    let force = ["breaker", "force-open", "shut", "--for", "10m", "--reason", "it charges twice"];
    let said = run(&[&force[..], &["--server", &url, "-o", "json"]].concat());
    assert!(said.status.success(), "{said:?}");
    let call = |gateway: &Process, host: &str| {
        request(gateway.address("gateway"), &format!("GET / HTTP/1.1\r\nHost: {host}"), "").unwrap()
    };
    until("the word has come", || (call(&gateway, "shut").status == 503).then_some(()));
    assert_eq!(call(&gateway, "hello").body, "hello");

    server.signal(Signal::KILL);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().0, Some(0));
    let gateway = start();
    until("it routes by its last table", || (call(&gateway, "hello").status == 200).then_some(()));
    assert_eq!(call(&gateway, "hello").body, "hello");
    let refused = call(&gateway, "shut");
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.body.contains("BW-2003"), "{}", refused.body);

    let back = Process::start(&["server", "--data", text(&data), "--listen", &control.to_string()]);
    assert_eq!(back.address("listen"), control);
    register(control, "late", "late-1", service("late"));
    until("what is new has come", || (call(&gateway, "late").status == 200).then_some(()));
    assert_eq!(call(&gateway, "hello").body, "hello");
    assert_eq!(call(&gateway, "shut").status, 503, "the word outlives both restarts");
    let reset = ["breaker", "reset", "shut", "--reason", "mended", "--server", &url];
    let said = run(&reset);
    assert!(said.status.success(), "{said:?}");
    until("the word is taken back", || (call(&gateway, "shut").status == 200).then_some(()));
}

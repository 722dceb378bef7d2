//! Processes that stay: how they are asked to stop, to read their settings again, and what they remember.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use rustix::process::Signal;
use serde_json::Value as Json;
use support::{Process, bellwether, get, register, request, text, until, until_routed};

const FREE: &str = "127.0.0.1:0";

/// A process with a service that has taken a call and does not answer it yet.
struct Waiting {
    process: Process,
    call: thread::JoinHandle<std::io::Result<support::Answer>>,
    connection: TcpStream,
    _folder: tempfile::TempDir,
}

fn with_a_call_in_flight() -> Waiting {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let process = Process::start(&["up", "--data", text(&data), "--listen", FREE, "--gateway", FREE]);
    let service = TcpListener::bind(FREE).unwrap();
    let control = process.address("listen");
    let registered = register(control, "slow", "slow-1", service.local_addr().unwrap());
    until_routed(control, registered["revision"].as_u64().unwrap());
    let gateway = process.address("gateway");
    let call = thread::spawn(move || request(gateway, "GET / HTTP/1.1\r\nHost: slow", ""));
    let (mut connection, _) = service.accept().unwrap();
    assert!(connection.read(&mut [0; 1024]).unwrap() > 0);
    Waiting { process, call, connection, _folder: folder }
}

fn until_closed(address: SocketAddr) {
    until("no connection is accepted any more", || TcpStream::connect(address).is_err().then_some(()));
}

#[test]
fn what_has_begun_is_finished_after_sigterm() {
    let Waiting { mut process, call, mut connection, _folder } = with_a_call_in_flight();
    process.signal(Signal::TERM);
    until_closed(process.address("gateway"));
    connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").unwrap();
    let answer = call.join().unwrap().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "done"));
    assert_eq!(process.ended(), (Some(0), String::new()));
}

#[test]
fn the_second_signal_ends_the_process_at_once() {
    let Waiting { mut process, call, connection, _folder } = with_a_call_in_flight();
    process.signal(Signal::INT);
    until_closed(process.address("gateway"));
    process.signal(Signal::INT);
    assert_eq!(process.ended().0, Some(1));
    drop(connection);
    assert!(call.join().unwrap().is_err());
}

#[test]
fn on_sighup_the_log_level_is_read_again_and_a_mistake_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [data, file, log] = ["data", "bellwether.toml", "log"].map(|name| folder.path().join(name));
    fs::write(&file, "log_level = 'error'").unwrap();
    let mut command = bellwether(&["up", "--data", text(&data), "--listen", FREE, "--gateway", "off"]);
    command.args(["--config", text(&file), "-o", "json"]).stderr(fs::File::create(&log).unwrap());
    let process = Process::spawn(command);
    let logged = |what: &str| fs::read_to_string(&log).unwrap().contains(what).then_some(());

    fs::write(&file, "log_level = 'info'").unwrap();
    process.signal(Signal::HUP);
    until("the new level holds", || logged("read again"));
    fs::write(&file, "log_level = 'info'\nlisen = 'x'").unwrap();
    process.signal(Signal::HUP);
    until("the mistake is told", || logged("BW-3101"));
    get(process.address("listen"), "/bellwether/v1/namespaces");

    // What is not written to a terminal is for machines.
    for line in fs::read_to_string(&log).unwrap().lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    assert_eq!(process.terminate().0, Some(0));
}

#[test]
fn the_log_is_for_people_where_they_ask_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let [data, log] = ["data", "log"].map(|name| folder.path().join(name));
    let mut command =
        bellwether(&["up", "--data", text(&data), "--listen", FREE, "--gateway", FREE, "-o", "json"]);
    command.args(["--log-format", "text"]).stderr(fs::File::create(&log).unwrap());
    assert_eq!(Process::spawn(command).terminate().0, Some(0));
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.contains("INFO") && log.contains("stopping") && !log.contains('{') && !log.contains('\x1b'),
        "{log}"
    );
}

#[test]
fn a_gateway_with_a_folder_is_the_same_one_on_another_port() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("gateway");
    let arguments = ["gateway", "--control", "http://127.0.0.1:1", "--listen", FREE, "--data", text(&data)];
    let first = Process::start(&arguments);
    let (id, address) = (first.banner["proxy"].clone(), first.address("gateway"));
    // Without a control plane it serves, and says why it cannot route.
    let refused = request(address, "GET / HTTP/1.1\r\nHost: anything", "").unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (503, &Json::from("BW-2018")));
    let taken = TcpListener::bind(FREE).unwrap();
    assert_eq!(first.terminate().0, Some(0));
    let again = Process::start(&arguments);
    assert_eq!(again.banner["proxy"], id);
    drop(taken);
}

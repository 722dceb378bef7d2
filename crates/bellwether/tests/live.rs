//! What people look at while it happens: calls as they go by, figures as they change, proxies and breakers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    process::Stdio,
    sync::mpsc,
};

use rustix::{
    process::Signal,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use serde_json::Value as Json;
use support::{
    Ended, Greeter, PATIENCE, Process, bellwether, finish, get, register, request, run, stdout, text, until,
    until_routed,
};

const FREE: &str = "127.0.0.1:0";

/// A control plane, a gateway in another process, and a service behind it.
struct Fleet {
    _folder: tempfile::TempDir,
    server: Process,
    gateway: Process,
    _service: Greeter,
}

impl Fleet {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Process::start(&["server", "--data", text(folder.path()), "--listen", FREE]);
        let control = server.address("listen");
        let gateway =
            Process::start(&["gateway", "--control", &format!("http://{control}"), "--listen", FREE]);
        let service = Greeter::start();
        let registered = register(control, "hello", "hello-1", service.address);
        until_routed(control, registered["revision"].as_u64().unwrap());
        Self { _folder: folder, server, gateway, _service: service }
    }

    fn control(&self) -> SocketAddr {
        self.server.address("listen")
    }

    fn url(&self) -> String {
        format!("http://{}", self.control())
    }

    fn call(&self, path: &str) -> u16 {
        let head = format!("GET {path} HTTP/1.1\r\nHost: hello");
        request(self.gateway.address("gateway"), &head, "").unwrap().status
    }

    fn metrics(&self) -> String {
        request(self.control(), "GET /metrics HTTP/1.1", "").unwrap().body
    }
}

/// Calls until `happened`.
fn call_until<T>(fleet: &Fleet, path: &str, mut happened: impl FnMut() -> Option<T>) -> T {
    until("calls have had their effect", || {
        fleet.call(path);
        happened()
    })
}

#[test]
fn a_tap_shows_calls_of_another_process_until_it_has_shown_enough() {
    let fleet = Fleet::start();
    let tap = ["tap", "hello", "--server", &fleet.url(), "--limit", "3", "-o", "jsonl"];
    let mut child = bellwether(&tap).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let out = child.stdout.take().unwrap();
    let mut child = Ended(child);
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || BufReader::new(out).lines().try_for_each(|line| sender.send(line.unwrap())));
    let mut calls: Vec<Json> = Vec::new();
    call_until(&fleet, "/a?password=x", || {
        calls.extend(lines.try_iter().map(|line| serde_json::from_str::<Json>(&line).unwrap()));
        (calls.len() >= 3).then_some(())
    });
    assert!(until("it ends", || child.0.try_wait().unwrap()).success());
    assert_eq!((calls.len(), lines.try_iter().count()), (3, 0));
    let call = &calls[0];
    assert_eq!((&call["method"], &call["path"], &call["status"]), (&"GET".into(), &"/a".into(), &200.into()));
    assert_eq!((&call["instance"], &call["caller"]), (&"hello-1".into(), &"gateway".into()));
    until("nobody taps any more", || fleet.metrics().contains("\nbellwether_taps_open 0").then_some(()));

    let typo = run(&["tap", "helo", "--server", &fleet.url()]);
    assert_eq!(typo.status.code(), Some(4));
    assert!(support::stderr(&typo).contains("did you mean \"hello\"?"), "{typo:?}");
    assert_eq!(run(&["tap", "hello", "--status", "6xx", "--server", &fleet.url()]).status.code(), Some(2));
}

#[test]
fn top_shows_every_service_and_edge_once_for_scripts_and_obeys_keys_on_a_terminal() {
    let fleet = Fleet::start();
    let url = fleet.url();
    let once = |form: &str| run(&["top", "--once", "--server", &url, "-o", form]);
    let report: Json = call_until(&fleet, "/", || {
        let report: Json = serde_json::from_slice(&once("json").stdout).unwrap();
        (report["services"][0]["service"] == "hello").then_some(report)
    });
    assert_eq!(report["edges"][0]["caller"], "gateway");
    let shown = stdout(&once("table"));
    assert!(shown.contains("RATE ▼") && shown.contains("gateway → hello"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "nothing for a terminal where there is none: {shown:?}");

    let control = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&control).unwrap();
    unlockpt(&control).unwrap();
    let name = ptsname(&control, Vec::new()).unwrap();
    let open = || File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let terminal = open();
    let before = rustix::termios::tcgetattr(&terminal).unwrap().local_modes;
    let mut top = bellwether(&["top", "--every", "1h", "--server", &url]);
    top.env("TERM", "xterm").stdin(open()).stdout(open());
    let mut child = Ended(top.spawn().unwrap());
    let (mut screen, mut keys) = (File::from(control.try_clone().unwrap()), File::from(control));
    let (sender, pieces) = mpsc::channel();
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = screen.read(&mut piece) {
            if sender.send(String::from_utf8_lossy(&piece[..read]).into_owned()).is_err() {
                return;
            }
        }
    });
    let mut seen = String::new();
    let mut until_seen = |what: &str| {
        while !seen.contains(what) {
            seen += &pieces.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {what} in {seen:?}"));
        }
    };
    until_seen("RATE ▼");
    keys.write_all(b"e").unwrap();
    until_seen("ERRORS ▼");
    keys.write_all(b"q").unwrap();
    assert!(until("it ends", || child.0.try_wait().unwrap()).success());
    assert_eq!(rustix::termios::tcgetattr(&terminal).unwrap().local_modes, before);
}

#[test]
fn status_says_which_version_fails_since_when_and_what_to_type() {
    let fleet = Fleet::start();
    let status = || stdout(&run(&["status", "--server", &fleet.url()]));
    assert!(status().ends_with("all is well\n"), "{}", status());
    // Of its own accord the gateway would soon send next to nothing to what fails.
    let file = fleet._folder.path().join("turns.yaml");
    std::fs::write(
        &file,
        "apiVersion: bellwether.dev/v1\nkind: ServicePolicy\nmetadata: { name: hello }\nspec:\n  service: hello\n  \
         load_balancing: { algorithm: round_robin }\n  outlier_detection: null\n  circuit_breaker: null\n",
    )
    .unwrap();
    let applied = run(&["policy", "apply", "-f", text(&file), "--server", &fleet.url()]);
    assert!(applied.status.success(), "{applied:?}");
    let bad = Greeter::answering("500 Internal Server Error");
    let path = "/bellwether/v1/namespaces/default/services/hello/instances/hello-2";
    let body = serde_json::json!({ "address": "127.0.0.1", "port": bad.address.port(), "version": "1.5.0" });
    let head = format!("PUT {path} HTTP/1.1\r\ncontent-type: application/json");
    let registered = request(fleet.control(), &head, &body.to_string()).unwrap().json();
    until_routed(fleet.control(), registered["revision"].as_u64().unwrap());
    // The policy came before the registration, down the same stream.
    let failed = (0..20).filter(|_| fleet.call("/") == 500).count();
    assert_eq!(failed, 10, "they take turns");
    let said = until("the failures are told", || Some(status()).filter(|said| !said.contains("all is well")));
    assert!(said.contains("hello fails, since 20"), "{said}");
    let why = "instance hello-2, of version 1.5.0, fails 100.0 % of its calls, the others 0.0 %";
    assert!(said.contains(why), "{said}");
    assert!(said.contains("\n    bellwether instance drain hello hello-2\n"), "{said}");
    let overview = get(fleet.control(), "/bellwether/v1/overview");
    let findings = overview["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{overview}");
    let (kind, version) = (&findings[0]["kind"], &findings[0]["version"]);
    assert_eq!((kind, version, &findings[0]["next"]), (&"errors".into(), &"1.5.0".into(), &"drain".into()));
}

#[test]
fn a_breaker_that_an_operator_opens_is_seen_at_once_and_in_the_metrics() {
    let fleet = Fleet::start();
    let url = fleet.url();
    let force = ["breaker", "force-open", "hello", "--for", "10m", "--reason", "it charges twice"];
    assert!(run(&[&force[..], &["--server", &url]].concat()).status.success());
    let list = stdout(&run(&["breaker", "list", "--server", &url]));
    assert!(list.contains("hello: force_open by ") && list.contains("it charges twice"), "{list}");
    call_until(&fleet, "/", || (fleet.call("/") == 503).then_some(()));
    let is_there = |line: &str| until(line, || fleet.metrics().contains(line).then_some(()));
    is_there("service=\"hello\",route=\"default\",state=\"forced_open\"} 1");
    is_there("bellwether_breaker_transitions_total{proxy=\"");
    is_there("reason=\"breaker_open\"} ");
    is_there("side=\"client\"} ");
}

#[test]
fn a_proxy_that_is_away_is_shown_with_the_age_of_what_it_routes_by() {
    let fleet = Fleet::start();
    let proxy = || get(fleet.control(), "/bellwether/v1/proxies")["proxies"][0].clone();
    let here = proxy();
    assert_eq!((&here["state"], &here["snapshot_age_ns"]), (&"synced".into(), &0.into()), "{here}");
    fleet.gateway.signal(Signal::STOP);
    fleet.gateway.signal(Signal::KILL);
    until("it is away", || (proxy()["connected"] == false).then_some(()));
    until("its table grows old", || (proxy()["snapshot_age_ns"].as_u64()? > 0).then_some(()));
    let listed = stdout(&finish(&mut bellwether(&["proxy", "status", "--server", &fleet.url()])));
    assert!(listed.starts_with("PROXY") && listed.contains("AGE"), "{listed}");
}

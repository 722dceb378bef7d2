//! Everything in one process, with what users have: a rolling restart under load, a policy that is written
//! through the API, and the clients of others.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::{
    io::{BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use serde_json::{Value as Json, json};
use support::{Process, connection::Head, finish, get, request, stderr, stdout, text, until};

const FREE: &str = "127.0.0.1:0";
const INSTANCES: &str = "/bellwether/v1/namespaces/default/services/orders/instances";

/// An instance that answers with its version, and says `connection refused` once it has stopped.
struct Instance {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Instance {
    fn start(version: usize) -> Self {
        let listener = TcpListener::bind(FREE).unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Arc::<AtomicBool>::default());
        let over = stop.clone();
        let server = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Relaxed) {
                    return;
                }
                let over = over.clone();
                thread::spawn(move || serve(&stream, version, &over));
            }
        });
        Self { address, stop, server: Some(server) }
    }
}

/// Ends as a process does: what listens and what is open goes at once.
impl Drop for Instance {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

fn serve(stream: &TcpStream, version: usize, over: &AtomicBool) {
    let mut from = BufReader::new(stream);
    let mut to = stream;
    while let Ok(first) = support::connection::line(&mut from) {
        while support::connection::line(&mut from).is_ok_and(|line| !line.is_empty()) {}
        if over.load(Relaxed) || first.is_empty() {
            // A call that comes after the end is lost, as it would be with the process.
            return;
        }
        let body = format!("v{version}");
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if to.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn up() -> (tempfile::TempDir, Process) {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&["up", "--data", text(folder.path()), "--listen", FREE, "--gateway", FREE]);
    (folder, process)
}

/// Registers an instance, again or for the first time, and answers with its lease.
fn register(control: SocketAddr, id: &str, at: SocketAddr) -> String {
    let body = json!({ "address": at.ip().to_string(), "port": at.port() }).to_string();
    let head = format!("PUT {INSTANCES}/{id} HTTP/1.1\r\ncontent-type: application/json");
    let answer = request(control, &head, &body).unwrap();
    assert!(matches!(answer.status, 200 | 201), "{}", answer.body);
    answer.json()["lease_id"].as_str().unwrap().to_owned()
}

fn call(gateway: SocketAddr, host: &str) -> std::io::Result<(u16, String)> {
    let answer = request(gateway, &format!("GET / HTTP/1.1\r\nhost: {host}"), "")?;
    Ok((answer.status, answer.body))
}

/// Calls one after the other on a kept connection, until told to stop; any failure ends it.
fn client(gateway: SocketAddr, stop: &AtomicBool, calls: &AtomicU64) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = BufReader::new(support::connection::open(gateway).map_err(told)?);
    while !stop.load(Relaxed) {
        stream.get_mut().write_all(b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n").map_err(told)?;
        let head = Head::read(&mut stream).map_err(told)?;
        let mut body = vec![0; head.length];
        stream.read_exact(&mut body).map_err(told)?;
        if head.status != 200 {
            return Err(format!("{}: {}", head.status, String::from_utf8_lossy(&body)));
        }
        calls.fetch_add(1, Relaxed);
    }
    Ok(())
}

#[test]
fn a_rolling_restart_of_all_instances_under_load_fails_no_call_when_they_are_drained() {
    let (_folder, process) = up();
    let (control, gateway) = (process.address("listen"), process.address("gateway"));
    let id = |number: usize| format!("orders-{number}");
    let mut instances: Vec<Instance> = (0..4).map(|_| Instance::start(1)).collect();
    for (number, instance) in instances.iter().enumerate() {
        register(control, &id(number), instance.address);
    }
    until("it routes", || (call(gateway, "orders").ok()?.0 == 200).then_some(()));
    let (stop, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let spawn = |_| {
        let (stop, calls) = (stop.clone(), calls.clone());
        thread::spawn(move || client(gateway, &stop, &calls))
    };
    let clients: Vec<_> = (0..32).map(spawn).collect();
    let more = |count: u64| {
        let enough = calls.load(Relaxed) + count;
        until("more calls", || {
            let failed = clients.iter().any(JoinHandle::is_finished);
            (failed || calls.load(Relaxed) >= enough).then_some(())
        });
    };
    for (number, instance) in instances.iter_mut().enumerate() {
        more(500);
        let drain =
            format!("POST {INSTANCES}/{}/drain HTTP/1.1\r\ncontent-type: application/json", id(number));
        let receipt = until("a safe receipt", || {
            let answer = request(control, &drain, r#"{"timeout":"20s"}"#).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.body);
            Some(answer.json()).filter(|receipt| receipt["safe"] == true)
        });
        assert_eq!(receipt["safe"], true);
        // The process ends, and another one comes in its place, on another port.
        *instance = Instance::start(2);
        register(control, &id(number), instance.address);
    }
    until("only the new version answers", || {
        let versions = (0..20).map(|_| call(gateway, "orders").unwrap().1);
        versions.into_iter().all(|version| version == "v2").then_some(())
    });
    more(500);
    stop.store(true, Relaxed);
    for client in clients {
        client.join().unwrap().expect("no call may fail");
    }
    assert!(calls.load(Relaxed) >= 2_500);
}

#[test]
fn a_policy_that_is_written_through_the_api_is_obeyed_by_the_proxy_within_a_moment() {
    let (folder, process) = up();
    let (control, gateway) = (process.address("listen"), process.address("gateway"));
    let instance = Instance::start(1);
    register(control, "orders-1", instance.address);
    until("it routes", || (call(gateway, "orders").ok()?.0 == 200).then_some(()));
    let url = format!("http://{control}");
    let apply = |spec: Json| {
        let file = folder.path().join("policy.json");
        let document = json!({
            "apiVersion": "bellwether.dev/v1", "kind": "ServicePolicy", "metadata": { "name": "orders" },
            "spec": spec,
        });
        std::fs::write(&file, document.to_string()).unwrap();
        let applied = support::run(&["policy", "apply", "-f", text(&file), "--server", &url]);
        assert!(applied.status.success(), "{}", stderr(&applied));
    };
    apply(json!({ "service": "orders", "rate_limits": [{ "calls": 1, "per": "1h" }] }));
    let refused =
        until("the rate is obeyed", || call(gateway, "orders").ok().filter(|(status, _)| *status == 429));
    assert!(refused.1.contains("BW-"), "{}", refused.1);

    apply(json!({ "service": "orders", "fallback": { "status": 200, "body": "{\"orders\":[]}" } }));
    until("the rate is gone", || (call(gateway, "orders").ok()?.1 == "v1").then_some(()));
    drop(instance);
    until("the fallback stands in", || {
        (call(gateway, "orders").ok()? == (200, "{\"orders\":[]}".to_owned())).then_some(())
    });
    let proxies = get(control, "/bellwether/v1/proxies");
    assert_eq!(proxies["proxies"][0]["policy_state"], "synced");
}

/// Whether a program is there; if not, the test says so.
#[expect(clippy::print_stdout, reason = "a test says what it skipped")]
fn has(program: &str, asked: &str) -> bool {
    let there = Command::new(program).arg(asked).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if there.is_err() {
        println!("skipped: {program} because it is not installed");
    }
    there.is_ok()
}

#[test]
fn curl_and_wrk_find_nothing_wrong_with_the_gateway() {
    let (folder, process) = up();
    let (control, gateway) = (process.address("listen"), process.address("gateway"));
    let instance = Instance::start(1);
    register(control, "orders-1", instance.address);
    until("it routes", || (call(gateway, "orders").ok()?.0 == 200).then_some(()));
    let url = format!("http://{gateway}/");
    if has("curl", "--version") {
        let large = folder.path().join("large");
        std::fs::write(&large, vec![b'x'; 200_000]).unwrap();
        let upload = format!("@{}", text(&large));
        for arguments in [
            vec!["-sS", "--fail"],
            vec!["-sS", "--fail", "-I"],
            vec!["-sS", "--fail", "--http1.0"],
            vec!["-sS", "--fail", "-H", "Connection: close"],
        ] {
            let got = finish(Command::new("curl").args(&arguments).args(["-H", "Host: orders", &url]));
            assert!(got.status.success(), "{arguments:?}: {}", stderr(&got));
        }
        // Several on one connection, and one of an unknown service.
        let two = ["-sS", "-H", "Host: orders", "-w", "%{num_connects}\n", &url, &url];
        let got = stdout(&finish(Command::new("curl").args(two)));
        assert_eq!(got, "v11\nv10\n", "the second one goes by the connection of the first");
        let unknown =
            ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: nobody", "-d", &upload, &url];
        assert_eq!(stdout(&finish(Command::new("curl").args(unknown))), "404");
    }
    if has("wrk", "-v") {
        let load = ["-t2", "-c32", "-d2s", "-H", "Host: orders", &url];
        let got = stdout(&finish(Command::new("wrk").args(load)));
        assert!(got.contains("requests in"), "{got}");
        assert!(!got.contains("Non-2xx") && !got.contains("Socket errors"), "{got}");
    }
}

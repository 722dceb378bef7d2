//! Spans from outside, too many of them and at the wrong moment: the ledger stays exact, memory within its budget,
//! and discovery as quick as before.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod support;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::{Value as Json, json};
use support::{Greeter, Process, get, register, request, until};

/// A request of OTLP: `count` traces of one span, whose ids begin with `batch`.
fn spans(batch: u64, count: u64) -> String {
    let span = |at: u64| {
        json!({
            "traceId": format!("{:016x}{:016x}", batch + 1, at + 1), "spanId": format!("{:016x}", at + 1),
            "name": format!("GET /orders/{{id}}/{}", at % 7), "kind": 2,
            "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000005000000",
            "attributes": [
                { "key": "http.request.method", "value": { "stringValue": "GET" } },
                { "key": "url.path", "value": { "stringValue": format!("/orders/{batch}-{at}") } },
                { "key": "http.response.status_code", "value": { "intValue": "200" } },
            ],
        })
    };
    let spans: Vec<Json> = (0..count).map(span).collect();
    let service = json!({ "key": "service.name", "value": { "stringValue": "orders" } });
    let resource = json!({ "attributes": [service] });
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": spans }] }] }).to_string()
}

/// Sends a batch. The status of the answer, if one came.
fn send(to: SocketAddr, body: &str) -> Option<u16> {
    request(to, "POST /v1/traces HTTP/1.1\r\ncontent-type: application/json", body).ok().map(|of| of.status)
}

fn account(control: SocketAddr) -> Json {
    get(control, "/bellwether/v1/ledger")["spans"].clone()
}

fn count(account: &Json, of: &str) -> u64 {
    account[of].as_u64().unwrap()
}

/// A fact about a process in bytes, as the system's kernel has it.
fn memory(process: &Process, of: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(of)).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

/// How long a look-up takes, the slowest of the middle half of `times`.
#[expect(clippy::disallowed_methods, reason = "latency is what is measured")]
fn latency(control: SocketAddr, times: usize) -> Duration {
    let look_up = |_| {
        let begun = Instant::now();
        get(control, "/bellwether/v1/namespaces/default/services/greeter");
        begun.elapsed()
    };
    let mut took: Vec<Duration> = (0..times).map(look_up).collect();
    took.sort_unstable();
    took[times * 3 / 4]
}

#[test]
fn a_flood_of_ten_times_the_memory_leaves_the_ledger_exact_and_discovery_quick() {
    const BUDGET: u64 = 8 << 20;
    /// What the process takes beside the budget: requests that are read and decoded, the block that is written.
    const BESIDE: u64 = 192 << 20;
    const SENDERS: u64 = 4;
    const BATCH: u64 = 500;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let args = ["server", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let server = Process::start(&[&args[..], &["--spans-memory", "8MiB", "--spans-disk", "64MiB"]].concat());
    let control = server.address("listen");
    let greeter = Greeter::start();
    register(control, "greeter", "greeter-1", greeter.address);
    let (quiet, before) = (latency(control, 100), memory(&server, "VmHWM:"));

    let (offered, taken, next, is_over) =
        (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let flooded = std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    let body = spans(next.fetch_add(1, Relaxed), BATCH);
                    let status = send(control, &body).unwrap();
                    assert!([200, 429, 503].contains(&status), "{status}");
                    taken.fetch_add(if status == 200 { BATCH } else { 0 }, Relaxed);
                    offered.fetch_add(body.len() as u64, Relaxed);
                }
            });
        }
        let mut flooded = Vec::new();
        while offered.load(Relaxed) < 10 * BUDGET {
            flooded.push(latency(control, 20));
        }
        let path = "/bellwether/v1/namespaces/default/services/greeter/instances/greeter-2";
        let head = format!("PUT {path} HTTP/1.1\r\ncontent-type: application/json");
        let body = r#"{"address":"127.0.0.1","port":1}"#;
        assert_eq!(request(control, &head, body).unwrap().status, 201, "registrations go on");
        is_over.store(true, Relaxed);
        flooded
    });
    let ledger = account(control);
    assert_eq!(count(&ledger, "received"), taken.load(Relaxed), "{ledger}");
    assert_eq!(count(&ledger, "received"), count(&ledger, "stored"), "{ledger}");
    assert!(taken.load(Relaxed) > 0 && count(&ledger, "expired") <= count(&ledger, "stored"), "{ledger}");
    let grown = memory(&server, "VmHWM:") - before;
    assert!(grown < BUDGET + BESIDE, "the process grew by {grown} bytes");
    // The senders and the server share the processors, so a look-up waits for its turn, but in no queue of spans.
    let worst = flooded.iter().max().unwrap();
    assert!(*worst < 20 * quiet + Duration::from_millis(250), "{quiet:?} before, {worst:?} in the flood");
}

/// A hundred traces of one span, the thirds of which fail and the fifths of which are slow, each one in ten.
fn mixed(batch: u64) -> String {
    let mut request: Json = serde_json::from_str(&spans(batch, 100)).unwrap();
    let spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array_mut().unwrap();
    for span in spans.iter_mut().skip(3).step_by(10) {
        span["status"] = json!({ "code": 2 });
    }
    for span in spans.iter_mut().skip(5).step_by(10) {
        span["endTimeUnixNano"] = json!("1700000003000000000");
    }
    request.to_string()
}

/// A figure that the process has of itself.
fn figure(control: SocketAddr, name: &str) -> u64 {
    let metrics = request(control, "GET /metrics HTTP/1.1", "").unwrap().body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().parse::<f64>().unwrap() as u64
}

/// What stands for a gigabyte of spaces: a thousand members of gzip, each a megabyte.
fn gzip_bomb() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
    encoder.finish().unwrap().repeat(1_024)
}

/// What stands for 32 GB of spaces in a megabyte: a frame of zstd of blocks that are one byte, 128 KiB times.
fn zstd_bomb() -> Vec<u8> {
    const BLOCK: u32 = 128 << 10;
    let head = (BLOCK << 3 | 1 << 1).to_le_bytes();
    let block = [head[0], head[1], head[2], b' '];
    // The magic number, no size and no checksum, a window of 2 MiB.
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58], block.repeat(1 << 18).as_slice()].concat()
}

/// The status of the answer to a compressed request.
fn post(to: SocketAddr, coding: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(to).unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-encoding: {coding}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let status = String::from_utf8_lossy(&answer);
    status.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap()
}

#[test]
fn a_megabyte_that_stands_for_a_gigabyte_and_more_costs_the_process_a_few() {
    /// What one request may be inflated to, in both of its sizes while it grows, for each of two at a time; and as
    /// much again, which the allocator keeps for the threads that did it before.
    const MOST: u64 = 96 << 20;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Process::start(&["server", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let control = server.address("listen");
    assert_eq!(send(control, &spans(0, 10)), Some(200));
    let before = memory(&server, "VmHWM:");
    for (coding, bomb) in [("gzip", gzip_bomb()), ("zstd", zstd_bomb())] {
        assert!((1 << 20..2 << 20).contains(&bomb.len()), "{coding}: {} bytes", bomb.len());
        for _ in 0..2 {
            std::thread::scope(|scope| {
                let send = || assert_eq!(post(control, coding, &bomb), 413, "{coding}");
                (0..2).for_each(|_| drop(scope.spawn(send)));
            });
        }
        let grown = memory(&server, "VmHWM:") - before;
        println!("{coding}: the process grew by {} KiB", grown >> 10);
        assert!(grown < MOST, "{coding}: the process grew by {grown} bytes");
    }
    assert_eq!(count(&account(control), "received"), 10, "what is refused as a whole is not received");
    assert_eq!(figure(control, "bellwether_span_requests_refused_total{reason=\"too_large\"}"), 8);
}

#[test]
fn tail_sampling_keeps_all_that_failed_or_was_slow_and_the_rest_at_its_rate_also_across_kills() {
    const RATE: u64 = 40;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let sampling = format!(
        "errors_per_second=1000,slow=1s,slow_per_second=1000,rare_below=0,share=1,others_per_second={RATE},\
         quiet=100ms,longest=1s,hold=1s"
    );
    let args = ["server", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let start = || Process::start(&[&args[..], &["--tail-sampling", &sampling]].concat());
    let found = |control: SocketAddr, batch: u64, at: u64| {
        let path = format!("GET /bellwether/v1/traces/{:016x}{:016x} HTTP/1.1", batch + 1, at + 1);
        request(control, &path, "").unwrap().status == 200
    };

    let server = start();
    (0..5).for_each(|batch| assert_eq!(send(server.address("listen"), &mixed(batch)), Some(200)));
    server.kill();
    let begun = begun();
    let server = start();
    let control = server.address("listen");
    (5..10).for_each(|batch| assert_eq!(send(control, &mixed(batch)), Some(200)));
    assert_eq!(count(&account(control), "received"), 1_000);
    let decided = |verdict: &str| {
        figure(control, &format!("bellwether_tail_sampling_traces_total{{verdict=\"{verdict}\"}}"))
    };
    until("everything is decided about, and sealed", || {
        let (waiting, account) =
            (figure(control, "bellwether_tail_sampling_waiting_spans"), account(control));
        (waiting == 0 && count(&account, "sampled_out") == decided("sampled_out")).then_some(())
    });
    let ledger = account(control);
    assert_eq!((decided("error"), decided("slow")), (100, 100));
    let (kept, most) = (decided("share"), RATE * (begun.elapsed().as_secs() + 2));
    assert!((RATE..=most).contains(&kept), "{kept} are kept beside them, at most {most}");
    assert_eq!(count(&ledger, "stored"), 200 + kept, "{ledger}");
    assert_eq!(count(&ledger, "stored") + count(&ledger, "sampled_out"), 1_000, "{ledger}");

    server.kill();
    let server = start();
    let control = server.address("listen");
    assert_eq!(account(control), ledger);
    for batch in 0..10 {
        assert!((3..100).step_by(10).all(|at| found(control, batch, at)), "those that failed, {batch}");
        assert!((5..100).step_by(10).all(|at| found(control, batch, at)), "those that were slow, {batch}");
    }
    let others = (0..10).map(|batch| (0..100).filter(|at| found(control, batch, *at)).count()).sum::<usize>();
    assert_eq!(others as u64, 200 + kept);
}

#[expect(clippy::disallowed_methods, reason = "a rate is what is looked at")]
fn begun() -> Instant {
    Instant::now()
}

#[test]
fn kills_under_a_load_of_spans_lose_none_that_was_acknowledged_and_no_count() {
    const KILLS: u64 = 5;
    const SENDERS: u64 = 3;
    const BATCH: u64 = 20;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let start = || Process::start(&["server", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let (acknowledged, next) = (Mutex::new(Vec::new()), AtomicU64::new(0));
    for kill in 1..=KILLS {
        let server = start();
        let control = server.address("listen");
        std::thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| {
                    loop {
                        let batch = next.fetch_add(1, Relaxed);
                        match send(control, &spans(batch, BATCH)) {
                            Some(200) => acknowledged.lock().unwrap().push(batch),
                            Some(status) => panic!("{status}"),
                            // It was killed.
                            None => return,
                        }
                    }
                });
            }
            let before = acknowledged.lock().unwrap().len();
            support::until("batches are acknowledged", || {
                (acknowledged.lock().unwrap().len() > before + 10 * kill as usize).then_some(())
            });
            server.kill();
        });
    }
    let server = start();
    let control = server.address("listen");
    let ledger = account(control);
    let acknowledged = acknowledged.into_inner().unwrap();
    let told = acknowledged.len() as u64 * BATCH;
    // Of each sender, one batch may have become durable whose answer the kill cut off.
    assert!(
        (told..=told + KILLS * SENDERS * BATCH).contains(&count(&ledger, "received")),
        "{told}: {ledger}"
    );
    assert_eq!(count(&ledger, "received"), count(&ledger, "stored"), "{ledger}");
    for batch in acknowledged {
        for at in [1, BATCH] {
            get(control, &format!("/bellwether/v1/traces/{:016x}{at:016x}", batch + 1));
        }
    }
}

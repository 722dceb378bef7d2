//! One call through all four pillars: found by name, guarded, traced, measured; and all of it found again
//! after `kill -9`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::net::SocketAddr;

use serde_json::Value as Json;
use support::{Greeter, Process, get, register, request, text, until, until_routed};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLS: u64 = 21;

/// Calls the greeter through the gateway, once within a trace that is known.
fn make_calls(gateway: SocketAddr) {
    for number in 0..CALLS {
        let trace = if number == 0 {
            format!("\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01")
        } else {
            String::new()
        };
        let answer = request(gateway, &format!("GET /hello HTTP/1.1\r\nHost: greeter{trace}"), "").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    }
}

/// What the four pillars know of the calls.
#[derive(Debug, PartialEq)]
struct Found {
    instances: Vec<(String, String, u64)>,
    span_ids: Vec<String>,
    calls: u64,
    p50: u64,
    registered_by: String,
    ledger: Json,
}

/// Looks for everything; `None` as long as something is not there yet.
fn find(control: SocketAddr, calls: u64) -> Option<Found> {
    let service = get(control, "/bellwether/v1/namespaces/default/services/greeter?status=up");
    let instance = |instance: &Json| {
        let text = |key: &str| instance[key].as_str().unwrap_or_default().to_owned();
        (text("id"), text("address"), instance["port"].as_u64().unwrap_or_default())
    };
    let instances = service["instances"].as_array()?.iter().map(instance).collect();

    let trace = request(control, &format!("GET /bellwether/v1/traces/{TRACE} HTTP/1.1"), "").ok()?;
    if trace.status != 200 {
        return None;
    }
    let trace = trace.json();
    let mut span_ids: Vec<String> = trace["spans"]
        .as_array()?
        .iter()
        .filter_map(|span| Some(span["span_id"].as_str()?.to_owned()))
        .collect();
    span_ids.sort();

    let red = get(control, "/bellwether/v1/red?namespace=default&window=1h");
    let row = red["services"].as_array()?.iter().find(|row| row["service"] == "greeter")?["red"].clone();
    if row["calls"].as_u64()? < calls {
        return None;
    }

    // A call and its attempt are two spans; the report with the last of them may come after its figures.
    let ledger = get(control, "/bellwether/v1/ledger");
    if ledger["spans"]["received"].as_u64()? < 2 * calls {
        return None;
    }

    let events = get(control, "/bellwether/v1/events?kind=instance&service=greeter");
    let registered =
        events["events"].as_array()?.iter().find(|event| event["action"] == "registered")?.clone();

    Some(Found {
        instances,
        span_ids,
        calls: row["calls"].as_u64()?,
        p50: row["p50_ns"]["estimate"].as_u64()?,
        registered_by: registered["actor"].as_str()?.to_owned(),
        ledger,
    })
}

/// `received = stored + sampled_out + dropped + spooled`, for both kinds.
fn assert_balances(ledger: &Json) {
    for kind in ["spans", "samples"] {
        let account = &ledger[kind];
        let number = |key: &str| account[key].as_u64().unwrap_or_else(|| panic!("no {key} in {account}"));
        let dropped: u64 = account["dropped"].as_object().unwrap().values().filter_map(Json::as_u64).sum();
        let accounted = number("stored") + number("sampled_out") + dropped + number("spooled");
        assert_eq!(number("received"), accounted, "{kind}: {account}");
        assert!(number("stored") > 0, "{kind}: {account}");
    }
}

#[test]
fn a_call_is_found_in_all_four_pillars_and_found_again_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let arguments = ["up", "--data", text(&data), "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0"];
    let up = Process::start(&arguments);
    assert_eq!(up.banner["data"].as_str(), Some(text(&data)));
    assert_eq!(up.banner["pid"].as_u64(), Some(up.pid().into()));
    let (control, gateway) = (up.address("listen"), up.address("gateway"));

    let greeter = Greeter::start();
    let registered = register(control, "greeter", "greeter-1", greeter.address);
    assert!(registered["lease_id"].as_str().is_some_and(|lease| !lease.is_empty()));
    until_routed(control, registered["revision"].as_u64().unwrap());
    make_calls(gateway);
    let forwarded = greeter.traceparents.lock().unwrap().clone();
    assert_eq!(forwarded.iter().filter(|header| header.contains(TRACE)).count(), 1, "{forwarded:?}");

    let before = until("the calls are found", || find(control, CALLS));
    assert_eq!(before.calls, CALLS);
    let port = u64::from(greeter.address.port());
    assert_eq!(before.instances, [("greeter-1".to_owned(), "127.0.0.1".to_owned(), port)]);
    assert_eq!(before.span_ids.len(), 2, "the call at the gateway, and its attempt: {:?}", before.span_ids);
    assert!(before.p50 > 0);
    assert_balances(&before.ledger);

    up.kill();
    let again = Process::start(&arguments);
    let control = again.address("listen");
    let after = until("the calls are found again", || find(control, CALLS));
    assert_eq!(after, before);

    // And calls go on, by what was found.
    make_calls(again.address("gateway"));
    let more = until("the new calls are found", || find(control, 2 * CALLS));
    assert_balances(&more.ledger);
    assert_eq!(again.terminate(), (Some(0), String::new()));
}

#[test]
fn a_gateway_alone_keeps_calling_without_its_control_plane_and_reports_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Process::start(&["server", "--data", text(&data), "--listen", "127.0.0.1:0"]);
    let control = server.address("listen");
    let gateway =
        Process::start(&["gateway", "--control", &format!("http://{control}"), "--listen", "127.0.0.1:0"]);

    let greeter = Greeter::start();
    let registered = register(control, "greeter", "greeter-1", greeter.address);
    until_routed(control, registered["revision"].as_u64().unwrap());
    make_calls(gateway.address("gateway"));
    let before = until("the calls are found", || find(control, CALLS));
    assert_eq!((before.calls, before.span_ids.len()), (CALLS, 2));
    assert_balances(&before.ledger);

    server.kill();
    make_calls(gateway.address("gateway"));

    let again = Process::start(&["server", "--data", text(&data), "--listen", &control.to_string()]);
    let after = until("the calls of the outage are found as well", || find(control, 2 * CALLS));
    assert_eq!(after.calls, 2 * CALLS, "each call is counted, and none twice");
    assert_eq!((&after.instances, &after.registered_by), (&before.instances, &before.registered_by));
    assert_eq!(after.span_ids.len(), 4, "both calls of the known trace");
    assert_balances(&after.ledger);

    assert_eq!(gateway.terminate(), (Some(0), String::new()));
    assert_eq!(again.terminate(), (Some(0), String::new()));
}

//! The demo: everything real, started and stopped as a viewer would.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::net::{SocketAddr, TcpListener};

use rustix::process::Signal;
use serde_json::Value as Json;
use support::{Process, bellwether, get, is_alive, kill, register, request, run, stderr, until};

const FREE: [&str; 4] = ["--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0"];

/// The processes of the shop. Should they outlive the demo, they do not outlive the test.
struct Shop(Vec<u32>);

impl Shop {
    fn of(demo: &Process) -> Self {
        let services = demo.banner["services"].as_array().unwrap();
        Self(services.iter().map(|service| service["pid"].as_u64().unwrap().try_into().unwrap()).collect())
    }

    fn until_gone(&self) {
        until("no process of the shop is left", || self.0.iter().all(|pid| !is_alive(*pid)).then_some(()));
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        for pid in self.0.iter().filter(|pid| is_alive(**pid)) {
            kill(*pid);
        }
    }
}

/// A trace in which all of these were called.
fn trace_of(control: SocketAddr, services: &[&str]) -> Option<Json> {
    let traces = get(control, "/bellwether/v1/traces?namespace=default&limit=100");
    for summary in traces["traces"].as_array()? {
        let trace = get(control, &format!("/bellwether/v1/traces/{}", summary["trace_id"].as_str()?));
        let spans = trace["spans"].as_array()?;
        let called =
            |service: &&str| spans.iter().any(|span| span["attributes"]["bellwether.service"] == *service);
        if services.iter().all(called) {
            return Some(trace.clone());
        }
    }
    None
}

/// Instances that are up, by service.
fn up(control: SocketAddr) -> Vec<(String, u64)> {
    let services = get(control, "/bellwether/v1/namespaces/default/services");
    let row = |of: &Json| Some((of["service"].as_str()?.to_owned(), of["instances"]["up"].as_u64()?));
    services["services"].as_array().unwrap().iter().filter_map(row).collect()
}

/// How many instances each service of the shop has.
const SHOP: [(&str, u64); 6] = [
    ("cart", 2),
    ("checkout", 2),
    ("inventory", 3),
    ("payments", 2),
    ("recommendations", 2),
    ("storefront", 2),
];

#[test]
fn the_shop_is_open_traced_and_gone_after_sigterm() {
    let mut demo = Process::start(&[&["demo"], &FREE[..]].concat());
    let (control, gateway, shop) = (demo.address("listen"), demo.address("gateway"), Shop::of(&demo));
    assert_eq!(up(control), SHOP.map(|(service, count)| (service.to_owned(), count)));
    assert_eq!(demo.banner["console"], format!("http://{control}/"));
    let shown = request(gateway, "GET / HTTP/1.1\r\nHost: storefront\r\nx-user-id: ada", "").unwrap();
    assert_eq!(shown.status, 200);
    assert_eq!(shown.json()["recommendations"].as_array().unwrap().len(), 2, "{}", shown.body);
    let bought = request(gateway, "POST /orders HTTP/1.1\r\nHost: storefront\r\nx-user-id: ada", "").unwrap();
    assert_eq!((bought.status, &bought.json()["order"]), (201, &"paid".into()), "{}", bought.body);

    let ways = [
        &["storefront", "inventory", "recommendations"][..],
        &["storefront", "checkout", "cart", "inventory", "payments"],
    ];
    for way in ways {
        let trace = until("one trace leads through all services of a visit", || trace_of(control, way));
        assert_eq!(trace["incomplete"], false, "{trace}");
    }
    until("the customers' calls are measured", || {
        let red = get(control, "/bellwether/v1/red?window=5m");
        let calls = |service: &str| {
            red["services"].as_array()?.iter().find(|row| row["service"] == service)?["red"]["calls"].as_u64()
        };
        (calls("storefront")? >= 3 && calls("inventory")? >= 3).then_some(())
    });

    let data = demo.banner["data"].as_str().unwrap().to_owned();
    demo.signal(Signal::TERM);
    assert_eq!(demo.ended(), (Some(0), String::new()));
    shop.until_gone();
    assert!(!std::path::Path::new(&data).exists(), "nothing is left behind");
}

#[test]
fn an_order_that_cannot_be_paid_is_queued_and_paid_later() {
    let demo = Process::start(&[&["demo", "--no-load"], &FREE[..]].concat());
    let (control, gateway) = (demo.address("listen"), demo.address("gateway"));
    let _shop = Shop::of(&demo);
    let breaker = |action: &str| {
        let path = "/bellwether/v1/namespaces/default/services/payments/breaker";
        let lasts = if action == "reset" { Json::Null } else { "1m".into() };
        let body = serde_json::json!({ "action": action, "for": lasts, "reason": "a test" });
        let head = format!("POST {path} HTTP/1.1\r\ncontent-type: application/json");
        let answer = request(control, &head, &body.to_string()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    let order = || request(gateway, "POST /orders HTTP/1.1\r\nHost: storefront", "").unwrap();
    breaker("force_open");
    let queued = until("payments are refused", || Some(order()).filter(|order| order.status == 202));
    assert_eq!(queued.json()["order"], "queued", "{}", queued.body);
    assert_eq!(queued.json()["why"], "payments answered 503 Service Unavailable", "{}", queued.body);
    breaker("reset");
    let services = demo.banner["services"].as_array().unwrap();
    let checkouts = services.iter().filter(|of| of["service"] == "checkout");
    let checkouts: Vec<SocketAddr> =
        checkouts.map(|of| of["address"].as_str().unwrap().parse().unwrap()).collect();
    until("what waited is paid", || {
        let orders: Vec<Json> = checkouts.iter().map(|at| get(*at, "/orders")).collect();
        let sum = |count: &str| orders.iter().filter_map(|of| of[count].as_u64()).sum::<u64>();
        (sum("paid_late") >= 1 && sum("waiting") == 0).then_some(())
    });
    assert_eq!(demo.terminate().0, Some(0));
}

#[test]
fn the_shop_closes_when_the_demo_is_killed() {
    let demo = Process::start(&[&["demo", "--no-load"], &FREE[..]].concat());
    let (shop, data) = (Shop::of(&demo), demo.banner["data"].as_str().unwrap().to_owned());
    // Without customers, nobody has called anything.
    let red = get(demo.address("listen"), "/bellwether/v1/red?window=5m");
    assert_eq!(red["services"], Json::Array(Vec::new()));
    demo.kill();
    shop.until_gone();
    // What a killed process leaves behind, nobody else can tidy up.
    std::fs::remove_dir_all(std::path::Path::new(&data).parent().unwrap()).unwrap();
}

#[test]
fn the_demo_ends_by_itself_when_its_time_is_up() {
    let mut demo = Process::start(&[&["demo", "--for", "1s"], &FREE[..]].concat());
    let shop = Shop::of(&demo);
    assert_eq!(demo.ended(), (Some(0), String::new()));
    shop.until_gone();
}

#[test]
fn a_taken_port_is_said_and_the_next_one_used() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("said");
    let mut command = bellwether(&["demo", "--no-load", "--listen", &listen, "--gateway", "127.0.0.1:0"]);
    command.stderr(std::fs::File::create(&said).unwrap());
    let demo = Process::start_with(command);
    assert_ne!(demo.address("listen").port(), port);
    let said = std::fs::read_to_string(said).unwrap();
    assert!(said.contains(&listen) && said.contains(&demo.address("listen").to_string()), "{said}");
    assert_eq!(demo.terminate().0, Some(0));
}

/// Does something to the shop, as a viewer would, and gives the exit code and what was said.
fn act(control: SocketAddr, words: &[&str]) -> (Option<i32>, String) {
    let server = format!("http://{control}");
    let output = run(&[&["demo"], words, &["--server", &server]].concat());
    (output.status.code(), stderr(&output))
}

fn events(control: SocketAddr, kind: &str) -> Vec<Json> {
    let page = get(control, &format!("/bellwether/v1/events?kind={kind}&limit=1000"));
    page["events"].as_array().unwrap().clone()
}

/// The state of the breaker of payments, once a call has made one.
fn breaker(control: SocketAddr) -> Option<String> {
    let page = get(control, "/bellwether/v1/breakers?service=payments");
    page["breakers"].as_array()?.first()?["state"].as_str().map(str::to_owned)
}

/// The versions and statuses of a service's instances.
fn instances(control: SocketAddr, service: &str) -> Vec<(String, String)> {
    let page = get(control, &format!("/bellwether/v1/namespaces/default/services/{service}"));
    let word = |of: &Json, key: &str| of[key].as_str().unwrap_or_default().to_owned();
    let of = page["instances"].as_array().unwrap();
    of.iter().map(|of| (word(of, "version"), word(of, "status"))).collect()
}

/// How many spans were accounted for, and how many of those were kept or given up.
fn ledger(control: SocketAddr) -> (u64, u64) {
    let spans = get(control, "/bellwether/v1/ledger")["spans"].clone();
    let dropped: u64 =
        spans["dropped"].as_object().map_or(0, |of| of.values().filter_map(Json::as_u64).sum());
    let kept =
        ["stored", "sampled_out", "spooled"].iter().filter_map(|key| spans[*key].as_u64()).sum::<u64>();
    (spans["received"].as_u64().unwrap(), kept + dropped)
}

#[test]
fn discovery_breaker_trace_metric_and_event_tell_one_story() {
    let demo = Process::start(&[&["demo", "--no-load"], &FREE[..]].concat());
    let (control, gateway) = (demo.address("listen"), demo.address("gateway"));
    let _shop = Shop::of(&demo);
    let mut calls = 0;
    let mut order = || {
        calls += 1;
        request(gateway, "POST /orders HTTP/1.1\r\nHost: storefront", "").unwrap().status
    };
    assert_eq!(order(), 201);

    // Payments fail: the breaker opens, and from then on orders are queued without asking payments.
    assert_eq!(act(control, &["break", "payments", "--errors", "100%"]).0, Some(0));
    until("the breaker is open", || {
        assert!(matches!(order(), 201 | 202), "an order is paid or queued, whatever happens");
        (breaker(control)? == "open").then_some(())
    });
    assert_eq!(order(), 202);
    let done = events(control, "instance").into_iter().find(|event| event["action"] == "demo_break").unwrap();
    assert_eq!((&done["service"], &done["details"]["errors_percent"]), (&"payments".into(), &"100".into()));

    // The event of the opening names calls that filled the window. Their traces are there, and lead to payments.
    let opened = until("the opening is an event", || {
        events(control, "breaker").into_iter().find(|event| event["action"] == "open")
    });
    assert_eq!(opened["service"], "payments", "{opened}");
    let exemplars = opened["exemplar_trace_ids"].as_array().unwrap();
    assert!(!exemplars.is_empty(), "{opened}");
    for id in exemplars {
        let path = format!("/bellwether/v1/traces/{}", id.as_str().unwrap());
        let trace = until("the exemplar can be read", || {
            request(control, &format!("GET {path} HTTP/1.1"), "").ok().filter(|answer| answer.status == 200)
        });
        let trace = trace.json();
        let mut spans = trace["spans"].as_array().unwrap().iter();
        assert!(spans.any(|span| span["attributes"]["bellwether.service"] == "payments"), "{trace}");
    }

    // Healed, the breaker finds out by itself, and orders are paid again.
    assert_eq!(act(control, &["heal"]).0, Some(0));
    until("the breaker has closed, and orders are paid", || {
        (order() == 201 && breaker(control)? == "closed").then_some(())
    });

    // As many calls as were made were counted by the proxy, measured, and traced.
    until("every call is measured once", || {
        let red = get(control, "/bellwether/v1/red?window=5m");
        let row = red["services"].as_array()?.iter().find(|row| row["service"] == "storefront")?.clone();
        (row["red"]["calls"].as_u64()? == calls).then_some(())
    });
    let traces = until("every call has a trace", || {
        let traces = get(control, "/bellwether/v1/traces?service=storefront&limit=1000");
        let count = traces["traces"].as_array()?.len() as u64;
        assert!(count <= calls, "{count} traces of {calls} calls");
        (count == calls).then_some(count)
    });
    assert_eq!(traces, calls);
    until("the ledger balances", || {
        let (received, accounted) = ledger(control);
        (received > 0 && received == accounted).then_some(())
    });
    assert_eq!(demo.terminate().0, Some(0));
}

#[test]
fn instances_are_killed_replaced_and_healed_only_where_they_are_of_a_demo() {
    let demo = Process::start(&[&["demo", "--no-load"], &FREE[..]].concat());
    let (control, gateway) = (demo.address("listen"), demo.address("gateway"));
    let _shop = Shop::of(&demo);
    let all_of = |service: &str, version: &str| {
        let instances = instances(control, service);
        let is_it = |(of, status): &(String, String)| of == version && status == "up";
        (instances.len() > 1 && instances.iter().all(is_it)).then_some(())
    };
    assert_eq!(act(control, &["break", "--kill", "inventory-2"]).0, Some(0));
    until("the killed instance is down", || {
        instances(control, "inventory").iter().any(|(_, status)| status == "down").then_some(())
    });
    let shown = request(gateway, "GET / HTTP/1.1\r\nHost: storefront", "").unwrap();
    assert_eq!(shown.status, 200, "the others go on: {}", shown.body);
    assert_eq!(act(control, &["break", "--release", "payments", "1.5.0"]).0, Some(0));
    until("the release is out", || all_of("payments", "1.5.0"));
    assert_eq!(act(control, &["heal"]).0, Some(0));
    until("the killed instance is back", || all_of("inventory", "1.4.0"));
    until("the release is rolled back", || all_of("payments", "1.4.0"));

    let (code, said) = act(control, &["break", "nobody", "--latency", "2s"]);
    assert!(code == Some(4) && said.contains("nobody"), "{code:?} {said}");
    let (code, said) = act(control, &["break", "--kill", "inventory-9"]);
    assert!(code == Some(4) && said.contains("inventory-9"), "{code:?} {said}");
    let (code, said) = act(control, &["break", "payments", "--errors", "101%"]);
    assert!(code == Some(2) && said.contains("errors"), "{code:?} {said}");
    let (code, said) = act(control, &["break", "payments"]);
    assert!(code == Some(2) && said.contains("latency"), "{code:?} {said}");
    // What is not part of a demo cannot be broken.
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    register(control, "mine", "mine-1", own.local_addr().unwrap());
    assert_eq!(act(control, &["break", "mine", "--errors", "10%"]).0, Some(4));
    assert_eq!(demo.terminate().0, Some(0));
}

#[test]
fn the_story_is_told_and_no_visit_fails_without_the_control_plane_or_in_a_roll() {
    let mut demo = Process::start(&[&["demo", "--story=1s"], &FREE[..]].concat());
    let control = demo.address("listen");
    let _shop = Shop::of(&demo);
    let told = demo.line();
    assert_eq!(told["story"], "told", "{told}");
    assert_eq!(told["failed_without_control_plane"], 0, "{told}");
    assert_eq!(told["failed_during_roll"], 0, "{told}");
    assert!(told["sales"]["queued"].as_u64() > Some(0) && told["sales"]["paid"].as_u64() > Some(0), "{told}");
    // What was done on purpose outlived the kill of the control plane, and stands among what happened.
    let acts = events(control, "instance");
    for action in ["demo_break", "demo_kill", "demo_release", "demo_heal"] {
        assert!(acts.iter().any(|event| event["action"] == action), "{action}");
    }
    demo.signal(Signal::TERM);
    assert_eq!(demo.ended().0, Some(0));
}

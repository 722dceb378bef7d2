//! An operator's word on a weight, through a real gateway: the share of the calls follows it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::net::SocketAddr;

use serde_json::{Value as Json, json};
use support::{Greeter, Process, get, register, request, text, until_routed};

const SERVICE: &str = "/bellwether/v1/namespaces/default/services/cart";
/// As many turns as a full share and a quarter of one have together.
const TURN: usize = 5;
const TURNS: usize = 20;

fn say(control: SocketAddr, method: &str, path: &str, body: &Json) -> Json {
    let head = format!("{method} {path} HTTP/1.1\r\ncontent-type: application/json");
    let answer = request(control, &head, &body.to_string()).unwrap();
    assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.body);
    if answer.status == 204 { Json::Null } else { answer.json() }
}

fn weigh(control: SocketAddr, weight: u64) {
    let path = format!("{SERVICE}/instances/cart-1/weight");
    let seen = say(control, "PUT", &path, &json!({"weight": weight, "reason": "a canary"}));
    until_routed(control, seen["revision"].as_u64().unwrap());
}

fn balance(control: SocketAddr, load_balancing: &Json) {
    let policy = json!({
        "apiVersion": "bellwether.dev/v1", "kind": "ServicePolicy", "metadata": {"name": "cart"},
        "spec": {"service": "cart", "load_balancing": load_balancing},
    });
    let made = say(control, "PUT", "/bellwether/v1/namespaces/default/policies/cart", &policy);
    until_routed(control, made["revision"].as_u64().unwrap());
}

/// How many of the calls come to each.
fn shares(gateway: SocketAddr, instances: [&Greeter; 2]) -> [usize; 2] {
    let seen = |of: &Greeter| of.traceparents.lock().unwrap().len();
    let before = instances.map(seen);
    for user in 0..TURN * TURNS {
        let head = format!("GET / HTTP/1.1\r\nHost: cart\r\nx-user-id: {user}");
        assert_eq!(request(gateway, &head, "").unwrap().status, 200);
    }
    let after = instances.map(seen);
    [after[0] - before[0], after[1] - before[1]]
}

#[test]
fn calls_follow_a_weight_of_an_operators_in_turns_and_on_rings_until_it_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let free = "127.0.0.1:0";
    let up = Process::start(&["up", "--data", text(&data), "--listen", free, "--gateway", free]);
    let (control, gateway) = (up.address("listen"), up.address("gateway"));
    let greeters = [Greeter::start(), Greeter::start()];
    for (id, greeter) in ["cart-1", "cart-2"].into_iter().zip(&greeters) {
        register(control, "cart", id, greeter.address);
    }
    let greeters = [&greeters[0], &greeters[1]];
    balance(control, &json!({"algorithm": "round_robin"}));
    assert_eq!(shares(gateway, greeters), [50, 50]);
    weigh(control, 25);
    assert_eq!(shares(gateway, greeters), [TURNS, 4 * TURNS], "a quarter for the one is a fifth of all");
    weigh(control, 0);
    assert_eq!(shares(gateway, greeters), [0, TURN * TURNS], "with 0 it gets none");

    // Keys go by the same word, and to whom the registry says.
    balance(control, &json!({"algorithm": "ring", "hash_key": {"header": "x-user-id"}}));
    assert_eq!(shares(gateway, greeters), [0, TURN * TURNS]);
    weigh(control, 25);
    let owned = (0..TURN * TURNS)
        .filter(|user| get(control, &format!("{SERVICE}/owner?key={user}"))["instance"]["id"] == "cart-1");
    let owned = owned.count();
    assert!((1..TURN * TURNS / 2).contains(&owned), "{owned}");
    assert_eq!(shares(gateway, greeters), [owned, TURN * TURNS - owned]);

    say(control, "DELETE", &format!("{SERVICE}/instances/cart-1/weight"), &Json::Null);
    let freed = get(control, &format!("{SERVICE}/instances/cart-1"))["revision"].as_u64().unwrap();
    until_routed(control, freed);
    let [of_first, _] = shares(gateway, greeters);
    assert!(of_first > owned, "it has a full share again: {of_first} and not {owned}");
}

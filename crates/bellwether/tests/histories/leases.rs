//! What an outage of the server does to leases: nothing that their holders could feel.

use serde_json::{Value as Json, json};

use crate::{
    client::NAMESPACE,
    stand::Stand,
    support::{Answer, connection::Connection, until},
};

const TTL: &str = "2s";

/// Asks the process that runs.
fn ask(stand: &Stand, method: &str, path: &str, lease: Option<&str>, body: &str) -> Answer {
    let path = format!("{NAMESPACE}/services/orders/instances/{path}");
    Connection::new(stand.life().address).ask(method, &path, lease, body).unwrap()
}

fn register(stand: &Stand, id: &str) -> String {
    let body = json!({ "address": "10.0.0.7", "port": 8080, "ttl": TTL, "deregister_after": "1h" });
    let answer = ask(stand, "PUT", id, None, &body.to_string());
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()["lease_id"].as_str().unwrap().to_owned()
}

fn status(stand: &Stand, id: &str) -> Json {
    ask(stand, "GET", id, None, "").json()["status"].clone()
}

fn until_it_is(stand: &Stand, id: &str, wanted: &str) {
    until(&format!("{id} is {wanted}"), || (status(stand, id) == wanted).then_some(()));
}

fn heartbeat(stand: &Stand, id: &str, lease: &str) -> u16 {
    ask(stand, "POST", &format!("{id}/heartbeat"), Some(lease), "").status
}

#[test]
fn a_lease_has_one_ttl_of_grace_after_an_outage_longer_than_that() {
    let (stand, witness) = (Stand::start(), Stand::start());
    register(&stand, "lapsed");
    until_it_is(&stand, "lapsed", "down");
    let (kept, silent) = (register(&stand, "kept"), register(&stand, "silent"));
    stand.kill();
    // Another server's lease of the same length says when the outage has lasted long enough.
    register(&witness, "clock");
    until_it_is(&witness, "clock", "down");
    stand.begin();

    assert_eq!([status(&stand, "kept"), status(&stand, "silent")], ["up", "up"]);
    assert_eq!(status(&stand, "lapsed"), "down", "who was down before is not up by the server's restart");
    // The grace ends, for those who stay silent.
    until("the silent one is down", || {
        assert_eq!(heartbeat(&stand, "kept", &kept), 204);
        (status(&stand, "silent") == "down").then_some(())
    });
    assert_eq!(status(&stand, "kept"), "up");
    assert_eq!(heartbeat(&stand, "silent", &silent), 204, "its lease is still its own");
    assert_eq!(status(&stand, "silent"), "up");
}

#[test]
fn a_lapse_outlives_the_server_with_its_reason() {
    let stand = Stand::start();
    register(&stand, "lapsed");
    until_it_is(&stand, "lapsed", "down");
    let before = ask(&stand, "GET", "lapsed", None, "").json();
    stand.kill();
    stand.begin();
    assert_eq!(ask(&stand, "GET", "lapsed", None, "").json(), before);
}

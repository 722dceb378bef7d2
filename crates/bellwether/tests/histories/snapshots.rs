//! A journal that was shortened by a snapshot: whoever comes after a restart sees no difference.

use serde_json::{Value as Json, json};

use crate::{
    client::NAMESPACE,
    stand::Stand,
    support::{connection::Connection, events::Events},
};

/// Registrations of some 64 KiB each that are more than a journal holds before it is shortened.
const FILL: usize = 640;

fn ask(connection: &mut Connection, what: (&str, &str), lease: Option<&str>, body: &Json) -> (u16, Json) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = connection.ask(what.0, &format!("{NAMESPACE}/services/{}", what.1), lease, &body).unwrap();
    (answer.status, if answer.body.is_empty() { Json::Null } else { answer.json() })
}

#[test]
fn a_shortened_journal_keeps_leases_removals_and_every_revision() {
    let stand = Stand::start();
    let mut connection = Connection::new(stand.life().address);
    let small = json!({ "address": "10.0.0.7", "port": 8080 });
    let (_, kept) = ask(&mut connection, ("PUT", "orders/instances/kept"), None, &small);
    let (_, gone) = ask(&mut connection, ("PUT", "orders/instances/gone"), None, &small);
    let lease = |registered: &Json| registered["lease_id"].as_str().unwrap().to_owned();
    let (kept, gone) = (lease(&kept), lease(&gone));
    assert_eq!(ask(&mut connection, ("DELETE", "orders/instances/gone"), Some(&gone), &Json::Null).0, 204);
    let (_, before) = ask(&mut connection, ("GET", "orders"), None, &Json::Null);
    let mut revision = 0;
    for number in 0..FILL {
        let text = |at: usize| (format!("key-{at}"), (number % 10).to_string().repeat(1_000));
        let metadata: std::collections::BTreeMap<_, _> = (0..64).map(text).collect();
        let large = json!({ "address": "10.0.0.7", "port": 8080, "metadata": metadata });
        let (_, registered) = ask(&mut connection, ("PUT", "stock/instances/large"), None, &large);
        revision = registered["revision"].as_u64().unwrap();
    }
    stand.kill();
    stand.begin();

    let address = stand.life().address;
    let mut connection = Connection::new(address);
    let (_, after) = ask(&mut connection, ("GET", "orders"), None, &Json::Null);
    assert_eq!(after["instances"], before["instances"]);
    let told = |service: &Json| service["revision"].as_u64().unwrap();
    assert!(told(&after) >= told(&before), "a service's revision went back: {before} then {after}");
    let beat = |connection: &mut Connection, id: &str, lease: &str| {
        ask(connection, ("POST", &format!("orders/instances/{id}/heartbeat")), Some(lease), &Json::Null).0
    };
    assert_eq!([beat(&mut connection, "kept", &kept), beat(&mut connection, "gone", &gone)], [204, 404]);

    let mut events = Events::open(address, &format!("{NAMESPACE}/watch?since=1&service=orders")).unwrap();
    let event = events.next().unwrap();
    assert_eq!(event.name, "resync", "the journal was not shortened; more has to be written: {event:?}");
    assert_eq!(event.id, Some(revision));
    assert_eq!(event.data["services"][0]["instances"], before["instances"]);
}

//! What became of instances, and why they are what they are.

use http::Method;
use serde_json::{Value as Json, json};
use wire::native::channel::EndpointRow;

use crate::{asking::*, report};

fn actions(history: &Json) -> Vec<&str> {
    history["changes"].as_array().unwrap().iter().map(|change| change["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn whoever_asks_for_events_after_a_change_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    for version in 1..=5 {
        let body = format!(r#"{{"address":"10.0.0.7","port":80,"version":"{version}"}}"#);
        ask(&server, Method::PUT, HELLO_1, body).await;
        let events = get(&server, "/bellwether/v1/events?kind=instance&limit=1").await;
        assert_eq!(events["events"][0]["details"]["version"], json!(version.to_string()), "{events}");
    }
}

#[tokio::test]
async fn the_history_says_who_did_what_when_where_from_and_why_also_of_who_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let other = format!("{HELLO}/instances/hello-2");
    let pin = format!("{HELLO_1}/override");
    let body = |version: &str| format!(r#"{{"address":"10.0.0.7","port":80,"version":"{version}"}}"#);
    ask(&server, Method::PUT, HELLO_1, body("1")).await;
    ask(&server, Method::PUT, &other, body("1")).await;
    ask(&server, Method::PUT, HELLO_1, body("2")).await;
    ask(&server, Method::PUT, &pin, r#"{"status":"maintenance","reason":"kernel update"}"#).await;
    ask(&server, Method::DELETE, &format!("{HELLO_1}?reason=moved"), "").await;

    let of_one = format!("{HELLO_1}/history");
    let history = get(&server, &of_one).await;
    assert_eq!(actions(&history), ["deregistered", "overridden", "updated", "registered"], "newest first");
    assert_eq!((&history["next"], &history["registry_revision"]), (&json!(null), &json!(5)));
    let changes = &history["changes"];
    assert_eq!((&changes[0]["reason"], &changes[0]["status"]), (&json!("moved"), &json!(null)));
    assert_eq!(
        (&changes[1]["reason"], &changes[1]["status"]),
        (&json!("kernel update"), &json!("maintenance"))
    );
    assert_eq!((&changes[2]["version"], &changes[3]["version"]), (&json!("2"), &json!("1")));
    assert_eq!(
        (&changes[3]["address"], &changes[3]["registry_revision"]),
        (&json!("10.0.0.7:80"), &json!(1))
    );
    for change in changes.as_array().unwrap() {
        assert_eq!((&change["actor"], &change["instance_id"]), (&json!("operator"), &json!("hello-1")));
        assert!(change["from"].as_str().unwrap().starts_with("http 127.0.0.1:"), "{change}");
        assert!(change["at"].as_str().unwrap().ends_with('Z'), "{change}");
    }

    let all = format!("{HELLO}/history");
    let mut pages = Vec::new();
    let mut path = format!("{all}?limit=2");
    loop {
        let page = get(&server, &path).await;
        pages.extend(page["changes"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_u64() else { break };
        path = format!("{all}?limit=2&before={next}");
    }
    assert_eq!(Json::from(pages.clone()), get(&server, &all).await["changes"], "pages are the whole");
    assert_eq!(pages.len(), 5);
    server.shutdown().await;

    let server = start(folder.path()).await;
    assert_eq!(
        Json::from(pages),
        get(&server, &all).await["changes"],
        "a restart changes nothing of the past"
    );
    ask(&server, Method::DELETE, &other, "").await;
    assert_eq!(actions(&get(&server, &all).await)[0], "deregistered", "also of a service that is gone");
}

#[tokio::test]
async fn why_tells_what_decides_what_would_without_it_and_what_led_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let path = format!("{HELLO_1}/why");
    // Nothing listens there, and nothing is asked there before long.
    let body = r#"{"address":"127.0.0.1","port":1,"ttl":"1h"}"#;
    ask(&server, Method::PUT, HELLO_1, body).await;
    let why = get(&server, &path).await;
    assert_eq!(why["sentence"], "hello-1 of hello is up: its lease holds and nothing checks it.");
    assert_eq!(
        (&why["facts"], &why["lease"]["state"], &why["lease"]["ttl"]),
        (&json!([]), &json!("holds"), &json!("1h"))
    );
    assert!(why["lease"]["left_ns"].as_u64().unwrap() > 3_500_000_000_000);
    assert_eq!(actions(&why), ["registered"]);
    assert!(!why.to_string().contains("lease_id"), "a lease is a secret of its holder");

    let mut seen = report(1);
    seen.endpoints = vec![EndpointRow {
        namespace: "default".parse().unwrap(),
        service: "hello".parse().unwrap(),
        instance: "hello-1".parse().unwrap(),
        in_flight: 3,
        state: resilience::State::Open,
        ejected: "5 failures in a row".to_owned(),
        counts: Default::default(),
    }];
    server.channel().report(seen).await.unwrap();
    let body = r#"{"address":"127.0.0.1","port":1,"ttl":"1s","deregister_after":"1h","weight":0}"#;
    ask(&server, Method::PUT, HELLO_1, body).await;
    until("the lease has lapsed", async || (get(&server, HELLO_1).await["status"] == "down").then_some(()))
        .await;
    let pin = r#"{"status":"maintenance","reason":"kernel update","for":"1h"}"#;
    ask(&server, Method::PUT, &format!("{HELLO_1}/override"), pin).await;
    let why = get(&server, &path).await;
    assert_eq!(
        why["sentence"],
        "hello-1 of hello is maintenance, because operator said so (kernel update). Without that it would be \
         down, because its lease lapsed: no heartbeat for 1s. Its weight is 0, so that it gets no calls."
    );
    let facts = why["facts"].as_array().unwrap();
    assert_eq!(facts.len(), 2);
    assert_eq!(
        (&facts[0]["fact"], &facts[0]["by"], &facts[0]["reason"]),
        (&json!("override"), &json!("operator"), &json!("kernel update"))
    );
    assert!(facts[0]["until"].as_str() > facts[0]["since"].as_str());
    assert_eq!((&facts[1]["fact"], &facts[1]["status"]), (&json!("lease"), &json!("down")));
    assert_eq!((&why["lease"]["state"], &why["lease"]["left_ns"]), (&json!("lapsed"), &json!(null)));
    assert_eq!(actions(&why), ["overridden", "lapsed", "updated", "registered"]);
    assert_eq!(why["proxies"], json!([{"proxy":"gateway-1","in_flight":3,"ejected":"5 failures in a row"}]));
}

//! Receipts. Each test's name is the claim.

use std::sync::Arc;

use http::Method;
use identity::{Mono, Now, Wall};
use serde_json::json;
use storage_catalog::Catalog;
use storage_disk::RealDisk;

use crate::world::*;

const NOW: Now = Now { mono: Mono(0), wall: Wall(0) };

#[tokio::test]
async fn an_instance_that_nobody_subscribes_to_is_safe_at_once_and_the_receipt_is_an_event() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    let receipt = drain(&server, "20s").await;
    assert_eq!((&receipt["safe"], &receipt["revision"]), (&json!(true), &json!(3)), "{receipt}");
    assert_eq!((&receipt["instance"], states(&receipt).len()), (&json!("a"), 0));
    let (_, instance) = ask(&server, Method::GET, &format!("{CART}/instances/a"), "").await;
    assert_eq!(instance["status"], "draining");
    assert!(instance["reason"].as_str().unwrap().contains("new kernel"), "{instance}");
    let (_, events) = ask(&server, Method::GET, "/bellwether/v1/events?kind=instance", "").await;
    let event =
        events["events"].as_array().unwrap().iter().find(|event| event["action"] == "receipt").unwrap();
    assert_eq!((&event["details"]["safe"], &event["actor"]), (&json!("true"), &json!("operator")));
}

#[tokio::test]
async fn the_last_instance_is_drained_by_force_only() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    register(&server, "a").await;
    let path = format!("{CART}/instances/a/drain");
    let (status, problem) = ask(&server, Method::POST, &path, "").await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("BW-1107")), "{problem}");
    let (status, receipt) = ask(&server, Method::POST, &path, r#"{"force":true}"#).await;
    assert_eq!((status.as_u16(), &receipt["safe"]), (200, &json!(true)), "{receipt}");
}

#[tokio::test]
async fn bad_input_names_the_field_and_drains_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    let path = format!("{CART}/instances/a/drain");
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(2_000));
    let cases = [
        (path.as_str(), r#"{"timeout":"soon"}"#, 400, "/timeout"),
        (&path, r#"{"timeout":"2h"}"#, 400, "/timeout"),
        (&path, r#"{"tiemout":"2s"}"#, 400, "/tiemout"),
        (&path, r#"{"force":"yes"}"#, 400, "/force"),
        (&path, r#"{"lease_id":"1"}"#, 400, "/lease_id"),
        (&path, r#"{"lease_id":"00000000000000ff"}"#, 409, "BW-1103"),
        (&path, r#"{"reason":"a\u0000b"}"#, 400, "/reason"),
        (&path, &long, 400, "/reason"),
        (&path, r#"{"force":true"#, 400, "BW-1002"),
        (&path, "\u{0}", 400, "BW-1002"),
        ("/bellwether/v1/namespaces/default/services/cart/instances/c/drain", "", 404, "BW-1102"),
        ("/bellwether/v1/namespaces/default/services/Cart/instances/a/drain", "", 400, "service"),
        ("/bellwether/v1/namespaces/default/services/cart/instances/a%2Fb/drain", "", 400, "instance id"),
        ("/bellwether/v1/namespaces/default/services/cart/instances/%ff/drain", "", 400, "UTF-8"),
    ];
    for (path, body, status, says) in cases {
        let (got, problem) = ask(&server, Method::POST, path, body).await;
        assert_eq!(got.as_u16(), status, "{path} {body}: {problem}");
        assert!(problem.to_string().contains(says), "{path} {body}: {says} is not in {problem}");
    }
    let (_, service) = ask(&server, Method::GET, CART, "").await;
    assert_eq!((&service["instances"][0]["status"], &service["revision"]), (&json!("up"), &json!(2)));
}

#[tokio::test]
async fn a_proxy_quiesces_when_it_reports_that_no_call_can_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    let mut proxy = Fake::connect(&server, "p", 1).await;
    proxy.report(&server, 2, 1).await;
    let mut waiting = Waiting::begin(&server, "20s").await;
    let begun = waiting.until("unacknowledged").await;
    assert_eq!(begun["subscribers"][0]["in_flight"], 1, "{begun}");
    proxy.follow().await;
    assert_eq!(proxy.revision, 3);
    waiting.until("acked").await;
    // A call that began before may still choose the instance, though none is there now.
    proxy.report(&server, 2, 0).await;
    waiting.until_so("acked", Some(0)).await;
    // All calls know now, and one of them is there.
    proxy.report(&server, 3, 1).await;
    waiting.until_so("acked", Some(1)).await;
    proxy.report(&server, 3, 0).await;
    let receipt = waiting.receipt().await;
    assert_eq!((&receipt["safe"], states(&receipt)), (&json!(true), vec![("p", "quiesced")]), "{receipt}");
}

#[tokio::test]
async fn a_proxy_that_cannot_be_reached_stands_in_the_way_also_after_a_restart_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    let mut proxy = Fake::connect(&server, "p", 1).await;
    proxy.report(&server, 2, 0).await;
    proxy.watch = None;
    let receipt = drain(&server, "10ms").await;
    assert_eq!(
        (&receipt["safe"], states(&receipt)),
        (&json!(false), vec![("p", "unreachable")]),
        "{receipt}"
    );
    assert!(receipt["reason"].as_str().unwrap().contains("proxy p is unreachable"), "{receipt}");
    server.shutdown().await;

    let server = start(folder.path()).await;
    let receipt = drain(&server, "10ms").await;
    assert_eq!(
        (&receipt["safe"], states(&receipt)),
        (&json!(false), vec![("p", "unreachable")]),
        "{receipt}"
    );
    assert_eq!(receipt["revision"], 3, "it is the same drain");
    let (_, proxies) = ask(&server, Method::GET, "/bellwether/v1/proxies", "").await;
    assert_eq!(
        (&proxies["proxies"][0]["proxy"], &proxies["proxies"][0]["connected"]),
        (&json!("p"), &json!(false))
    );

    // It comes back with what it knew, and learns of the drain.
    let waiting = Waiting::begin(&server, "20s").await;
    proxy.reconnect(&server, Some(2)).await;
    proxy.follow().await;
    proxy.report(&server, 3, 0).await;
    let receipt = waiting.receipt().await;
    assert_eq!((&receipt["safe"], states(&receipt)), (&json!(true), vec![("p", "quiesced")]), "{receipt}");
}

#[tokio::test]
async fn what_an_earlier_process_of_a_proxy_proved_does_not_speak_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    let mut first = Fake::connect(&server, "p", 1).await;
    first.report(&server, 9, 0).await;
    // Two processes with the same id: both have to quiesce.
    let mut second = Fake::connect(&server, "p", 2).await;
    second.report(&server, 2, 4).await;
    let receipt = drain(&server, "10ms").await;
    assert_eq!(
        (&receipt["safe"], &receipt["subscribers"][0]["in_flight"]),
        (&json!(false), &json!(4)),
        "{receipt}"
    );
    first.watch = None;
    second.follow().await;
    second.report(&server, 3, 0).await;
    assert_eq!(drain(&server, "20s").await["safe"], true);
    // The third begins anew: what the second proved does not hold for it.
    second.watch = None;
    let _third = Fake::connect(&server, "p", 3).await;
    let receipt = drain(&server, "10ms").await;
    assert_eq!((&receipt["safe"], states(&receipt)), (&json!(false), vec![("p", "acked")]), "{receipt}");
}

#[tokio::test]
async fn a_proxy_that_says_goodbye_counts_no_more_not_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    let mut proxy = Fake::connect(&server, "p", 1).await;
    proxy.leave(&server).await;
    // The stream outlives the farewell, and says one thing more.
    proxy.watch.as_ref().unwrap().ack(2);
    proxy.watch = None;
    assert_eq!(states(&drain(&server, "20s").await), []);
    server.shutdown().await;
    let server = start(folder.path()).await;
    let receipt = drain(&server, "20s").await;
    assert_eq!((&receipt["safe"], states(&receipt)), (&json!(true), vec![]), "{receipt}");
    let (_, events) = ask(&server, Method::GET, "/bellwether/v1/events?kind=proxy", "").await;
    assert!(events["events"].as_array().unwrap().iter().any(|event| event["action"] == "left"), "{events}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_that_was_answered_is_on_the_disk_by_then() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    let other = |nth: u32| json!({"service":"other","id":format!("o{nth}"),"address":"10.0.0.7","port":80});
    let many = json!({ "instances": (0..1_000).map(other).collect::<Vec<_>>() }).to_string();
    for id in ["p1", "p2", "p3", "p4"] {
        let mut proxy = Fake::connect(&server, id, 1).await;
        // The catalog has much to write, so that the goodbye has to wait for its turn.
        let path = "/bellwether/v1/namespaces/default/instances";
        let mut registrations = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (address, many) = (server.local_addr(), many.clone());
            registrations
                .spawn(async move { send_to(address, Method::POST, path, &[], &many).await.status() });
        }
        assert_eq!(registrations.join_next().await.unwrap().unwrap(), 200);
        proxy.leave(&server).await;
        // What a process would find that comes after one that was killed now.
        let found = tempfile::tempdir().unwrap();
        copy(&folder.path().join("catalog"), &found.path().join("catalog"));
        let known = Catalog::open(Arc::new(RealDisk), &found.path().join("catalog"), NOW).unwrap().1.proxies;
        assert!(known.is_empty(), "{known:?}");
        registrations.join_all().await;
    }
}

#[tokio::test]
async fn an_operator_forgets_a_proxy_that_will_not_come_back_and_none_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    let mut proxy = Fake::connect(&server, "p", 1).await;
    let forget = async |id: &str| {
        let (status, body) = ask(&server, Method::DELETE, &format!("/bellwether/v1/proxies/{id}"), "").await;
        (status.as_u16(), body["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(forget("p").await, (409, "BW-1122".to_owned()));
    assert_eq!(forget("q").await, (404, "BW-1121".to_owned()));
    assert_eq!(forget("a%20b").await.0, 400);
    proxy.watch = None;
    assert_eq!(forget("p").await, (204, String::new()));
    assert_eq!(forget("p").await, (404, "BW-1121".to_owned()));
    assert_eq!(drain(&server, "20s").await["safe"], true);
    // Whoever comes back after all counts again.
    proxy.reconnect(&server, Some(2)).await;
    assert_eq!(drain(&server, "10ms").await["safe"], false);
}

#[tokio::test]
async fn watchers_and_pollers_stand_in_the_way_and_our_own_command_line_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    for path in ["watch?service=cart", "watch", "watch?service=other"] {
        let path = format!("/bellwether/v1/namespaces/default/{path}");
        let watch = send(&server, Method::GET, &path, &[], "").await;
        let receipt = drain(&server, "10ms").await;
        let concerned = !path.ends_with("other");
        assert_eq!(receipt["safe"], !concerned, "{path}: {receipt}");
        if concerned {
            let one = &receipt["subscribers"][0];
            assert_eq!(
                (&one["kind"], &one["state"]),
                (&json!("watch"), &json!("unacknowledged")),
                "{receipt}"
            );
            // It counts as long as it is connected.
            let waiting = Waiting::begin(&server, "20s").await;
            drop(watch);
            assert_eq!(waiting.receipt().await["safe"], true);
        }
    }
    let own = [("user-agent", "bellwether/0.1.0")];
    let _watch = send(&server, Method::GET, "/bellwether/v1/namespaces/default/watch", &own, "").await;
    send(&server, Method::GET, CART, &[("sec-fetch-site", "same-origin")], "").await;
    assert_eq!(drain(&server, "20s").await["safe"], true);
}

#[tokio::test]
async fn whoever_asks_for_addresses_stands_in_the_way_by_whichever_path() {
    let targets = "/bellwether/v1/namespaces/default/http_sd";
    let all = [
        CART.to_owned(),
        format!("{CART}/owner?key=k"),
        format!("{targets}?service=cart"),
        targets.to_owned(),
    ];
    for path in all {
        let folder = tempfile::tempdir().unwrap();
        let server = with_cart(folder.path()).await;
        send(&server, Method::GET, &format!("{targets}?service=other"), &[], "").await;
        let receipt = drain(&server, "20s").await;
        assert_eq!(receipt["safe"], true, "who asks for others gets none of these addresses: {receipt}");
        for _ in 0..2 {
            let agent = [("user-agent", "curl/8")];
            assert_eq!(send(&server, Method::GET, &path, &agent, "").await.status(), 200);
        }
        let receipt = drain(&server, "10ms").await;
        let [one] = receipt["subscribers"].as_array().unwrap().as_slice() else {
            panic!("{path}: {receipt}");
        };
        assert_eq!(
            (&one["kind"], &one["subscriber"]),
            (&json!("poll"), &json!("operator@127.0.0.1")),
            "{path}"
        );
        assert_eq!((&receipt["safe"], &one["state"]), (&json!(false), &json!("unacknowledged")), "{path}");
    }
}

#[tokio::test]
async fn a_drain_that_ends_while_it_is_waited_for_is_not_safe_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    let _proxy = Fake::connect(&server, "p", 1).await;
    let mut waiting = Waiting::begin(&server, "20s").await;
    waiting.until("unacknowledged").await;
    register(&server, "a").await;
    let receipt = waiting.receipt().await;
    assert_eq!(receipt["safe"], false);
    assert!(receipt["reason"].as_str().unwrap().contains("another process"), "{receipt}");

    let mut waiting = Waiting::begin(&server, "20s").await;
    waiting.until("unacknowledged").await;
    server.shutdown().await;
    let receipt = waiting.receipt().await;
    assert!(receipt["reason"].as_str().unwrap().contains("stopping"), "{receipt}");
    let server = start(folder.path()).await;
    let (_, instance) = ask(&server, Method::GET, &format!("{CART}/instances/a"), "").await;
    assert_eq!(instance["status"], "draining", "the drain stays");
}

#[tokio::test]
async fn an_instance_that_goes_while_it_drains_is_waited_for_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    let mut proxy = Fake::connect(&server, "p", 1).await;
    proxy.report(&server, 2, 1).await;
    let mut waiting = Waiting::begin(&server, "20s").await;
    waiting.until("unacknowledged").await;
    assert_eq!(ask(&server, Method::DELETE, &format!("{CART}/instances/a"), "").await.0, 204);
    proxy.follow().await;
    waiting.until("acked").await;
    proxy.report(&server, proxy.revision, 0).await;
    assert_eq!(waiting.receipt().await["safe"], true);
}

#[tokio::test]
async fn whoever_goes_away_ends_the_waiting_and_not_the_drain() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_cart(folder.path()).await;
    let _proxy = Fake::connect(&server, "p", 1).await;
    let mut waiting = Waiting::begin(&server, "1h").await;
    waiting.until("unacknowledged").await;
    drop(waiting);
    let (_, instance) = ask(&server, Method::GET, &format!("{CART}/instances/a"), "").await;
    assert_eq!(instance["status"], "draining");
    // Nobody who waits holds up the stop.
    tokio::time::timeout(PATIENCE, server.shutdown()).await.unwrap();
}

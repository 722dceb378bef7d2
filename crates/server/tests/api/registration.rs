//! Instances come, stay and go.

use http::Method;
use serde_json::json;

use crate::asking::*;

#[tokio::test]
async fn an_instance_registers_is_found_keeps_its_lease_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let body = r#"{"address":"10.0.0.7","port":8080,"ttl":"15s","version":"1.4.2","metadata":{"k":"v"}}"#;
    let (status, registered) = ask(&server, Method::PUT, HELLO_1, body).await;
    assert_eq!(status, 201, "{registered}");
    let lease = registered["lease_id"].as_str().unwrap();
    let (status, again) = ask_as(&server, Method::PUT, HELLO_1, &[("if-match", lease)], body).await;
    assert_eq!((status.as_u16(), &again["revision"], &again["lease_id"]), (200, &json!(1), &json!(lease)));

    let found = get(&server, HELLO).await;
    assert_eq!(found["instances"][0]["status"], "up");
    assert_eq!(found["instances"][0]["health"], "unchecked");
    assert_eq!(found["instances"][0]["port"], 8080);
    assert_eq!(get(&server, &format!("{HELLO}?status=down")).await["instances"], json!([]));
    assert_eq!(get(&server, &format!("{HELLO}/owner?key=k")).await["instance"]["id"], "hello-1");

    let beat = format!("{HELLO_1}/heartbeat");
    assert_eq!(
        ask_as(&server, Method::POST, &beat, &[("if-match", &format!("\"{lease}\""))], "").await.0,
        204
    );
    assert_eq!(ask(&server, Method::POST, &beat, &format!(r#"{{"lease_id":"{lease}"}}"#)).await.0, 204);
    let (status, stale) =
        ask_as(&server, Method::DELETE, HELLO_1, &[("if-match", "00000000000000ff")], "").await;
    assert_eq!((status.as_u16(), &stale["code"]), (409, &json!("BW-1103")));
    assert_eq!(ask_as(&server, Method::DELETE, HELLO_1, &[("if-match", lease)], "").await.0, 204);
    let (status, gone) = ask(&server, Method::GET, HELLO, "").await;
    assert_eq!((status.as_u16(), &gone["code"]), (404, &json!("BW-1101")));
    let (status, gone) = ask(&server, Method::POST, &beat, "").await;
    assert_eq!((status.as_u16(), &gone["code"]), (404, &json!("BW-1102")));
}

#[tokio::test]
async fn a_dry_run_answers_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let path = format!("{HELLO_1}?dry_run=true");
    let (status, _) = ask(&server, Method::PUT, &path, r#"{"address":"10.0.0.7","port":1}"#).await;
    assert_eq!(status, 201);
    assert_eq!(ask(&server, Method::GET, HELLO, "").await.0, 404);
}

#[tokio::test]
async fn checks_and_warm_up_are_kept_and_shown_with_what_they_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let body = r#"{"address":"127.0.0.1","port":1,"warm_up":"30s","ttl":"15s","checks":[
        {"http":"/healthz?deep=1","interval":"5s","timeout":"1s"},
        {"tcp":true,"port":9},
        {"grpc":true,"interval":"500ms"},
        {"grpc":"shop.Cart","success_threshold":2,"failure_threshold":5}]}"#;
    assert_eq!(ask(&server, Method::PUT, HELLO_1, body).await.0, 201);
    let seen = get(&server, HELLO_1).await;
    assert_eq!(
        (&seen["status"], &seen["health"], &seen["warm_up"]),
        (&json!("starting"), &json!("pending"), &json!("30s"))
    );
    assert_eq!((&seen["ttl"], &seen["deregister_after"]), (&json!("15s"), &json!("2m30s")));
    assert_eq!(
        (&seen["drain"], &seen["override"], &seen["protected"]),
        (&json!(null), &json!(null), &json!(false))
    );
    let check = |at: usize| seen["checks"][at]["check"].clone();
    let usual = json!({"success_threshold":1,"failure_threshold":3,"interval":"10s","timeout":"1s"});
    let with = |members: serde_json::Value| {
        let mut all = usual.clone();
        all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        all
    };
    assert_eq!(check(0), with(json!({"http":"/healthz?deep=1","interval":"5s"})));
    assert_eq!(check(1), with(json!({"tcp":true,"port":9})));
    assert_eq!(check(2), with(json!({"grpc":true,"interval":"500ms","timeout":"500ms"})));
    assert_eq!(check(3), with(json!({"grpc":"shop.Cart","success_threshold":2,"failure_threshold":5})));
    assert!(["pending", "failing"].contains(&seen["checks"][0]["verdict"].as_str().unwrap()));

    // What is shown can be registered again.
    let checks: Vec<_> = (0..4).map(check).collect();
    let again = json!({"address":"127.0.0.1","port":1,"warm_up":"30s","ttl":"15s","checks":checks});
    let (status, answer) = ask(&server, Method::PUT, HELLO_1, &again.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(get(&server, HELLO_1).await["checks"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_service_outside_that_nobody_heartbeats_stays_by_its_name_and_its_checks() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let bank = "/bellwether/v1/namespaces/default/services/bank/instances/api";
    let body = r#"{"address":"Bank.Example.","port":443}"#;
    assert_eq!(ask(&server, Method::PUT, bank, body).await.0, 201);
    let seen = get(&server, bank).await;
    assert_eq!(
        (&seen["address"], &seen["ttl"], &seen["health"]),
        (&json!("bank.example"), &json!(null), &json!("unchecked"))
    );
    assert_eq!(seen["status"], "up");
    let body = r#"{"address":"bank.example","port":443,"checks":[{"tcp":true,"interval":"1h"}]}"#;
    assert_eq!(ask(&server, Method::PUT, bank, body).await.0, 200);
    let seen = get(&server, bank).await;
    assert_ne!(seen["health"], "unchecked");
    assert_ne!(seen["status"], "up", "a check that has not passed keeps calls away");
    assert_eq!(seen["deregister_after"], json!(null), "nothing lapses where nothing was promised");
}

#[tokio::test]
async fn a_change_says_who_made_it_and_whether_its_owner_did() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let body = |port: u16| format!(r#"{{"address":"10.0.0.7","port":{port}}}"#);
    let (_, first) = ask(&server, Method::PUT, HELLO_1, &body(1)).await;
    let lease = first["lease_id"].as_str().unwrap();
    ask_as(&server, Method::PUT, HELLO_1, &[("if-match", lease)], &body(2)).await;
    ask(&server, Method::PUT, HELLO_1, &body(3)).await;
    ask(&server, Method::DELETE, HELLO_1, "").await;
    let watch = "/bellwether/v1/namespaces/default/watch?service=hello&since=0";
    let changes = events(send(&server, Method::GET, watch, &[], "").await, 4).await;
    let reasons: Vec<_> = changes.iter().map(|(_, change)| change["reason"].as_str().unwrap()).collect();
    let expected = [
        "registered",
        "its owner says something else",
        "another process took it over",
        "removed by an operator",
    ];
    assert_eq!(reasons, expected);
    for (_, change) in &changes {
        assert_eq!(change["actor"], "operator");
        assert!(change["from"].as_str().unwrap().starts_with("http 127.0.0.1:"), "{change}");
    }
}

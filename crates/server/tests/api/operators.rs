//! What operators say of instances and services.

use http::Method;
use serde_json::json;

use crate::asking::*;

const RESET: &str = r#"{"action":"reset","reason":"no"}"#;
const OVERRIDE: &str = "/bellwether/v1/namespaces/default/services/hello/instances/hello-1/override";
const WEIGHT: &str = "/bellwether/v1/namespaces/default/services/hello/instances/hello-1/weight";

#[tokio::test]
async fn an_override_holds_whatever_else_is_known_until_it_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let body = |port: u16| format!(r#"{{"address":"10.0.0.7","port":{port}}}"#);
    ask(&server, Method::PUT, HELLO_1, body(1)).await;
    let maintenance = r#"{"status":"maintenance","reason":"kernel update"}"#;
    let (status, tried) = ask(&server, Method::PUT, &format!("{OVERRIDE}?dry_run=true"), maintenance).await;
    assert_eq!((status.as_u16(), &tried["status"]), (200, &json!("maintenance")));
    assert_eq!(get(&server, HELLO_1).await["status"], "up");

    let (status, seen) = ask(&server, Method::PUT, OVERRIDE, maintenance).await;
    assert_eq!((status.as_u16(), &seen["status"]), (200, &json!("maintenance")), "{seen}");
    assert_eq!(seen["reason"], "operator: kernel update");
    let said = &seen["override"];
    assert_eq!(
        (&said["status"], &said["by"], &said["reason"]),
        (&json!("maintenance"), &json!("operator"), &json!("kernel update"))
    );
    assert_eq!(said["until"], json!(null));
    let (_, again) = ask(&server, Method::PUT, OVERRIDE, maintenance).await;
    assert_eq!(again["revision"], seen["revision"], "the same again changes nothing");
    ask(&server, Method::PUT, HELLO_1, body(2)).await;
    assert_eq!(get(&server, HELLO_1).await["status"], "maintenance", "a new process does not end it");

    assert_eq!(ask(&server, Method::DELETE, &format!("{OVERRIDE}?dry_run=true"), "").await.0, 204);
    assert_eq!(get(&server, HELLO_1).await["status"], "maintenance");
    assert_eq!(ask(&server, Method::DELETE, &format!("{OVERRIDE}?reason=done"), "").await.0, 204);
    let seen = get(&server, HELLO_1).await;
    assert_eq!((&seen["status"], &seen["override"]), (&json!("up"), &json!(null)));
    assert_eq!(ask(&server, Method::DELETE, OVERRIDE, "").await.0, 204, "there is none");
    let watch = "/bellwether/v1/namespaces/default/watch?service=hello&since=3";
    let last = events(send(&server, Method::GET, watch, &[], "").await, 1).await;
    assert_eq!((&last[0].1["action"], &last[0].1["reason"]), (&json!("released"), &json!("done")));
}

#[tokio::test]
async fn an_override_by_a_revision_holds_for_the_instance_as_it_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    ask(&server, Method::PUT, HELLO_1, r#"{"address":"10.0.0.7","port":1}"#).await;
    let tag = async || {
        let response = send(&server, Method::GET, HELLO_1, &[], "").await;
        response.headers()["etag"].to_str().unwrap().to_owned()
    };
    let seen = tag().await;
    assert_eq!(seen, format!("\"{}\"", get(&server, HELLO_1).await["revision"]));
    let drill = r#"{"status":"down","reason":"a drill"}"#;
    let put = async |tag: &str, dry_run: bool| {
        let path = format!("{OVERRIDE}?dry_run={dry_run}");
        ask_as(&server, Method::PUT, &path, &[("if-match", tag)], drill).await
    };
    assert_eq!(put(&seen, true).await.0, 200);
    let response = send(&server, Method::PUT, OVERRIDE, &[("if-match", &seen)], drill).await;
    assert_eq!(
        (response.status().as_u16(), response.headers()["etag"].to_str().unwrap()),
        (200, tag().await.as_str())
    );

    // Somebody else was faster.
    for dry_run in [true, false] {
        let (status, problem) = put(&seen, dry_run).await;
        assert_eq!(
            (status.as_u16(), &problem["code"], &problem["field"]),
            (412, &json!("BW-1110"), &json!("If-Match"))
        );
        assert!(
            problem["detail"].as_str().unwrap().ends_with("it is at revision 2, and not at 1"),
            "{problem}"
        );
    }
    let release = async |tag: &str| ask_as(&server, Method::DELETE, OVERRIDE, &[("if-match", tag)], "").await;
    assert_eq!(release(&seen).await.1["code"], "BW-1110");
    assert_eq!(get(&server, HELLO_1).await["status"], "down", "nothing has happened");
    assert_eq!(release(&tag().await).await.0, 204);
    assert_eq!(get(&server, HELLO_1).await["status"], "up");

    assert_eq!(put("*", false).await.0, 200, "it is there");
    for bad in ["", "W/\"1\"", "\"1\", \"2\"", "-1", "one", "18446744073709551616", "\"", "1.0"] {
        let (status, problem) = put(bad, false).await;
        assert_eq!((status.as_u16(), &problem["field"]), (400, &json!("If-Match")), "{bad}: {problem}");
    }
    let elsewhere = OVERRIDE.replace("hello-1", "hello-2");
    let (status, problem) = ask_as(&server, Method::PUT, &elsewhere, &[("if-match", "\"1\"")], drill).await;
    assert_eq!((status.as_u16(), &problem["code"]), (404, &json!("BW-1102")));
}

#[tokio::test]
async fn a_weight_of_an_operators_stands_above_the_registration_until_it_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let body = |port: u16| format!(r#"{{"address":"10.0.0.7","port":{port},"weight":80}}"#);
    ask(&server, Method::PUT, HELLO_1, body(1)).await;
    let other = HELLO_1.replace("hello-1", "hello-2");
    ask(&server, Method::PUT, &other, body(2)).await;
    let half = r#"{"weight":50,"reason":"a canary"}"#;
    let (status, tried) = ask(&server, Method::PUT, &format!("{WEIGHT}?dry_run=true"), half).await;
    assert_eq!((status.as_u16(), &tried["weight"]), (200, &json!(50)), "{tried}");
    assert_eq!(get(&server, HELLO_1).await["weight"], 80);

    let (status, seen) = ask(&server, Method::PUT, WEIGHT, half).await;
    assert_eq!((status.as_u16(), &seen["weight"], &seen["status"]), (200, &json!(50), &json!("up")));
    let said = &seen["weighed"];
    assert_eq!(
        (&said["weight"], &said["registered"], &said["by"], &said["reason"]),
        (&json!(50), &json!(80), &json!("operator"), &json!("a canary")),
        "{seen}"
    );
    let (_, again) = ask(&server, Method::PUT, WEIGHT, half).await;
    assert_eq!(again["revision"], seen["revision"], "the same again changes nothing");
    ask(&server, Method::PUT, HELLO_1, body(3)).await;
    let seen = get(&server, HELLO_1).await;
    assert_eq!((&seen["weight"], &seen["port"]), (&json!(50), &json!(3)), "a new process does not end it");
    let ring = get(&server, &format!("{HELLO}/ring")).await;
    assert_eq!(ring["members"][0]["weight"], 50, "rings go by it: {ring}");

    // It is as durable as what it stands above.
    server.shutdown().await;
    let server = start(folder.path()).await;
    assert_eq!(get(&server, HELLO_1).await["weighed"]["reason"], "a canary");

    let why = get(&server, &format!("{HELLO_1}/why")).await;
    let says = why["sentence"].as_str().unwrap();
    assert!(says.ends_with("operator set its weight to 50 (a canary); it registered 80."), "{says}");
    assert_eq!(ask(&server, Method::DELETE, &format!("{WEIGHT}?reason=done"), "").await.0, 204);
    let seen = get(&server, HELLO_1).await;
    assert_eq!((&seen["weight"], &seen["weighed"]), (&json!(80), &json!(null)));
    assert_eq!(ask(&server, Method::DELETE, WEIGHT, "").await.0, 204, "there is none");
    let history = get(&server, &format!("{HELLO_1}/history")).await;
    let told = history["changes"].as_array().unwrap();
    let told =
        told.iter().map(|event| (event["action"].as_str().unwrap(), event["reason"].as_str().unwrap()));
    let told: Vec<_> = told.filter(|(action, _)| action.ends_with("weighed")).collect();
    assert_eq!(told.len(), 2, "{history}");
    assert!(told.contains(&("weighed", "a canary")) && told.contains(&("unweighed", "done")), "{told:?}");
}

#[tokio::test]
async fn a_weight_has_a_reason_and_bounds_and_leaves_one_instance_that_takes_calls() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    ask(&server, Method::PUT, HELLO_1, r#"{"address":"10.0.0.7","port":1}"#).await;
    let put = async |path: &str, body: &str| ask(&server, Method::PUT, path, body.to_owned()).await;
    for (body, field) in [
        (r#"{"weight":50,"reason":" "}"#, "/reason"),
        (r#"{"weight":50}"#, ""),
        (r#"{"weight":-1,"reason":"less"}"#, ""),
        (r#"{"weight":10001,"reason":"more"}"#, "weight"),
        (r#"{"weight":50,"reason":"why","wait":1}"#, ""),
    ] {
        let (status, problem) = put(WEIGHT, body).await;
        assert_eq!(status.as_u16(), 400, "{body}: {problem}");
        assert!(problem["field"].as_str().unwrap_or_default().contains(field), "{body}: {problem}");
    }
    let none = r#"{"weight":0,"reason":"rest"}"#;
    let (status, problem) = put(WEIGHT, none).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("BW-1107")), "{problem}");
    let other = HELLO_1.replace("hello-1", "hello-2");
    put(&other, r#"{"address":"10.0.0.7","port":2}"#).await;
    let (_, seen) = put(WEIGHT, none).await;
    assert_eq!((&seen["status"], &seen["weight"]), (&json!("up"), &json!(0)), "{seen}");
    // The other one is the last that takes calls now, though both are up.
    let drain = format!("{other}/drain");
    let (_, problem) = ask(&server, Method::POST, &drain, r#"{"reason":"no"}"#).await;
    assert_eq!(problem["code"], "BW-1107", "{problem}");
    let elsewhere = format!("{other}/weight");
    assert_eq!(put(&elsewhere, none).await.1["code"], "BW-1107");
    assert_eq!(put(&elsewhere, r#"{"weight":0,"reason":"rest","force":true}"#).await.0, 200);
    let nobody = WEIGHT.replace("hello-1", "hello-9");
    assert_eq!(put(&nobody, none).await.1["code"], "BW-1102");
    let stale = ask_as(&server, Method::PUT, WEIGHT, &[("if-match", "\"1\"")], none).await;
    assert_eq!(stale.1["code"], "BW-1110");
}

#[tokio::test]
async fn an_override_for_a_time_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    ask(&server, Method::PUT, HELLO_1, r#"{"address":"10.0.0.7","port":1}"#).await;
    let down = r#"{"status":"down","reason":"a drill","for":"1s"}"#;
    let (_, seen) = ask(&server, Method::PUT, OVERRIDE, down).await;
    assert!(seen["override"]["until"].as_str().unwrap() > seen["override"]["at"].as_str().unwrap(), "{seen}");
    until("the override has ended", async || (get(&server, HELLO_1).await["status"] == "up").then_some(()))
        .await;
}

#[tokio::test]
async fn a_service_is_deleted_whole_but_not_while_it_takes_calls() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let instances: Vec<_> = (0..1_001)
        .map(|id| json!({"service":"hello","id":format!("i{id:04}"),"address":"10.0.0.7","port":80}))
        .collect();
    for half in instances.chunks(600) {
        let all = "/bellwether/v1/namespaces/default/instances";
        ask(&server, Method::POST, all, json!({ "instances": half }).to_string()).await;
    }
    let (status, problem) = ask(&server, Method::DELETE, HELLO, "").await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("BW-1108")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().starts_with("instance i0000 and 1000 more"), "{problem}");

    let (status, tried) = ask(&server, Method::DELETE, &format!("{HELLO}?dry_run=true&force=true"), "").await;
    assert_eq!((status.as_u16(), tried["removed"].as_array().unwrap().len()), (200, 1_001));
    assert_eq!(get(&server, HELLO).await["instances"].as_array().unwrap().len(), 1_001);

    let forced = format!("{HELLO}?force=true&reason=moved%20to%20cart");
    let (status, gone) = ask(&server, Method::DELETE, &forced, "").await;
    assert_eq!((status.as_u16(), gone["removed"].as_array().unwrap().len()), (200, 1_001));
    assert_eq!((&gone["kept"], &gone["revision"]), (&json!([]), &json!(2_002)));
    assert_eq!(ask(&server, Method::GET, HELLO, "").await.0, 404);
    assert_eq!(ask(&server, Method::DELETE, HELLO, "").await.1["code"], "BW-1101");

    let put = ask(&server, Method::PUT, HELLO_1, r#"{"address":"10.0.0.7","port":1}"#).await;
    assert_eq!(put.0, 201, "who registers from then on is there again");
    ask(&server, Method::PUT, OVERRIDE, r#"{"status":"down","reason":"it goes"}"#).await;
    assert_eq!(ask(&server, Method::DELETE, HELLO, "").await.0, 200, "nobody calls it any more");
}

#[tokio::test]
async fn what_operators_do_needs_their_scope() {
    let folder = tempfile::tempdir().unwrap();
    let request = serde_json::from_value(json!({"name":"app","scopes":["write"]})).unwrap();
    let (_, token) = server::create_token_offline(folder.path(), &request).await.unwrap();
    let bearer = format!("Bearer {token}");
    let as_app = [("authorization", bearer.as_str())];
    let server = start_with(folder.path(), |settings| settings.require_tokens = true).await;
    let put = async |path: &str, body: &str| ask_as(&server, Method::PUT, path, &as_app, body).await;
    let delete = async |path: &str| ask_as(&server, Method::DELETE, path, &as_app, "").await;
    let (_, registered) = put(HELLO_1, r#"{"address":"10.0.0.7","port":1}"#).await;
    for (_, problem) in [
        put(OVERRIDE, r#"{"status":"down","reason":"no"}"#).await,
        delete(OVERRIDE).await,
        put(WEIGHT, r#"{"weight":1,"reason":"no"}"#).await,
        delete(WEIGHT).await,
        delete(&format!("{HELLO}?force=true")).await,
        ask_as(&server, Method::POST, &format!("{HELLO}/breaker"), &as_app, RESET).await,
    ] {
        assert_eq!(problem["code"], "BW-1204", "{problem}");
    }
    let drain = format!("{HELLO_1}/drain");
    assert_eq!(delete(&drain).await.1["code"], "BW-1104");
    let lease = registered["lease_id"].as_str().unwrap();
    let as_owner = [as_app[0], ("if-match", lease)];
    assert_eq!(ask_as(&server, Method::DELETE, &drain, &as_owner, "").await.0, 204);
}

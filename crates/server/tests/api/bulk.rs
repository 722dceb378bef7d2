//! Many instances in one request.

use http::Method;
use serde_json::{Value as Json, json};

use crate::asking::*;

const ALL: &str = "/bellwether/v1/namespaces/default/instances";
const BEATS: &str = "/bellwether/v1/namespaces/default/heartbeats";

fn named(id: usize) -> Json {
    json!({"service":"hello","id":format!("i{id}"),"address":"10.0.0.7","port":80,"ttl":"15s"})
}

#[tokio::test]
async fn many_register_with_one_request_and_each_gets_its_lease() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let instances: Vec<Json> = (0..1_000).map(named).collect();
    let body = json!({ "instances": instances }).to_string();
    let (status, tried) = ask(&server, Method::POST, &format!("{ALL}?dry_run=true"), &body).await;
    assert_eq!((status.as_u16(), &tried["revision"]), (200, &json!(1_000)));
    assert_eq!(tried["results"][7], json!({"service":"hello","id":"i7","created":true}));
    assert_eq!(ask(&server, Method::GET, HELLO, "").await.0, 404, "nothing has happened");

    let (status, answer) = ask(&server, Method::POST, ALL, &body).await;
    assert_eq!((status.as_u16(), &answer["revision"]), (200, &json!(1_000)));
    let results = answer["results"].as_array().unwrap();
    let mut leases: Vec<&str> = results.iter().map(|result| result["lease_id"].as_str().unwrap()).collect();
    assert!(results.iter().all(|result| result["created"] == true && result["error"].is_null()));
    leases.sort_unstable();
    leases.dedup();
    assert_eq!(leases.len(), 1_000);
    assert_eq!(get(&server, HELLO).await["instances"].as_array().unwrap().len(), 1_000);

    let mut kept = named(7);
    kept["lease_id"] = results[7]["lease_id"].clone();
    let mut stale = named(8);
    stale["lease_id"] = json!("00000000000000ff");
    let body = json!({ "instances": [kept, stale, named(1_000)] }).to_string();
    let (status, answer) = ask(&server, Method::POST, ALL, &body).await;
    assert_eq!(status, 200);
    assert_eq!(answer["results"][0]["lease_id"], results[7]["lease_id"]);
    assert_eq!(answer["results"][1]["error"]["code"], "BW-1103");
    assert_eq!(answer["results"][2]["created"], true, "one refusal does not touch the others");
    server.shutdown().await;

    let server = start(folder.path()).await;
    assert_eq!(get(&server, HELLO).await["instances"].as_array().unwrap().len(), 1_001);
}

#[tokio::test]
async fn many_heartbeats_are_taken_with_one_request_and_each_refusal_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let instances: Vec<Json> = (0..3).map(named).collect();
    let (_, registered) =
        ask(&server, Method::POST, ALL, &json!({ "instances": instances }).to_string()).await;
    let beat = |id: &str, lease: &Json| json!({"service":"hello","id":id,"lease_id":lease});
    let lease = |at: usize| &registered["results"][at]["lease_id"];
    let wrong = json!("00000000000000ff");
    let beats = json!({ "heartbeats": [
        beat("i0", lease(0)), beat("i1", &wrong), beat("i9", &wrong), beat("i2", lease(2)), beat("i1", &Json::Null),
    ]});
    let (status, answer) = ask(&server, Method::POST, BEATS, &beats.to_string()).await;
    assert_eq!((status.as_u16(), &answer["renewed"]), (200, &json!(3)), "{answer}");
    let refused: Vec<_> = answer["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| (of["id"].clone(), of["code"].clone()))
        .collect();
    assert_eq!(refused, [(json!("i1"), json!("BW-1103")), (json!("i9"), json!("BW-1102"))]);
    assert!(answer["refused"][1]["detail"].as_str().unwrap().contains("register it first"));
}

#[tokio::test]
async fn a_heartbeat_among_many_brings_a_lapsed_instance_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut short = named(0);
    short["ttl"] = json!("1s");
    let (_, registered) =
        ask(&server, Method::POST, ALL, &json!({ "instances": [short, named(1)] }).to_string()).await;
    until("the lease has lapsed", async || {
        (get(&server, HELLO).await["instances"][0]["status"] == "down").then_some(())
    })
    .await;
    let beats: Vec<Json> = registered["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| json!({"service":"hello","id":of["id"],"lease_id":of["lease_id"]}))
        .collect();
    let (_, answer) = ask(&server, Method::POST, BEATS, &json!({ "heartbeats": beats }).to_string()).await;
    assert_eq!(answer, json!({"renewed":2,"refused":[]}));
    assert_eq!(get(&server, HELLO).await["instances"][0]["status"], "up");
}

#[tokio::test]
async fn who_has_no_lease_needs_to_be_an_operator_among_many_as_alone() {
    let folder = tempfile::tempdir().unwrap();
    let request = serde_json::from_value(json!({"name":"app","scopes":["write"]})).unwrap();
    let (_, token) = server::create_token_offline(folder.path(), &request).await.unwrap();
    let bearer = format!("Bearer {token}");
    let as_app = [("authorization", bearer.as_str())];
    let server = start_with(folder.path(), |settings| settings.require_tokens = true).await;
    let body = json!({ "instances": [named(0)] }).to_string();
    let (status, registered) = ask_as(&server, Method::POST, ALL, &as_app, &body).await;
    assert_eq!(status, 200);
    let lease = &registered["results"][0]["lease_id"];
    let beats = json!({"heartbeats":[
        {"service":"hello","id":"i0"}, {"service":"hello","id":"i0","lease_id":lease},
    ]});
    let (status, answer) = ask_as(&server, Method::POST, BEATS, &as_app, &beats.to_string()).await;
    assert_eq!(
        (status.as_u16(), &answer["renewed"], &answer["refused"][0]["code"]),
        (200, &json!(1), &json!("BW-1104"))
    );
    assert_eq!(ask(&server, Method::POST, BEATS, &beats.to_string()).await.0, 401);
}

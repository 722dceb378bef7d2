//! Traces that stay, and traces of which only a share is kept.

use std::fs;

use http::Method;
use serde_json::{Value as Json, json};
use server::Server;
use traces::sampling::Ratio;

use crate::asking::*;

const ID: &str = "463ac35c9f6413ad48485a3953bb6124";

/// A call from `frontend` to `backend`, as both record it.
fn call(trace: &str) -> Json {
    let span = |id: u32, kind: &str, service: &str| {
        json!({
            "traceId": trace, "id": format!("{id:016x}"), "kind": kind, "name": "get", "duration": 5_000,
            "timestamp": 1_700_000_000_000_000_u64, "localEndpoint": { "serviceName": service },
        })
    };
    let mut served = span(2, "SERVER", "backend");
    served["parentId"] = json!(format!("{:016x}", 1));
    json!([span(1, "CLIENT", "frontend"), served])
}

async fn give(server: &Server, spans: &Json) {
    let headers = [("content-type", "application/json")];
    let (status, answer) = ask_as(server, Method::POST, "/api/v2/spans", &headers, spans.to_string()).await;
    assert_eq!(status, 202, "{answer}");
}

fn pin() -> String {
    format!("/bellwether/v1/traces/{ID}/pin")
}

#[tokio::test]
async fn a_pinned_trace_is_there_when_the_store_has_nothing_left_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    give(&server, &call(ID)).await;
    let (status, made) = ask(&server, Method::POST, &pin(), r#"{"reason":"the outage","for":"30d"}"#).await;
    assert_eq!((status.as_u16(), &made["reason"]), (200, &json!("the outage")), "{made}");
    assert!(made["until"].is_string(), "{made}");
    let path = format!("/bellwether/v1/traces/{ID}");
    let before = get(&server, &path).await;
    assert_eq!((&before["pinned"], before["spans"].as_array().unwrap().len()), (&made, 2));
    server.shutdown().await;

    fs::remove_dir_all(folder.path().join("spans")).unwrap();
    let server = start(folder.path()).await;
    let (found, pins) =
        (get(&server, "/bellwether/v1/traces").await, get(&server, "/bellwether/v1/traces/pins").await);
    assert_eq!((&found["traces"], &pins), (&json!([]), &json!({ "pins": [made] })));
    assert_eq!(get(&server, &path).await, before);
    assert_eq!(get(&server, &format!("/api/v2/trace/{ID}")).await.as_array().unwrap().len(), 2);
    // What comes now belongs to it.
    let mut late = call(ID);
    late[1]["id"] = json!("0000000000000003");
    give(&server, &json!([late[1]])).await;
    assert_eq!(get(&server, &path).await["spans"].as_array().unwrap().len(), 3);

    assert_eq!(ask(&server, Method::DELETE, &pin(), "").await.0, 204);
    assert_eq!(ask(&server, Method::DELETE, &pin(), "").await.0, 404);
    assert_eq!(get(&server, &path).await["spans"].as_array().unwrap().len(), 1, "what the store has");
    let events = get(&server, "/bellwether/v1/events?kind=server").await;
    let told: Vec<&Json> =
        events["events"].as_array().unwrap().iter().map(|event| &event["action"]).collect();
    for action in ["trace_pinned", "trace_unpinned"] {
        assert!(told.contains(&&json!(action)), "{told:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_pinned_is_told_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    for (body, expected) in [
        (r#"{"reason":"the outage"}"#, 404),
        (r#"{"reason":" "}"#, 400),
        (r#"{}"#, 400),
        (r#"{"reason":"the outage","for":"soon"}"#, 400),
    ] {
        let (status, problem) = ask(&server, Method::POST, &pin(), body).await;
        assert_eq!(status, expected, "{body}: {problem}");
    }
}

#[tokio::test]
async fn the_graph_of_a_time_range_survives_restarts_also_of_what_is_not_stored_and_long_ago() {
    let folder = tempfile::tempdir().unwrap();
    let none = |settings: &mut server::Settings| settings.share = Ratio::NONE;
    let mut server = start_with(folder.path(), none).await;
    give(&server, &call(ID)).await;
    let graph = async |server: &Server| {
        let graph =
            get(server, "/bellwether/v1/graph?start=2000-01-01T00:00:00Z&end=2024-01-01T00:00:00Z").await;
        (graph["edges"].clone(), graph["complete_since"].clone())
    };
    let before = graph(&server).await;
    let calls = before.0.as_array().unwrap().iter().filter(|edge| edge["calls"] == 1).count();
    assert!(calls > 0 && get(&server, "/bellwether/v1/traces").await["traces"] == json!([]), "{before:?}");
    for _ in 0..2 {
        server.shutdown().await;
        server = start_with(folder.path(), none).await;
        assert_eq!(graph(&server).await, before);
    }
}

#[tokio::test]
async fn of_a_share_of_traces_each_is_kept_whole_or_not_and_all_are_counted() {
    const TRACES: u64 = 200;
    let folder = tempfile::tempdir().unwrap();
    let half = Ratio::new(0.5).unwrap();
    let server = start_with(folder.path(), |settings| settings.share = half).await;
    // The bits of the golden ratio spread whatever they are multiplied by.
    let ids: Vec<String> =
        (1..=TRACES).map(|n| format!("{:032x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    for id in &ids {
        give(&server, &call(id)).await;
    }
    let mut kept = 0;
    for id in &ids {
        let (status, trace) = ask(&server, Method::GET, &format!("/bellwether/v1/traces/{id}"), "").await;
        if status == 200 {
            kept += 1;
            assert_eq!(trace["spans"].as_array().unwrap().len(), 2, "{trace}");
        }
    }
    assert!((TRACES / 4..=3 * TRACES / 4).contains(&kept), "{kept} of {TRACES}");
    let ledger = get(&server, "/bellwether/v1/ledger").await;
    let account = json!([2 * TRACES, 2 * kept, 2 * (TRACES - kept)]);
    let spans = &ledger["spans"];
    assert_eq!(json!([spans["received"], spans["stored"], spans["sampled_out"]]), account);
    let calls = get(&server, "/api/v2/dependencies?endTs=4102444800000&lookback=4102444800000").await;
    assert_eq!(calls, json!([{ "parent": "frontend", "child": "backend", "callCount": TRACES }]));
}

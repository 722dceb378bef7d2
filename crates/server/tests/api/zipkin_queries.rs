//! Zipkin's query API: what was sent as Zipkin's comes back as Zipkin's, and is found as Zipkin finds it.

use http::Method;
use serde_json::{Value as Json, json};
use server::Server;

use crate::asking::*;

const TRACE: &str = "463ac35c9f6413ad";
/// Microseconds since 1970.
const START: u64 = 1_472_470_996_199_000;

/// A call from `frontend` to `backend`, as both record it, and the work behind it.
fn spans() -> Json {
    json!([
        {
            "traceId": TRACE, "id": "a2fb4a1d1a96d312", "kind": "CLIENT", "name": "get /api",
            "timestamp": START, "duration": 207_000,
            "localEndpoint": { "serviceName": "frontend", "ipv4": "127.0.0.1", "port": 8080 },
            "remoteEndpoint": { "serviceName": "backend", "ipv4": "192.168.99.101", "port": 9000 },
            "annotations": [{ "timestamp": START + 1_000, "value": "wire send" }],
            "tags": { "http.path": "/api", "clnt/finagle.version": "6.45.0" },
        },
        {
            "traceId": TRACE, "id": "352bff9a74ca9ad2", "parentId": "a2fb4a1d1a96d312", "kind": "SERVER",
            "name": "get", "timestamp": START + 2_000, "duration": 200_000,
            "localEndpoint": { "serviceName": "backend", "ipv6": "2001:db8::c001" },
            "tags": { "error": "refused", "otel.status_code": "ERROR" },
        },
        {
            "traceId": TRACE, "id": "352bff9a74ca9ad3", "parentId": "352bff9a74ca9ad2", "name": "compute",
            "timestamp": START + 3_000, "duration": 1,
            "localEndpoint": { "serviceName": "backend" },
        },
    ])
}

async fn give(server: &Server, spans: &Json) {
    let headers = [("content-type", "application/json")];
    let (status, answer) = ask_as(server, Method::POST, "/api/v2/spans", &headers, spans.to_string()).await;
    assert_eq!(status, 202, "{answer}");
}

fn by_id(mut spans: Json) -> Json {
    spans.as_array_mut().unwrap().sort_by_key(|span| span["id"].as_str().unwrap().to_owned());
    spans
}

#[tokio::test]
async fn what_was_sent_as_zipkins_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    give(&server, &spans()).await;
    let shown = get(&server, &format!("/api/v2/trace/{TRACE}")).await;
    assert_eq!(by_id(shown), by_id(spans()));
    let many = get(&server, &format!("/api/v2/traceMany?traceIds={TRACE},0000000000000001")).await;
    assert_eq!(many.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn names_services_values_and_calls_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    give(&server, &spans()).await;
    for (path, expected) in [
        ("services", json!(["backend", "frontend"])),
        ("spans?serviceName=Frontend", json!(["get /api"])),
        ("spans?serviceName=nobody", json!([])),
        ("remoteServices?serviceName=frontend", json!(["backend"])),
        ("autocompleteValues?key=http.path", json!(["/api"])),
    ] {
        assert_eq!(get(&server, &format!("/api/v2/{path}")).await, expected, "{path}");
    }
    let keys = get(&server, "/api/v2/autocompleteKeys").await;
    assert!(keys.as_array().unwrap().contains(&json!("clnt/finagle.version")), "{keys}");
    let calls = get(&server, "/api/v2/dependencies?endTs=4102444800000&lookback=4102444800000").await;
    let expected = json!([{ "parent": "frontend", "child": "backend", "callCount": 1, "errorCount": 1 }]);
    assert_eq!(calls, expected);
}

#[tokio::test]
async fn a_trace_is_found_by_what_spans_of_the_service_have_and_by_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    give(&server, &spans()).await;
    let range = format!("endTs={}&lookback=1000", START / 1_000 + 500);
    for (asked, is_found) in [
        ("serviceName=frontend", true),
        ("serviceName=FrontEnd&spanName=GET /api", true),
        ("serviceName=frontend&spanName=compute", false),
        ("serviceName=backend&spanName=compute&minDuration=200000", true),
        ("serviceName=backend&minDuration=200001", false),
        ("serviceName=backend&maxDuration=1", true),
        ("serviceName=frontend&remoteServiceName=backend", true),
        ("serviceName=backend&remoteServiceName=backend", false),
        ("serviceName=frontend&annotationQuery=wire send and http.path=/api", true),
        ("serviceName=frontend&annotationQuery=http.path=/other", false),
        ("annotationQuery=error", true),
        ("serviceName=frontend&annotationQuery=error", false),
        ("serviceName=nobody", false),
    ] {
        let path = format!("/api/v2/traces?{range}&{}", asked.replace(' ', "%20"));
        let found = get(&server, &path).await;
        assert_eq!(!found.as_array().unwrap().is_empty(), is_found, "{asked}: {found}");
    }
    let before = get(&server, &format!("/api/v2/traces?endTs={}", START / 1_000 - 1)).await;
    assert_eq!(before, json!([]));
}

#[tokio::test]
async fn what_is_not_there_or_asked_wrongly_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    for (path, expected) in [
        ("trace/463ac35c9f6413ad", 404),
        ("trace/xyz", 400),
        ("spans", 400),
        ("traces?limit=many", 400),
        ("dependencies", 400),
    ] {
        let (status, problem) = ask(&server, Method::GET, &format!("/api/v2/{path}"), "").await;
        assert_eq!(status, expected, "{path}: {problem}");
    }
}

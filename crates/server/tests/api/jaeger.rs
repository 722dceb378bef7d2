//! Jaeger's query API, asked with the queries and the traces of Jaeger's own integration tests.

use std::{collections::BTreeSet, fs};

use http::Method;
use serde_json::{Value as Json, json};
use server::Server;

use crate::asking::*;

const VECTORS: &str = "../../../shared/vectors/jaeger";

async fn give(server: &Server, document: &str) {
    let headers = [("content-type", "application/json")];
    let (status, answer) = ask_as(server, Method::POST, "/v1/traces", &headers, document).await;
    assert_eq!((status.as_u16(), &answer), (200, &json!({})));
}

/// Escapes what a query may not hold as it is.
fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn micros(time: &Json) -> u64 {
    time.as_str().unwrap().parse::<identity::Wall>().unwrap().0 / 1_000
}

/// The query as Jaeger's console would send it.
fn path(query: &Json) -> String {
    let mut path = format!(
        "/api/traces?service={}&operation={}&start={}&end={}&limit={}",
        query["ServiceName"].as_str().unwrap(),
        query["OperationName"].as_str().unwrap_or_default(),
        micros(&query["StartTimeMin"]),
        micros(&query["StartTimeMax"]),
        query["NumTraces"],
    );
    if let Some(tags) = query["Tags"].as_object() {
        let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let tags: Json = tags.iter().map(|(key, value)| (key.clone(), json!(text(value)))).collect();
        path.push_str(&format!("&tags={}", escaped(&tags.to_string())));
    }
    for (name, field) in [("minDuration", "DurationMin"), ("maxDuration", "DurationMax")] {
        if let Some(nanos) = query[field].as_u64().filter(|nanos| *nanos > 0) {
            path.push_str(&format!("&{name}={nanos}ns"));
        }
    }
    path
}

fn ids(answer: &Json) -> BTreeSet<String> {
    let traces = answer["data"].as_array().unwrap().iter();
    traces.map(|trace| trace["traceID"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn jaegers_own_queries_find_what_they_must_find() {
    let Ok(queries) = fs::read_to_string(format!("{VECTORS}/queries.json")) else {
        println!(
            "skipped: jaegers_own_queries_find_what_they_must_find because ../shared/vectors is not there"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut fixtures = std::collections::BTreeMap::new();
    for file in fs::read_dir(VECTORS).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name != "queries" {
            let document = fs::read_to_string(&path).unwrap();
            give(&server, &document).await;
            fixtures.insert(name, serde_json::from_str::<Json>(&document).unwrap());
        }
    }
    let id_of = |fixture: &Json| {
        let fixture = &fixtures[fixture.as_str().unwrap()];
        fixture["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"].as_str().unwrap().to_owned()
    };
    let queries: Vec<Json> = serde_json::from_str(&queries).unwrap();
    assert!(queries.len() >= 12);
    for query in &queries {
        let found = get(&server, &path(&query["Query"])).await;
        let expected: BTreeSet<String> =
            query["ExpectedFixtures"].as_array().unwrap().iter().map(id_of).collect();
        assert_eq!(ids(&found), expected, "{}", query["Caption"]);
    }
}

fn two_services() -> String {
    let span = |id: &str, parent: &str, kind: u8, name: &str| {
        json!({
            "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": id, "parentSpanId": parent, "kind": kind,
            "name": name, "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000005000000",
            "attributes": [
                { "key": "double", "value": { "doubleValue": 643.0 } },
                { "key": "int", "value": { "intValue": "643" } },
            ],
            "events": [{ "timeUnixNano": "1700000000001000000", "name": "miss" }],
            "status": { "code": 2, "message": "refused" },
        })
    };
    let of = |service: &str, span: Json| {
        let name = json!({ "key": "service.name", "value": { "stringValue": service } });
        json!({ "resource": { "attributes": [name] }, "scopeSpans": [{ "spans": [span] }] })
    };
    let caller = of("front", span("b7ad6b7169203331", "", 3, "call"));
    let callee = of("back", span("b7ad6b7169203332", "b7ad6b7169203331", 2, "serve"));
    json!({ "resourceSpans": [caller, callee] }).to_string()
}

#[tokio::test]
async fn services_operations_traces_and_dependencies_have_jaegers_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    give(&server, &two_services()).await;
    let services = get(&server, "/api/services").await;
    let expected = json!({ "data": ["back", "front"], "total": 2, "limit": 0, "offset": 0, "errors": null });
    assert_eq!(services, expected);
    assert_eq!(get(&server, "/api/services/back/operations").await["data"], json!(["serve"]));
    let operations = get(&server, "/api/operations?service=front").await;
    assert_eq!(operations["data"], json!([{ "name": "call", "spanKind": "" }]));

    let trace = get(&server, "/api/traces/AF7651916CD43DD8448EB211C80319C").await["data"][0].clone();
    assert_eq!(trace["traceID"], "0af7651916cd43dd8448eb211c80319c");
    let spans = trace["spans"].as_array().unwrap();
    let served = spans.iter().find(|span| span["operationName"] == "serve").unwrap();
    let parent = json!({ "refType": "CHILD_OF", "traceID": trace["traceID"], "spanID": "b7ad6b7169203331" });
    assert_eq!(served["references"], json!([parent]));
    assert_eq!(
        (&served["startTime"], &served["duration"]),
        (&json!(1_700_000_000_000_000_u64), &json!(5_000))
    );
    let tags = served["tags"].as_array().unwrap();
    for tag in [
        json!({ "key": "double", "type": "float64", "value": 643.0 }),
        json!({ "key": "int", "type": "int64", "value": 643 }),
        json!({ "key": "span.kind", "type": "string", "value": "server" }),
        json!({ "key": "error", "type": "bool", "value": true }),
        json!({ "key": "otel.status_description", "type": "string", "value": "refused" }),
    ] {
        assert!(tags.contains(&tag), "{tag} is not among {tags:?}");
    }
    assert_eq!(served["logs"][0]["timestamp"], 1_700_000_000_001_000_u64);
    assert_eq!(served["logs"][0]["fields"][0]["value"], "miss");
    let process = served["processID"].as_str().unwrap();
    assert_eq!(trace["processes"][process]["serviceName"], "back");

    let end = "1700000060000";
    let dependencies = get(&server, &format!("/api/dependencies?endTs={end}&lookback=3600000")).await;
    assert_eq!(dependencies["data"], json!([{ "parent": "front", "child": "back", "callCount": 1 }]));
    for (query, found) in [
        ("service=back", 1),
        ("service=back&tags=%7B%22error%22%3A%22true%22%7D", 1),
        ("service=back&tag=int:643&tag=double:643", 1),
        ("service=back&tag=int:644", 0),
        ("service=back&operation=call", 0),
        ("service=back&minDuration=5ms&maxDuration=5ms", 1),
        ("service=back&minDuration=5.1ms", 0),
        ("service=nobody", 0),
        ("traceID=af7651916cd43dd8448eb211c80319c&traceID=1", 1),
    ] {
        let answer = get(&server, &format!("/api/traces?{query}")).await;
        assert_eq!(answer["data"].as_array().unwrap().len(), found, "{query}: {answer}");
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_or_is_not_there_is_an_error_in_jaegers_shape() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    for (path, status, says) in [
        ("/api/traces", 400, "service"),
        ("/api/traces?service=a&minDuration=5", 400, "minDuration"),
        ("/api/traces?service=a&tags=x", 400, "JSON object"),
        ("/api/traces?service=a&start=x", 400, "start"),
        ("/api/traces/xyz", 400, "hexadecimal"),
        ("/api/traces/1", 404, "no trace"),
    ] {
        let (answered, body) = ask(&server, Method::GET, path, "").await;
        assert_eq!(
            (answered.as_u16(), &body["errors"][0]["code"]),
            (status, &json!(status)),
            "{path}: {body}"
        );
        assert!(body["errors"][0]["msg"].as_str().unwrap().contains(says), "{path}: {body}");
    }
}

//! Traces as files, and what spans say.

use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use server::Server;

use crate::asking::*;

const OTLP: (&str, &str) = ("content-type", "application/json");

/// A trace of two spans of `cart`, the second of which has the attribute `http.route`.
fn request(trace: u32, route: &str) -> String {
    let attribute = json!({ "key": "http.route", "value": { "stringValue": route } });
    let span = |id: u32, attributes: Json| {
        json!({
            "traceId": format!("{trace:032x}"), "spanId": format!("{id:016x}"), "name": "GET /",
            "startTimeUnixNano": (1_700_000_000_000_000_000_u64 + u64::from(trace)).to_string(),
            "endTimeUnixNano": "1700000001000000000", "attributes": attributes,
        })
    };
    let spans = [span(1, json!([])), span(2, json!([attribute]))];
    let service = json!({ "key": "service.name", "value": { "stringValue": "cart" } });
    let resource = json!({ "attributes": [service] });
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": spans }] }] }).to_string()
}

async fn filled(folder: &std::path::Path, traces: u32) -> Server {
    let server = start(folder).await;
    for trace in 1..=traces {
        let route = if trace == 3 { "/rare" } else { "/often" };
        let (status, answer) =
            ask_as(&server, Method::POST, "/v1/traces", &[OTLP], request(trace, route)).await;
        assert_eq!(status, 200, "{answer}");
    }
    server
}

async fn file(server: &Server, path: &str) -> Vec<u8> {
    let response = send(server, Method::GET, path, &[], "").await;
    assert_eq!(response.status(), 200, "{path}");
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

#[tokio::test]
async fn what_is_exported_can_be_sent_to_another_server_and_is_the_same_there() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = filled(here.path(), 250).await;
    let lines = file(&server, "/bellwether/v1/traces/export").await;
    let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 250, "a line for each trace, over several pages");
    let other = start(there.path()).await;
    for line in lines {
        assert_eq!(ask_as(&other, Method::POST, "/v1/traces", &[OTLP], line).await.0, 200);
    }
    for trace in [1, 3, 250] {
        let path = format!("/bellwether/v1/traces/{trace:032x}");
        assert_eq!(get(&other, &path).await, get(&server, &path).await);
    }
}

#[tokio::test]
async fn an_export_has_the_traces_that_were_asked_for_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path(), 5).await;
    for (asked, expected) in [
        ("q=http.route=/rare", 1),
        ("ids=1,00000000000000000000000000000004,99", 2),
        ("limit=4", 4),
        ("service=nobody", 0),
        ("end=2023-01-01T00:00:00Z", 0),
        ("format=otlp-json&service=cart&start=2023-01-01T00:00:00Z", 5),
    ] {
        let lines = file(&server, &format!("/bellwether/v1/traces/export?{asked}")).await;
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), expected, "{asked}");
    }
    for wrong in ["format=xml", "limit=0", "ids=xyz", "q=(", "start=yesterday"] {
        let path = format!("/bellwether/v1/traces/export?{wrong}");
        let (status, problem) = ask(&server, Method::GET, &path, "").await;
        assert_eq!(status, 400, "{wrong}: {problem}");
    }
}

#[tokio::test]
async fn an_export_to_parquet_is_a_parquet_file_with_a_row_for_each_span() {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path(), 5).await;
    let bytes = file(&server, "/bellwether/v1/traces/export?format=parquet&limit=4").await;
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 8);
    let columns = reader.metadata().file_metadata().schema_descr();
    let names: Vec<&str> = columns.columns().iter().map(|column| column.name()).collect();
    assert!(names.contains(&"TraceId") && names.contains(&"SpanAttributes.http.route"), "{names:?}");
}

#[tokio::test]
async fn keys_and_values_of_attributes_are_listed_the_most_frequent_first() {
    let folder = tempfile::tempdir().unwrap();
    let server = filled(folder.path(), 5).await;
    let keys = get(&server, "/bellwether/v1/traces/attributes?prefix=http.").await;
    assert_eq!(keys, json!({ "keys": [{ "key": "http.route", "spans": 5, "types": ["text"] }] }));
    let path = "/bellwether/v1/traces/attributes/http.route";
    let [often, rare] = [json!({ "value": "/often", "spans": 4 }), json!({ "value": "/rare", "spans": 1 })];
    for (asked, expected) in [
        ("", json!([often, rare])),
        ("?prefix=/r", json!([rare])),
        ("?limit=1", json!([often])),
        ("?service=nobody", json!([])),
    ] {
        let values = get(&server, &format!("{path}{asked}")).await;
        assert_eq!(values, json!({ "key": "http.route", "values": expected }), "{asked}");
    }
}

//! Spans of senders that are not ours: OTLP over HTTP and gRPC, and Zipkin.

use std::{io::Write, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use tokio::io::AsyncWriteExt;

use super::*;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn span(trace: u8, id: u8) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        name: "GET /".into(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_005_000_000,
        attributes: vec![
            attribute("double", Value::DoubleValue(643.0)),
            attribute("int", Value::IntValue(643)),
            attribute("text", Value::StringValue("643".into())),
        ],
        ..Default::default()
    }
}

fn of_namespace(namespace: &str, spans: Vec<Span>) -> ResourceSpans {
    let attributes = [("service.name", "cart"), ("service.namespace", namespace)];
    let attributes = attributes.map(|(key, value)| attribute(key, Value::StringValue(value.into()))).to_vec();
    ResourceSpans {
        resource: Some(Resource { attributes, ..Default::default() }),
        scope_spans: vec![ScopeSpans { spans, ..Default::default() }],
        ..Default::default()
    }
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest { resource_spans: vec![of_namespace("default", spans)] }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn export(
    server: &Server,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> (u16, HeaderMap, Bytes) {
    let response = send(server, Method::POST, "/v1/traces", headers, body).await;
    let (head, body) = response.into_parts();
    (head.status.as_u16(), head.headers, body.collect().await.unwrap().to_bytes())
}

/// The account of spans: received, stored, and what was dropped.
async fn account(server: &Server) -> (u64, u64, Json) {
    let ledger = get(server, "/bellwether/v1/ledger").await["spans"].clone();
    let figure = |name: &str| ledger[name].as_u64().unwrap();
    let dropped: u64 = ledger["dropped"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(figure("received"), figure("stored") + figure("sampled_out") + dropped, "{ledger}");
    (figure("received"), figure("stored"), ledger["dropped"].clone())
}

async fn all_are_found(server: &Server) {
    for trace in 1..=5_u8 {
        let id = format!("{trace:02x}").repeat(16);
        let response = send(server, Method::GET, &format!("/bellwether/v1/traces/{id}"), &[], "").await;
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let found: Json = serde_json::from_slice(&text).unwrap();
        let attributes = &found["spans"][0]["attributes"];
        assert!(attributes["double"].is_f64() && attributes["int"].is_u64(), "{found}");
        assert_eq!(attributes["text"], "643");
        assert!(text.windows(14).any(|part| part == br#""double":643.0"#), "{}", text.escape_ascii());
    }
}

#[tokio::test]
async fn spans_come_in_each_encoding_and_coding_and_keep_their_types_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let bytes = |trace| request(vec![span(trace, trace)]).encode_to_vec();
    let json = |trace| serde_json::to_vec(&request(vec![span(trace, trace)])).unwrap();
    let zstd = zstd::encode_all(bytes(5).as_slice(), 3).unwrap();
    for (headers, body, answer) in [
        (vec![PROTOBUF], bytes(1), &b""[..]),
        (vec![("content-type", "application/json; charset=utf-8")], json(2), b"{}"),
        (vec![PROTOBUF, ("content-encoding", "gzip")], gzip(&bytes(3)), b""),
        (vec![JSON, ("content-encoding", "gzip")], gzip(&json(4)), b"{}"),
        (vec![PROTOBUF, ("content-encoding", "zstd")], zstd, b""),
    ] {
        let (status, answered, body) = export(&server, &headers, body).await;
        assert_eq!((status, &body[..]), (200, answer), "{headers:?}");
        assert!(headers[0].1.starts_with(answered["content-type"].to_str().unwrap()));
    }
    all_are_found(&server).await;
    assert_eq!(account(&server).await, (5, 5, json!({})));
    server.shutdown().await;
    let server = start(folder.path()).await;
    all_are_found(&server).await;
    assert_eq!(account(&server).await, (5, 5, json!({})));
}

#[tokio::test]
async fn what_is_known_of_a_library_is_kept_searched_shown_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let scope = |version: &str, attributes| InstrumentationScope {
        name: "library".into(),
        version: version.into(),
        attributes,
        ..Default::default()
    };
    let short = vec![attribute("short_name", Value::StringValue("lib".into()))];
    let mut with = request(vec![span(1, 1)]);
    with.resource_spans[0].scope_spans[0].scope = Some(scope("1.2", short));
    let mut without = request(vec![span(2, 1)]);
    without.resource_spans[0].scope_spans[0].scope = Some(scope("1.2", vec![]));
    for request in [with, without] {
        assert_eq!(export(&server, &[PROTOBUF], request.encode_to_vec()).await.0, 200);
    }
    let check = async |server: &Server| {
        let trace = get(server, &format!("/bellwether/v1/traces/{}", "01".repeat(16))).await;
        let expected = json!({ "name": "library", "version": "1.2", "attributes": { "short_name": "lib" } });
        assert_eq!(trace["spans"][0]["scope"], expected);
        let found = get(server, "/bellwether/v1/traces?q=scope.short_name%3Dlib").await;
        let ids: Vec<_> = found["traces"].as_array().unwrap().iter().map(|of| &of["trace_id"]).collect();
        assert_eq!(ids, [&json!("01".repeat(16))]);
        let file =
            send(server, Method::GET, "/bellwether/v1/traces/export?q=exists(scope.short_name)", &[], "")
                .await;
        let line = file.into_body().collect().await.unwrap().to_bytes();
        let exported: Json = serde_json::from_slice(&line).unwrap();
        let attributes = &exported["resourceSpans"][0]["scopeSpans"][0]["scope"]["attributes"];
        assert_eq!(*attributes, json!([{ "key": "short_name", "value": { "stringValue": "lib" } }]));
    };
    check(&server).await;
    server.shutdown().await;
    check(&start(folder.path()).await).await;
}

#[tokio::test]
async fn spans_that_break_a_rule_are_named_and_their_neighbours_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut nameless = span(1, 2);
    nameless.trace_id.clear();
    let mut backwards = span(1, 3);
    backwards.end_time_unix_nano = 1;
    let mixed = request(vec![nameless, span(1, 1), backwards.clone(), backwards]);
    let (status, _, body) = export(&server, &[PROTOBUF], mixed.encode_to_vec()).await;
    let partial = ExportTraceServiceResponse::decode(body).unwrap().partial_success.unwrap();
    assert_eq!((status, partial.rejected_spans), (200, 3));
    assert!(partial.error_message.contains("1 span: invalid_trace_id"), "{}", partial.error_message);
    let (_, _, body) = export(&server, &[JSON], serde_json::to_vec(&mixed).unwrap()).await;
    let body: Json = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["partialSuccess"]["rejectedSpans"], "3");
    let dropped = json!({ "invalid_trace_id": 2, "ends_before_start": 4 });
    assert_eq!(account(&server).await, (8, 2, dropped.clone()));
    server.shutdown().await;
    let server = start(folder.path()).await;
    assert_eq!(account(&server).await, (8, 2, dropped));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_in_the_encoding_of_the_request_and_not_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let good = request(vec![span(1, 1)]).encode_to_vec();
    let bomb = gzip(&vec![0; 64 << 20]);
    let large = vec![0; 9 << 20];
    for (headers, body, expected, says) in [
        (vec![PROTOBUF], &good[..good.len() - 1], 400, "longer than its message"),
        (vec![JSON], b"{", 400, "line 1 column"),
        (vec![PROTOBUF, ("content-encoding", "gzip")], &good[..], 400, "cannot be decompressed"),
        (vec![PROTOBUF, ("content-encoding", "br")], &good[..], 415, "gzip, zstd"),
        (vec![("content-type", "text/plain")], &good[..], 415, "application/x-protobuf"),
        (vec![PROTOBUF, ("content-encoding", "gzip")], &bomb[..], 413, "once it is decompressed"),
        (vec![PROTOBUF], &large[..], 413, "once it is decompressed"),
    ] {
        let (status, answered, body) = export(&server, &headers, body).await;
        let text = String::from_utf8_lossy(&body);
        assert_eq!(status, expected, "{text}");
        assert!(text.contains(says), "{text}");
        let is_json = answered["content-type"] == "application/json";
        assert_eq!(is_json, headers[0] != PROTOBUF);
        assert_eq!(is_json, serde_json::from_slice::<Json>(&body).is_ok());
    }
    assert_eq!(account(&server).await, (0, 0, json!({})));
    let metrics = send(&server, Method::GET, "/metrics", &[], "").await.into_body().collect().await.unwrap();
    let metrics = String::from_utf8(metrics.to_bytes().to_vec()).unwrap();
    assert!(metrics.contains(r#"bellwether_span_requests_refused_total{reason="too_large"} 2"#), "{metrics}");
}

#[tokio::test]
async fn a_disk_without_room_is_said_to_be_so_for_now() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_with(folder.path(), |settings| settings.budgets.reserve_bytes = u64::MAX / 2).await;
    let body = serde_json::to_vec(&request(vec![span(1, 1)])).unwrap();
    let (status, headers, body) = export(&server, &[JSON], body).await;
    assert_eq!((status, &headers["retry-after"]), (503, &"5".parse::<http::HeaderValue>().unwrap()));
    let body: Json = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["code"], &body["details"][0]["retryDelay"]), (&json!(14), &json!("5s")));
    assert_eq!(account(&server).await, (0, 0, json!({})));
}

/// A request of which nothing but the head and a byte comes.
async fn stall(address: SocketAddr, bytes: usize) -> tokio::net::TcpStream {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {bytes}\r\n\r\n\0"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn requests_beyond_the_room_there_is_are_told_to_come_back_and_registrations_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let address = server.local_addr();
    let body = request(vec![span(1, 1)]).encode_to_vec();
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(stall(address, 8 << 20).await);
    }
    let (mut taken, body_of) = (0, &body);
    let (headers, refused) = until("no room", async || {
        let (status, headers, answer) = export(&server, &[PROTOBUF], body_of).await;
        taken += u64::from(status == 200);
        (status == 429).then_some((headers, answer))
    })
    .await;
    assert_eq!(headers["retry-after"], "1");
    assert!(refused.windows(9).any(|part| part == b"RetryInfo"), "{}", refused.escape_ascii());
    let (status, registered) = ask(&server, Method::PUT, HELLO_1, r#"{"address":"10.0.0.7","port":1}"#).await;
    assert_eq!(status, 201, "{registered}");
    drop(held);
    until("room again", async || {
        let (status, ..) = export(&server, &[PROTOBUF], body_of).await;
        taken += u64::from(status == 200);
        (status == 200).then_some(())
    })
    .await;
    assert_eq!(account(&server).await.0, taken);
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_namespace_writes_spans_of_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let token = json!({ "name": "ci", "scopes": ["write"], "namespaces": ["default"] });
    let (_, token) =
        server::create_token_offline(folder.path(), &serde_json::from_value(token).unwrap()).await.unwrap();
    let reader = json!({ "name": "reader", "scopes": ["read"] });
    let (_, reader) =
        server::create_token_offline(folder.path(), &serde_json::from_value(reader).unwrap()).await.unwrap();
    let server = start_with(folder.path(), |settings| settings.require_tokens = true).await;
    let mut both = request(vec![span(1, 1)]);
    both.resource_spans.push(of_namespace("other", vec![span(2, 2), span(2, 3)]));
    let body = both.encode_to_vec();
    let bearer = |token: &str| format!("Bearer {token}");
    let (status, _, answer) = export(&server, &[PROTOBUF, ("authorization", &bearer(&token))], &body).await;
    let partial = ExportTraceServiceResponse::decode(answer).unwrap().partial_success.unwrap();
    assert_eq!((status, partial.rejected_spans), (200, 2));
    assert!(partial.error_message.contains("namespace_denied"));
    let (status, ..) = export(&server, &[PROTOBUF, ("authorization", &bearer(&reader))], &body).await;
    assert_eq!(status, 403);
    let (status, ..) = export(&server, &[PROTOBUF], &body).await;
    assert_eq!(status, 401);
}

async fn call(server: &Server, coding: &str, frame: Vec<u8>) -> (HeaderMap, Bytes) {
    let address = server.local_addr();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let uri = format!("http://{address}/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    let request = Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
    let request = request.header("grpc-encoding", coding).body(Full::<Bytes>::from(frame)).unwrap();
    let response: Response<Incoming> = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut all = response.headers().clone();
    let body = response.into_body().collect().await.unwrap();
    all.extend(body.trailers().cloned().unwrap_or_default());
    (all, body.to_bytes())
}

fn frame(compressed: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[compressed][..], &length, message].concat()
}

#[tokio::test]
async fn grpc_takes_spans_plain_and_compressed_and_refuses_in_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let message = |trace| request(vec![span(trace, trace)]).encode_to_vec();
    let zstd = zstd::encode_all(message(3).as_slice(), 3).unwrap();
    for (coding, sent) in [
        ("identity", frame(0, &message(1))),
        ("gzip", frame(1, &gzip(&message(2)))),
        ("zstd", frame(1, &zstd)),
        ("gzip", frame(0, &message(4))),
        ("identity", frame(0, &message(5))),
    ] {
        let (headers, body) = call(&server, coding, sent).await;
        assert_eq!((&headers["grpc-status"], &body[..]), (&"0".parse().unwrap(), &[0; 5][..]), "{headers:?}");
    }
    all_are_found(&server).await;
    let mut nameless = span(1, 2);
    nameless.trace_id.clear();
    let (_, body) = call(&server, "identity", frame(0, &request(vec![nameless]).encode_to_vec())).await;
    let partial = ExportTraceServiceResponse::decode(&body[5..]).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    for (coding, sent, code) in [
        ("identity", frame(0, b"\x07"), "3"),
        ("identity", vec![0, 0], "3"),
        ("identity", [frame(0, b""), frame(0, b"")].concat(), "3"),
        ("snappy", frame(1, b""), "3"),
        ("gzip", frame(1, &gzip(&vec![0; 64 << 20])), "3"),
    ] {
        let (headers, _) = call(&server, coding, sent).await;
        assert_eq!(headers["grpc-status"], code, "{headers:?}");
    }
    assert_eq!(account(&server).await, (6, 5, json!({ "invalid_trace_id": 1 })));
}

#[tokio::test]
async fn grpc_says_when_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(stall(server.local_addr(), 8 << 20).await);
    }
    let sent = frame(0, &request(vec![span(1, 1)]).encode_to_vec());
    let headers = until("no room", async || {
        let (headers, _) = call(&server, "identity", sent.clone()).await;
        (headers["grpc-status"] != "0").then_some(headers)
    })
    .await;
    assert_eq!(headers["grpc-status"], "8", "RESOURCE_EXHAUSTED");
    assert!(headers.contains_key("grpc-status-details-bin"), "{headers:?}");
}

#[tokio::test]
async fn zipkin_posts_spans_and_finds_them_by_both_ids() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path()).await;
    let list = json!([
        { "traceId": "abc", "id": "1", "name": "get", "timestamp": 1_700_000_000_000_000_u64, "duration": 7,
          "kind": "SERVER", "localEndpoint": { "serviceName": "cart" }, "tags": { "error": "no" } },
        { "traceId": "abc", "id": "zzz", "timestamp": 1 },
    ])
    .to_string();
    let zipped = gzip(list.as_bytes());
    let (status, _) = ask_as(&server, Method::POST, "/api/v2/spans", &[JSON], &list).await;
    assert_eq!(status, 202);
    let headers = [JSON, ("content-encoding", "gzip")];
    let (status, _) = ask_as(&server, Method::POST, "/api/v2/spans", &headers, &zipped).await;
    assert_eq!(status, 202);
    let trace = get(&server, "/bellwether/v1/traces/abc").await;
    assert_eq!((&trace["spans"][0]["service"], &trace["duration_ns"]), (&json!("cart"), &json!(7_000)));
    assert_eq!(trace["spans"][0]["status"], json!({ "code": "error", "message": "no" }));
    assert_eq!(account(&server).await, (4, 2, json!({ "invalid_span_id": 2 })));
    let (status, problem) = ask_as(&server, Method::POST, "/api/v2/spans", &[JSON], "{}").await;
    assert_eq!((status.as_u16(), &problem["code"]), (400, &json!("BW-1401")));
}

#[tokio::test]
async fn a_listener_for_telemetry_takes_spans_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let server = start_with(folder.path(), |settings| settings.telemetry.push(socket)).await;
    let ask = async |method: &str, path: &str, body: Vec<u8>| {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", address.to_string());
        let request = request.header("content-type", "application/x-protobuf");
        let request = request.body(Full::<Bytes>::from(body)).unwrap();
        sender.send_request(request).await.unwrap().status().as_u16()
    };
    assert_eq!(ask("POST", "/v1/traces", request(vec![span(1, 1)]).encode_to_vec()).await, 200);
    assert_eq!(ask("GET", "/bellwether/v1/ledger", vec![]).await, 404);
    assert_eq!(account(&server).await.1, 1);
    server.shutdown().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

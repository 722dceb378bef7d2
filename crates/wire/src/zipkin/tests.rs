//! Zipkin's spans as its documentation and its senders have them.

use proptest::{collection::vec, prelude::*};
use serde_json::json;
use traces::{Kind as Role, StatusCode, borrowed::Owned};

use super::*;
use crate::{otlp, protobuf::Writer};

fn owned(request: &[u8]) -> Vec<traces::Span> {
    let decoded = otlp::decode(request, &otlp::Limits::default()).unwrap();
    let mut sink = Owned::default();
    decoded.batch.give(&mut sink);
    sink.spans
}

fn one(span: serde_json::Value) -> traces::Span {
    owned(&from_json(json!([span]).to_string().as_bytes()).unwrap()).remove(0)
}

fn example() -> serde_json::Value {
    json!({
        "id": "352bff9a74ca9ad2", "traceId": "5af7183fb1d4cf5f", "parentId": "6b221d5bc9e6496c",
        "name": "get /api", "timestamp": 1_556_604_172_355_737_u64, "duration": 1_431, "kind": "CLIENT",
        "localEndpoint": { "serviceName": "backend", "ipv4": "192.168.99.1", "port": 3306 },
        "remoteEndpoint": { "serviceName": "db", "ipv6": "2001:db8::c001", "port": 8080 },
        "annotations": [{ "timestamp": 1_556_604_172_355_800_u64, "value": "cache miss" }],
        "tags": { "http.method": "GET", "http.path": "/api" }, "debug": true,
    })
}

#[test]
fn a_span_means_the_same_in_the_other_model() {
    let span = one(example());
    assert_eq!(span.trace_id.to_string(), "00000000000000005af7183fb1d4cf5f");
    assert_eq!(span.span_id.to_string(), "352bff9a74ca9ad2");
    assert_eq!(span.parent_span_id.unwrap().to_string(), "6b221d5bc9e6496c");
    assert_eq!((span.service(), span.name.as_ref(), span.kind), ("backend", "get /api", Role::Client));
    assert_eq!((span.start.0, span.duration_ns), (1_556_604_172_355_737_000, 1_431_000));
    let attribute = |key: &str| span.attributes.get(key).map(ToString::to_string).unwrap_or_default();
    assert_eq!((attribute("http.method").as_str(), attribute("peer.service").as_str()), ("GET", "db"));
    assert_eq!(attribute("network.local.address"), "192.168.99.1");
    assert_eq!(attribute("network.peer.address"), "2001:db8::c001");
    assert_eq!(span.attributes.get("network.peer.port"), Some(&traces::Value::Int(8080)));
    assert_eq!(
        (span.events[0].name.as_ref(), span.events[0].at.0),
        ("cache miss", 1_556_604_172_355_800_000)
    );
    assert_eq!(span.status.code, StatusCode::Unset);
}

#[test]
fn a_tag_named_error_is_a_failure_with_its_text() {
    let with = |tags: serde_json::Value| {
        let mut span = example();
        span["tags"] = tags;
        let span = one(span);
        (span.status.code, span.status.message.to_string())
    };
    assert_eq!(with(json!({ "error": "refused" })), (StatusCode::Error, "refused".to_owned()));
    assert_eq!(with(json!({ "error": "true" })), (StatusCode::Error, String::new()));
    assert_eq!(with(json!({ "error": "" })), (StatusCode::Error, String::new()));
    assert_eq!(with(json!({ "error": "false" })).0, StatusCode::Unset);
    assert_eq!(with(json!({ "otel.status_code": "OK" })).0, StatusCode::Ok);
    let both = json!({ "otel.status_code": "ERROR", "otel.status_description": "no", "error": "x" });
    assert_eq!(with(both), (StatusCode::Error, "no".to_owned()));
}

#[test]
fn a_shared_span_gets_an_id_of_its_own_and_takes_its_children_along() {
    let part = |kind: Option<&str>, id: &str, parent: Option<&str>, service: &str, shared: bool| {
        json!({
            "traceId": "1", "id": id, "parentId": parent, "kind": kind, "timestamp": 5, "duration": 1,
            "localEndpoint": { "serviceName": service }, "shared": shared,
        })
    };
    let list = json!([
        part(Some("CLIENT"), "a", None, "front", false),
        part(Some("SERVER"), "a", None, "back", true),
        part(None, "b", Some("a"), "back", false),
        part(None, "c", Some("a"), "front", false),
    ]);
    let spans = owned(&from_json(list.to_string().as_bytes()).unwrap());
    let of = |service: &str, kind: Role| {
        spans.iter().find(|span| span.service() == service && span.kind == kind).unwrap()
    };
    let (client, server) = (of("front", Role::Client), of("back", Role::Server));
    assert_eq!(client.span_id.get(), 0xa);
    assert_ne!(server.span_id, client.span_id);
    assert_eq!(server.parent_span_id, Some(client.span_id));
    assert_eq!(of("back", Role::Internal).parent_span_id, Some(server.span_id));
    assert_eq!(of("front", Role::Internal).parent_span_id, Some(client.span_id));
}

#[test]
fn what_breaks_a_rule_is_refused_alone() {
    let mut bad = example();
    bad["id"] = "not hexadecimal".into();
    let mut late = example();
    late["timestamp"] = serde_json::Value::Null;
    let list = json!([bad, example(), late]);
    let request = from_json(list.to_string().as_bytes()).unwrap();
    let decoded = otlp::decode(&request, &otlp::Limits::default()).unwrap();
    assert_eq!((decoded.received, decoded.refused.total()), (3, 1));
    // Without a start of its own it began with its first annotation.
    assert_eq!(decoded.batch.spans[1].start.0, 1_556_604_172_355_800_000);
    assert!(from_json(b"{}").unwrap_err().to_string().contains("expected a sequence"));
}

#[test]
fn protocol_buffers_say_the_same_as_json() {
    let mut list = Writer::default();
    list.message(1, |span| {
        span.bytes(1, &0x5af7_183f_b1d4_cf5f_u64.to_be_bytes());
        span.bytes(2, &0x6b22_1d5b_c9e6_496c_u64.to_be_bytes());
        span.bytes(3, &0x352b_ff9a_74ca_9ad2_u64.to_be_bytes());
        span.varint(4, 1);
        span.bytes(5, b"get /api");
        span.fixed64(6, 1_556_604_172_355_737);
        span.varint(7, 1_431);
        span.message(8, |end| {
            end.bytes(1, b"backend");
            end.bytes(2, &[192, 168, 99, 1]);
            end.varint(4, 3306);
        });
        span.message(9, |end| {
            end.bytes(1, b"db");
            end.bytes(3, &[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0x01]);
            end.varint(4, 8080);
        });
        span.message(10, |annotation| {
            annotation.fixed64(1, 1_556_604_172_355_800);
            annotation.bytes(2, b"cache miss");
        });
        for (key, value) in [("http.method", "GET"), ("http.path", "/api")] {
            span.message(11, |tag| {
                tag.bytes(1, key.as_bytes());
                tag.bytes(2, value.as_bytes());
            });
        }
        span.varint(12, 1);
    });
    assert_eq!(owned(&from_protobuf(&list.into_bytes()).unwrap()), [one(example())]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_what_is_rewritten_is_read(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(request) = from_protobuf(&bytes) {
            otlp::decode(&request, &otlp::Limits::default()).unwrap();
        }
        let _ = from_json(&bytes);
    }
}

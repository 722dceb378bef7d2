//! JSON as it is written by people, other languages and OpenTelemetry's own examples.

use serde_json::json;
use traces::{Kind, StatusCode, Value};

use super::*;

fn spans(document: &serde_json::Value) -> Vec<traces::Span> {
    let bytes = from_json(document.to_string().as_bytes()).unwrap();
    owned(&decode(&bytes, &Limits::default()).unwrap().batch)
}

fn document(span: serde_json::Value) -> serde_json::Value {
    json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [span] }] }] })
}

/// A span with this value as its only attribute.
fn with(value: serde_json::Value) -> Value {
    let span = json!({
        "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331",
        "startTimeUnixNano": 1, "endTimeUnixNano": 2, "attributes": [{ "key": "k", "value": value }],
    });
    spans(&document(span))[0].attributes.get("k").unwrap().clone()
}

#[test]
fn numbers_may_be_texts_and_types_stay() {
    assert_eq!(with(json!({ "intValue": "643" })), Value::Int(643));
    assert_eq!(with(json!({ "intValue": 643 })), Value::Int(643));
    assert_eq!(with(json!({ "intValue": i64::MIN.to_string() })), Value::Int(i64::MIN));
    assert_eq!(with(json!({ "doubleValue": 643.0 })), Value::Double(643.0));
    assert_eq!(with(json!({ "doubleValue": 643 })), Value::Double(643.0));
    assert_eq!(with(json!({ "doubleValue": "-Infinity" })), Value::Double(f64::NEG_INFINITY));
    assert!(matches!(with(json!({ "doubleValue": "NaN" })), Value::Double(nan) if nan.is_nan()));
    assert_eq!(with(json!({ "stringValue": "643" })), Value::Str("643".into()));
    assert_eq!(with(json!({ "boolValue": false })), Value::Bool(false));
    assert_eq!(with(json!({})), Value::Empty);
    assert_eq!(with(json!({ "bytesValue": "+/8=" })), Value::Bytes([0xfb, 0xff].into()));
    assert_eq!(with(json!({ "bytesValue": "-_8" })), Value::Bytes([0xfb, 0xff].into()));
    let array = json!({ "arrayValue": { "values": [{ "intValue": 1 }, { "doubleValue": 1 }] } });
    assert_eq!(with(array), Value::Array(vec![Value::Int(1), Value::Double(1.0)]));
}

#[test]
fn both_spellings_of_names_both_forms_of_choices_and_both_cases_of_ids_are_understood() {
    let camel = json!({
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174", "kind": 3,
        "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1_544_712_661_000_000_000_u64,
        "status": { "code": 2, "message": "boom" }, "unknown": { "anything": [1, { "goes": null }] },
        "name": null,
    });
    let snake = json!({
        "trace_id": "5b8efff798038103d269b633813fc60c", "span_id": "eee19b7ec3c1b174",
        "kind": "SPAN_KIND_CLIENT", "start_time_unix_nano": 1.544_712_66e18,
        "end_time_unix_nano": "1544712661000000000",
        "status": { "code": "STATUS_CODE_ERROR", "message": "boom" },
    });
    let (camel, snake) = (spans(&document(camel)), spans(&document(snake)));
    assert_eq!(camel, snake);
    assert_eq!((camel[0].kind, camel[0].status.code), (Kind::Client, StatusCode::Error));
    assert_eq!(camel[0].duration_ns, 1_000_000_000);
    assert_eq!(camel[0].trace_id.to_string(), "5b8efff798038103d269b633813fc60c");
}

#[test]
fn an_id_that_is_not_hexadecimal_costs_its_span_and_no_other() {
    let good = json!({
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174",
        "startTimeUnixNano": 1, "endTimeUnixNano": 1,
    });
    let mut bad = good.clone();
    // As base64, which is what the general mapping to JSON would make of bytes.
    bad["traceId"] = "W47/95gDgQPSabYzgT/GDA==".into();
    let document = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [bad, good] }] }] });
    let bytes = from_json(document.to_string().as_bytes()).unwrap();
    let decoded = decode(&bytes, &Limits::default()).unwrap();
    assert_eq!(decoded.refused.iter().collect::<Vec<_>>(), [(Reason::TraceId, 1)]);
    assert_eq!(decoded.batch.spans.len(), 1);
}

#[test]
fn what_has_the_wrong_type_is_refused_whole_and_says_where() {
    for (text, what) in [
        ("", "EOF"),
        ("[]", "an object with resourceSpans"),
        (r#"{"resourceSpans":{}}"#, "an array of objects in resourceSpans"),
        (r#"{"resourceSpans":[{"resource":[]}]}"#, "an object in resource"),
        (r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":5}]}]}]}"#, "a text in name"),
        (
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":-1}]}]}]}"#,
            "a whole number from 0 that has 64 bits",
        ),
        (r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"flags":"1x"}]}]}]}"#, "32 bits"),
        (r#"{"resourceSpans":[]} {}"#, "trailing characters"),
    ] {
        let error = from_json(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    let error = from_json(b"{\n \"resourceSpans\": 7}").unwrap_err().to_string();
    assert!(error.contains("at line 2 column 19;"), "{error}");
}

#[test]
fn opentelemetrys_own_example_is_understood() {
    let Ok(document) = std::fs::read("../../../shared/vectors/otlp/trace.json") else {
        println!("skipped: opentelemetrys_own_example_is_understood because ../shared/vectors is not there");
        return;
    };
    let bytes = from_json(&document).unwrap();
    let decoded = decode(&bytes, &Limits::default()).unwrap();
    let span = owned(&decoded.batch).remove(0);
    assert_eq!((span.service(), span.name.as_ref()), ("my.service", "I'm a server span"));
    assert_eq!((span.kind, span.duration_ns), (Kind::Server, 1_000_000_000));
    assert_eq!((span.scope.name.as_ref(), span.scope.version.as_ref()), ("my.library", "1.0.0"));
    assert_eq!(span.attributes.get_str("my.span.attr"), Some("some value"));
    assert_eq!(span.parent_span_id.unwrap().to_string(), "eee19b7ec3c1b173");
    // The examples of the other signals have no spans, and are no mistake.
    for other in ["logs.json", "metrics.json"] {
        let document = std::fs::read(format!("../../../shared/vectors/otlp/{other}")).unwrap();
        assert_eq!(from_json(&document).unwrap(), b"");
    }
}

//! What senders are answered, read by others' definitions.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use super::*;

#[derive(Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

#[derive(Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

fn refused() -> Refused {
    let mut refused = Refused::default();
    refused.add(Reason::SpanId, 1);
    refused.add(Reason::TraceId, 200);
    refused.add(Reason::Utf8, 0);
    refused
}

const SENTENCE: &str = "200 spans: invalid_trace_id (a trace id has 16 bytes that are not all zero); \
                        1 span: invalid_span_id (a span id has 8 bytes that are not all zero)";

#[test]
fn full_success_says_nothing() {
    assert_eq!(partial_success(Encoding::Protobuf, &Refused::default()), b"");
    assert_eq!(partial_success(Encoding::Json, &Refused::default()), b"{}");
}

#[test]
fn partial_success_counts_and_names_what_was_refused() {
    let answer = partial_success(Encoding::Protobuf, &refused());
    let partial = ExportTraceServiceResponse::decode(answer.as_slice()).unwrap().partial_success.unwrap();
    assert_eq!((partial.rejected_spans, partial.error_message.as_str()), (201, SENTENCE));
    let answer: serde_json::Value =
        serde_json::from_slice(&partial_success(Encoding::Json, &refused())).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "201");
    assert_eq!(answer["partialSuccess"]["errorMessage"], SENTENCE);
}

#[test]
fn a_failure_is_a_status_with_the_time_to_come_back() {
    let retry_after = Some(Duration::from_millis(1_500));
    let failure = Failure { code: 8, message: "too much".repeat(40), retry_after };
    let status = Status::decode(failure.encode(Encoding::Protobuf).as_slice()).unwrap();
    assert_eq!((status.code, status.message), (8, "too much".repeat(40)));
    assert_eq!(status.details[0].type_url, "type.googleapis.com/google.rpc.RetryInfo");
    let delay = RetryInfo::decode(status.details[0].value.as_slice()).unwrap().delay.unwrap();
    assert_eq!((delay.seconds, delay.nanos), (1, 500_000_000));
    let json: serde_json::Value = serde_json::from_slice(&failure.encode(Encoding::Json)).unwrap();
    assert_eq!((&json["code"], &json["details"][0]["retryDelay"]), (&8.into(), &"1.5s".into()));
}

#[test]
fn messages_of_any_length_are_written_with_their_length() {
    for len in [0, 1, 127, 128, 129, 16_383, 16_384, 70_000] {
        let text = "x".repeat(len);
        let mut writer = Writer::default();
        writer.message(1, |partial| partial.bytes(2, text.as_bytes()));
        writer.message(1, |partial| partial.varint(1, 5));
        let bytes = writer.into_bytes();
        let partial = ExportTraceServiceResponse::decode(bytes.as_slice()).unwrap().partial_success.unwrap();
        assert_eq!((partial.rejected_spans, partial.error_message), (5, text));
    }
}

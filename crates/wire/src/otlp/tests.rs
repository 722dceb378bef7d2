mod answers;
mod documents;
mod exports;
mod foreign;
mod limits;
mod refusals;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;

use crate::protobuf::Writer;

use super::{
    Batch, Decoded, Encoding, Failure, Limits, Reason, Refused, decode, from_json, partial_success, to_json,
};

/// The spans with memory of their own.
fn owned(batch: &Batch<'_>) -> Vec<traces::Span> {
    let mut sink = traces::borrowed::Owned::default();
    batch.give(&mut sink);
    sink.spans
}

/// A request with one resource and one scope.
fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = ScopeSpans {
        scope: Some(InstrumentationScope { name: "library".into(), ..Default::default() }),
        spans,
        ..Default::default()
    };
    let resource =
        Resource { attributes: vec![attribute("service.name", text("cart"))], ..Default::default() };
    let resource_spans =
        ResourceSpans { resource: Some(resource), scope_spans: vec![scope_spans], ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

/// A span that keeps all rules.
fn span(id: u8) -> Span {
    Span {
        trace_id: vec![id; 16],
        span_id: vec![id; 8],
        name: "GET /".into(),
        kind: 2,
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 3_000,
        ..Default::default()
    }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn text(text: &str) -> any_value::Value {
    any_value::Value::StringValue(text.into())
}

/// What is decoded of a request, and that its account adds up.
fn decoded<T>(
    request: &ExportTraceServiceRequest,
    limits: &Limits,
    check: impl FnOnce(&Decoded<'_>) -> T,
) -> T {
    let bytes = request.encode_to_vec();
    let decoded = decode(&bytes, limits).unwrap();
    assert_eq!(decoded.received, decoded.batch.spans.len() as u64 + decoded.refused.total());
    check(&decoded)
}

fn refused(request: &ExportTraceServiceRequest) -> Vec<(Reason, u64)> {
    decoded(request, &Limits::default(), |decoded| decoded.refused.iter().collect())
}

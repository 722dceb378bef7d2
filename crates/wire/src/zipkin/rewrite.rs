//! From Zipkin's spans to a request of OTLP. Numbers of fields are those of OTLP's definitions.

use std::collections::{BTreeMap, HashSet};

use super::{Endpoint, Span};
use crate::protobuf::Writer;

/// The request that says the same. Spans of one service share a resource.
pub(super) fn rewrite(spans: Vec<Span<'_>>) -> Vec<u8> {
    let shared: HashSet<_> = spans.iter().filter(|span| span.shared).map(served).collect();
    let mut by_origin: BTreeMap<_, Vec<&Span<'_>>> = BTreeMap::new();
    for span in &spans {
        by_origin.entry((&span.local.service, scope(span))).or_default().push(span);
    }
    let mut request = Writer::default();
    for ((service, scope), spans) in by_origin {
        request.message(1, |resource_spans| {
            if !service.is_empty() {
                resource_spans.message(1, |resource| attribute(resource, 1, "service.name", service));
            }
            resource_spans.message(2, |scope_spans| {
                scope_spans.message(1, |writer| {
                    writer.bytes(1, scope.0.as_bytes());
                    writer.bytes(2, scope.1.as_bytes());
                });
                for span in spans {
                    scope_spans.message(2, |writer| write(writer, span, &shared));
                }
            });
        });
    }
    request.into_bytes()
}

/// Whose side of which call a shared span is.
type Served<'s> = (Option<u128>, Option<u64>, &'s str);

fn served<'s>(span: &'s Span<'_>) -> Served<'s> {
    (span.trace_id, span.id, &span.local.service)
}

/// The id of the side that was called, where both sides share one: another one, always the same, never zero.
fn own(shared: u64) -> u64 {
    // The bits of the golden ratio: ids are random, so that whatever is mixed in evenly will do.
    shared.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32) | 1
}

const TAGS_OF_SCOPE: [&str; 4] =
    ["otel.scope.name", "otel.scope.version", "otel.library.name", "otel.library.version"];
const STATUS: &str = "otel.status_code";
const DESCRIPTION: &str = "otel.status_description";

/// The name and the version of the library that an exporter of OpenTelemetry put into tags.
fn scope<'s>(span: &'s Span<'_>) -> (&'s str, &'s str) {
    let tag = |names: [&str; 2]| names.iter().find_map(|name| span.tags.get(*name)).map(|text| text.as_ref());
    let [name, version, old_name, old_version] = TAGS_OF_SCOPE;
    (tag([name, old_name]).unwrap_or_default(), tag([version, old_version]).unwrap_or_default())
}

fn write(writer: &mut Writer, span: &Span<'_>, shared: &HashSet<Served<'_>>) {
    let follows = shared.contains(&(span.trace_id, span.parent, &span.local.service));
    let (id, parent) = match (span.id, span.parent) {
        (Some(id), _) if span.shared => (Some(own(id)), Some(id)),
        (id, Some(parent)) if follows => (id, Some(own(parent))),
        ids => ids,
    };
    // What is missing is written as nothing, and refused where all spans are.
    writer.bytes(1, &span.trace_id.map(u128::to_be_bytes).unwrap_or_default());
    writer.bytes(2, &id.unwrap_or_default().to_be_bytes());
    writer.bytes(4, &parent.unwrap_or_default().to_be_bytes());
    writer.bytes(5, span.name.as_bytes());
    writer.varint(6, span.kind as u64);
    let first = span.annotations.iter().map(|(at, _)| *at).min();
    let start = if span.timestamp == 0 { first.unwrap_or_default() } else { span.timestamp };
    writer.fixed64(7, nanos(start));
    writer.fixed64(8, nanos(start.saturating_add(span.duration)));
    for (key, value) in &span.tags {
        let goes_elsewhere =
            TAGS_OF_SCOPE.contains(&key.as_ref()) || [STATUS, DESCRIPTION].contains(&key.as_ref());
        if !goes_elsewhere {
            attribute(writer, 9, key, value);
        }
    }
    endpoint(writer, "network.local", &span.local);
    endpoint(writer, "network.peer", &span.remote);
    if !span.remote.service.is_empty() {
        attribute(writer, 9, "peer.service", &span.remote.service);
    }
    for (at, value) in &span.annotations {
        writer.message(11, |event| {
            event.fixed64(1, nanos(*at));
            event.bytes(2, value.as_bytes());
        });
    }
    status(writer, span);
}

fn nanos(micros: u64) -> u64 {
    micros.saturating_mul(1_000)
}

fn endpoint(writer: &mut Writer, prefix: &str, endpoint: &Endpoint<'_>) {
    if !endpoint.address.is_empty() {
        attribute(writer, 9, &format!("{prefix}.address"), &endpoint.address);
    }
    if endpoint.port != 0 {
        writer.message(9, |attribute| {
            attribute.bytes(1, format!("{prefix}.port").as_bytes());
            attribute.message(2, |value| value.varint(3, endpoint.port.into()));
        });
    }
}

/// What a tag says in OpenTelemetry's words, else whether there is an `error`, with its text if it has one.
fn status(writer: &mut Writer, span: &Span<'_>) {
    let tag = |name: &str| span.tags.get(name).map(|text| text.as_ref());
    let error = tag("error").filter(|error| *error != "false");
    let code = match (tag(STATUS), error) {
        (Some("OK"), _) => 1,
        (Some("ERROR"), _) | (None, Some(_)) => 2,
        _ => return,
    };
    let said = tag(DESCRIPTION).or(error.filter(|error| *error != "true" && code == 2)).unwrap_or_default();
    writer.message(15, |status| {
        status.bytes(2, said.as_bytes());
        status.varint(3, code);
    });
}

/// An attribute of type text.
fn attribute(writer: &mut Writer, field: u32, key: &str, value: &str) {
    writer.message(field, |attribute| {
        attribute.bytes(1, key.as_bytes());
        attribute.message(2, |any| any.bytes(1, value.as_bytes()));
    });
}

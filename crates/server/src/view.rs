//! From core values to the shapes of the API.

use std::collections::BTreeMap;

use identity::Wall;
use monitoring::RedRow;
use registry::Digits;
use serde_json::{Value as Json, json};
use storage_events::{Batch, Event, EventRef};
use traces::{Attributes, Summary, Trace, Value};
use wire::native::api;

use crate::findings::fails;

mod comparison;
mod critical_path;
mod graph;
mod history;
mod instances;

use instances::write_authority;

pub(crate) use comparison::comparison;
pub(crate) use critical_path::critical_path;
pub(crate) use graph::{Counted, Frame, graph, losses};
pub(crate) use history::{recorded, why};
pub(crate) use instances::{authority, change, counts, instance, not_registered, registered, service};

/// Tells of a registry's change as an event of `page`, straight from what the registry holds: it is told for
/// every registration. `text` is memory that is used again.
pub(crate) fn tell(change: &registry::Change, text: &mut String, page: &mut Batch) {
    text.clear();
    let registration = match &change.effect {
        registry::Effect::Put(instance) => Some((&instance.registration, instance.status.as_str())),
        _ => None,
    };
    let revision = Digits::from(change.revision);
    let address = registration.map(|(registration, _)| {
        write_authority(&registration.address, registration.port, text);
        &**text
    });
    let actor = &change.cause.actor;
    let known = [
        ("address", address),
        ("from", (!actor.from.is_empty()).then_some(&*actor.from)),
        ("registry_revision", Some(&revision)),
        ("status", registration.map(|(_, status)| status)),
        ("version", registration.and_then(|(registration, _)| registration.version.as_deref())),
    ];
    let mut details = [("", ""); 5];
    let mut count = 0;
    for (name, value) in known {
        if let Some(value) = value {
            details[count] = (name, value);
            count += 1;
        }
    }
    page.push(&EventRef {
        at: change.at,
        kind: storage_events::Kind::Instance,
        action: change.cause.action.as_str(),
        namespace: Some(&change.target.namespace),
        service: Some(&change.target.service),
        instance: Some(&change.target.instance),
        actor: &actor.name,
        reason: &change.cause.reason,
        details: &details[..count],
        exemplar_trace_ids: &[],
    });
}

/// Tells of a policy's change as an event of `page`.
pub(crate) fn tell_policy(change: &registry::PolicyChange, page: &mut Batch) {
    let made = &change.made;
    let (revision, number) = (made.revision.to_string(), made.number.to_string());
    let details = [
        ("from", &*made.actor.from),
        ("number", &number),
        ("policy", change.name.as_str()),
        ("policy_revision", &revision),
    ];
    // Without a place that a request came from, there is nothing to say of it.
    let details = if made.actor.from.is_empty() { &details[1..] } else { &details[..] };
    page.push(&EventRef {
        at: made.at,
        kind: storage_events::Kind::Policy,
        action: made.action.as_str(),
        namespace: Some(&change.namespace),
        service: made.document.as_ref().and_then(|document| document.service.as_ref()),
        instance: None,
        actor: &made.actor.name,
        reason: &made.reason,
        details,
        exemplar_trace_ids: &[],
    });
}

/// An event.
pub(crate) fn event(event: &Event) -> api::Event {
    api::Event {
        revision: event.revision,
        at: event.at.to_string(),
        kind: event.kind.as_str().to_owned(),
        action: event.action.clone(),
        namespace: event.namespace.as_ref().map(ToString::to_string),
        service: event.service.as_ref().map(ToString::to_string),
        instance: event.instance.as_ref().map(ToString::to_string),
        actor: event.actor.clone(),
        reason: event.reason.clone(),
        details: event.details.clone(),
        exemplar_trace_ids: event.exemplar_trace_ids.iter().map(ToString::to_string).collect(),
    }
}

/// A trace in a list.
pub(crate) fn summary(summary: &Summary) -> api::TraceSummary {
    let count = |count: &traces::ServiceCount| api::SpanCount {
        service: count.service.to_string(),
        spans: count.spans,
    };
    api::TraceSummary {
        trace_id: summary.trace_id.to_string(),
        root: api::Operation {
            service: summary.root_service.to_string(),
            operation: summary.root_operation.to_string(),
        },
        start: summary.start.to_string(),
        duration_ns: summary.duration_ns,
        spans: summary.spans,
        errors: summary.errors,
        services: summary.services.iter().map(count).collect(),
        incomplete: summary.incomplete,
        kept_one_in: summary.one_in,
    }
}

/// A whole trace.
pub(crate) fn trace(trace: &Trace) -> api::Trace {
    let summary = trace.summary();
    let start = summary.start;
    api::Trace {
        trace_id: summary.trace_id.to_string(),
        incomplete: summary.incomplete,
        kept_one_in: summary.one_in,
        start: start.to_string(),
        duration_ns: summary.duration_ns,
        pinned: None,
        spans: depth_first(trace).map(|(node, depth)| span(&node.span, depth, start)).collect(),
    }
}

/// Parents before children, siblings by start, each with the number of spans above it.
fn depth_first(trace: &Trace) -> impl Iterator<Item = (&traces::Node, u64)> {
    let mut pending: Vec<(usize, u64)> = trace.roots().iter().rev().map(|at| (*at, 0)).collect();
    std::iter::from_fn(move || {
        let (at, depth) = pending.pop()?;
        let node = trace.nodes().get(at)?;
        pending.extend(node.children.iter().rev().map(|child| (*child, depth + 1)));
        Some((node, depth))
    })
}

fn span(span: &traces::Span, depth: u64, start: Wall) -> api::Span {
    let since_start = |at: Wall| at.0.saturating_sub(start.0);
    let event = |event: &traces::Event| api::SpanEvent {
        offset_ns: since_start(event.at),
        name: event.name.to_string(),
        attributes: attributes(&event.attributes),
    };
    api::Span {
        span_id: span.span_id.to_string(),
        parent_span_id: span.parent_span_id.map(|id| id.to_string()),
        depth,
        service: span.service().to_owned(),
        operation: span.name.to_string(),
        kind: span.kind.as_str().to_owned(),
        start: span.start.to_string(),
        offset_ns: since_start(span.start),
        duration_ns: span.duration_ns,
        status: api::SpanStatus {
            code: span.status.code.as_str().to_owned(),
            message: span.status.message.to_string(),
        },
        kept_one_in: span.one_in(),
        attributes: attributes(&span.attributes),
        events: span.events.iter().map(event).collect(),
        resource: attributes(&span.resource.attributes),
        scope: scope(&span.scope),
    }
}

fn scope(scope: &traces::Scope) -> Option<api::SpanScope> {
    (*scope != traces::Scope::default()).then(|| api::SpanScope {
        name: scope.name.to_string(),
        version: scope.version.to_string(),
        attributes: attributes(&scope.attributes),
    })
}

fn attributes(attributes: &Attributes) -> BTreeMap<String, Json> {
    attributes.iter().map(|(key, value)| (key.to_string(), attribute(value))).collect()
}

/// A value as JSON. Bytes become hexadecimal text; a number that JSON has no word for becomes text.
fn attribute(value: &Value) -> Json {
    match value {
        Value::Str(text) => json!(text),
        Value::Bool(truth) => json!(truth),
        Value::Int(number) => json!(number),
        Value::Double(number) if number.is_finite() => json!(number),
        Value::Double(_) | Value::Bytes(_) => json!(value.to_string()),
        Value::Array(values) => Json::Array(values.iter().map(attribute).collect()),
        Value::Map(map) => json!(attributes(map)),
        Value::Empty => Json::Null,
    }
}

/// The figures of a row.
pub(crate) fn red(row: &RedRow) -> api::Red {
    let quantile = |quantile: monitoring::Quantile| api::Quantile {
        estimate: nanos(quantile.estimate),
        lower: nanos(quantile.lower),
        upper: nanos(quantile.upper),
    };
    api::Red {
        calls: row.calls,
        errors: row.errors,
        refused: row.refused,
        rate_per_second: row.rate(),
        error_ratio: row.error_ratio(),
        failing: fails(row.calls, row.error_ratio()),
        mean_ns: row.mean_ns().unwrap_or(0),
        p50_ns: row.quantile(0.50).map(quantile),
        p90_ns: row.quantile(0.90).map(quantile),
        p99_ns: row.quantile(0.99).map(quantile),
        max_ns: row.durations.max().map_or(0, nanos),
    }
}

/// The figures of no calls at all.
pub(crate) fn no_calls() -> api::Red {
    api::Red {
        calls: 0,
        errors: 0,
        refused: 0,
        rate_per_second: 0.0,
        error_ratio: 0.0,
        failing: false,
        mean_ns: 0,
        p50_ns: None,
        p90_ns: None,
        p99_ns: None,
        max_ns: 0,
    }
}

/// Seconds as whole nanoseconds.
fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

/// An account.
pub(crate) fn ledger(ledger: &monitoring::Ledger) -> api::Ledger {
    api::Ledger {
        received: ledger.received,
        stored: ledger.stored,
        sampled_out: ledger.sampled_out,
        dropped: ledger.dropped.iter().map(|(reason, count)| (reason.to_string(), *count)).collect(),
        spooled: ledger.spooled,
        expired: ledger.expired,
    }
}

/// A token without its secret.
pub(crate) fn token(token: &storage_catalog::Token) -> api::Token {
    api::Token {
        id: token.id.clone(),
        name: token.name.clone(),
        scopes: token.scopes.iter().map(ToString::to_string).collect(),
        namespaces: token.namespaces.iter().map(ToString::to_string).collect(),
        created_at: token.created_at.to_string(),
        expires_at: token.expires_at.map(|at| at.to_string()),
    }
}

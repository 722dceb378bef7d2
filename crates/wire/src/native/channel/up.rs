//! Report, to and from `bellwether.v1`.

use std::{collections::HashMap, sync::Arc};

use identity::{SpanId, TraceId, Wall};
use monitoring::{CallKey, ExponentialHistogram, Outcome, Reporter, StatusClass};
use resilience::{Counts, State};
use traces::{Attributes, Dropped, Event, Kind, Link, Resource, Scope, Span, Status, StatusCode, Value};

use super::{
    BreakerRow, Connections, EndpointRow, Intake, Malformed, Report, ServiceCounts, Transition, proto,
};

/// How deep arrays and maps of attributes may nest; deeper ones are refused.
const VALUE_DEPTH: usize = 8;

/// A report as a message.
pub fn report_to_proto(report: &Report) -> proto::ReportRequest {
    // Spans of one process share their resource; it is sent once.
    let mut positions: HashMap<*const Resource, u32> = HashMap::new();
    let mut resources = Vec::new();
    let spans = report.spans.iter().map(|span| {
        let resource = *positions.entry(Arc::as_ptr(&span.resource)).or_insert_with(|| {
            resources.push(proto::Resource { attributes: attributes_to_proto(&span.resource.attributes) });
            resources.len() as u32 - 1
        });
        span_to_proto(span, resource)
    });
    let spans = spans.collect();
    proto::ReportRequest {
        proxy: report.proxy.to_string(),
        epoch: report.epoch,
        sequence: report.sequence,
        at_unix_ns: report.at.0,
        revision: report.revision,
        spans_intake: Some(intake_to_proto(&report.spans_intake)),
        resources,
        spans,
        calls_intake: Some(intake_to_proto(&report.calls_intake)),
        calls: report.calls.iter().map(|(key, durations)| calls_to_proto(key, durations)).collect(),
        breakers: report.breakers.iter().map(breaker_to_proto).collect(),
        transitions: report.transitions.iter().map(transition_to_proto).collect(),
        endpoints: report.endpoints.iter().map(endpoint_to_proto).collect(),
        refused: report.refused.iter().cloned().collect(),
        settled_revision: report.settled_revision,
        leaving: report.leaving,
        services: report.services.iter().map(service_to_proto).collect(),
        connections: Some(connections_to_proto(report.connections)),
    }
}

/// A report from a message.
///
/// # Errors
/// The field that breaks its rule. A report is taken whole or not at all.
pub fn report_from_proto(report: proto::ReportRequest) -> Result<Report, Malformed> {
    let resources = report.resources.into_iter().map(|resource| {
        attributes_from_proto(resource.attributes, VALUE_DEPTH)
            .map(|attributes| Arc::new(Resource { attributes }))
    });
    let resources: Vec<Arc<Resource>> = resources.collect::<Result<_, _>>()?;
    let mut scopes = HashMap::new();
    let spans = report.spans.into_iter().map(|span| span_from_proto(span, &resources, &mut scopes));
    Ok(Report {
        proxy: report.proxy.parse().map_err(|e| Malformed::new("proxy", e))?,
        epoch: report.epoch,
        sequence: report.sequence,
        at: Wall(report.at_unix_ns),
        revision: report.revision,
        spans_intake: intake_from_proto(report.spans_intake)?,
        spans: spans.collect::<Result<_, _>>()?,
        calls_intake: intake_from_proto(report.calls_intake)?,
        calls: report.calls.into_iter().map(calls_from_proto).collect::<Result<_, _>>()?,
        breakers: report.breakers.into_iter().map(breaker_from_proto).collect::<Result<_, _>>()?,
        transitions: report.transitions.into_iter().map(transition_from_proto).collect::<Result<_, _>>()?,
        endpoints: report.endpoints.into_iter().map(endpoint_from_proto).collect::<Result<_, _>>()?,
        refused: reasons_from_proto("refused", report.refused)?,
        settled_revision: report.settled_revision,
        leaving: report.leaving,
        services: report.services.into_iter().map(service_from_proto).collect::<Result<_, _>>()?,
        connections: connections_from_proto(report.connections.unwrap_or_default()),
    })
}

fn service_to_proto(row: &ServiceCounts) -> proto::ServiceCounts {
    proto::ServiceCounts {
        namespace: row.namespace.to_string(),
        service: row.service.to_string(),
        retries: row.retries,
        retries_over_budget: row.retries_over_budget,
        refused: row.refused.iter().cloned().collect(),
        transitions: row.transitions.iter().cloned().collect(),
        ejections: row.ejections,
    }
}

fn service_from_proto(row: proto::ServiceCounts) -> Result<ServiceCounts, Malformed> {
    Ok(ServiceCounts {
        namespace: row.namespace.parse().map_err(|e| Malformed::new("namespace", e))?,
        service: row.service.parse().map_err(|e| Malformed::new("service", e))?,
        retries: row.retries,
        retries_over_budget: row.retries_over_budget,
        refused: reasons_from_proto("refused", row.refused)?,
        transitions: reasons_from_proto("transitions", row.transitions)?,
        ejections: row.ejections,
    })
}

fn connections_to_proto(of: Connections) -> proto::Connections {
    proto::Connections { clients: of.clients, upgraded: of.upgraded, endpoints: of.endpoints }
}

fn connections_from_proto(of: proto::Connections) -> Connections {
    Connections { clients: of.clients, upgraded: of.upgraded, endpoints: of.endpoints }
}

fn intake_to_proto(intake: &Intake) -> proto::Intake {
    let Intake { received, sampled_out, dropped } = intake;
    proto::Intake {
        received: *received,
        sampled_out: *sampled_out,
        dropped: dropped.iter().cloned().collect(),
    }
}

fn intake_from_proto(intake: Option<proto::Intake>) -> Result<Intake, Malformed> {
    let proto::Intake { received, sampled_out, dropped } = intake.unwrap_or_default();
    Ok(Intake { received, sampled_out, dropped: reasons_from_proto("dropped", dropped)? })
}

/// Counts by reason, in the order of the reasons.
fn reasons_from_proto(
    field: &'static str,
    counts: HashMap<String, u64>,
) -> Result<Vec<(String, u64)>, Malformed> {
    // A reason becomes a label of a metric, so there are few of them and they are words.
    let is_word = |word: &str| {
        (1..=64).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if counts.len() > 32 || !counts.keys().all(|reason| is_word(reason)) {
        return Err(Malformed::new(field, "at most 32 reasons, each of 1 to 64 of a-z 0-9 _"));
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort();
    Ok(counts)
}

fn span_to_proto(span: &Span, resource: u32) -> proto::Span {
    let event = |event: &Event| proto::SpanEvent {
        at_unix_ns: event.at.0,
        name: event.name.to_string(),
        attributes: attributes_to_proto(&event.attributes),
        dropped_attributes: event.dropped_attributes,
    };
    let link = |link: &Link| proto::Link {
        trace_id: link.trace_id.to_bytes().to_vec(),
        span_id: link.span_id.get(),
        trace_state: link.trace_state.to_string(),
        attributes: attributes_to_proto(&link.attributes),
        flags: link.flags,
        dropped_attributes: link.dropped_attributes,
    };
    let scope = proto::Scope { name: span.scope.name.to_string(), version: span.scope.version.to_string() };
    proto::Span {
        trace_id: span.trace_id.to_bytes().to_vec(),
        span_id: span.span_id.get(),
        parent_span_id: span.parent_span_id.map_or(0, SpanId::get),
        name: span.name.to_string(),
        kind: Kind::ALL.iter().position(|kind| *kind == span.kind).unwrap_or(0) as u32,
        start_unix_ns: span.start.0,
        duration_ns: span.duration_ns,
        status: match span.status.code {
            StatusCode::Unset => 0,
            StatusCode::Ok => 1,
            StatusCode::Error => 2,
        },
        status_message: span.status.message.to_string(),
        resource,
        attributes: attributes_to_proto(&span.attributes),
        events: span.events.iter().map(event).collect(),
        links: span.links.iter().map(link).collect(),
        trace_state: span.trace_state.to_string(),
        flags: span.flags,
        scope: Some(scope),
        dropped_attributes: span.dropped.attributes,
        dropped_events: span.dropped.events,
        dropped_links: span.dropped.links,
    }
}

fn span_from_proto(
    span: proto::Span,
    resources: &[Arc<Resource>],
    scopes: &mut HashMap<(String, String), Arc<Scope>>,
) -> Result<Span, Malformed> {
    let event = |event: proto::SpanEvent| {
        Ok(Event {
            at: Wall(event.at_unix_ns),
            name: event.name.into(),
            attributes: attributes_from_proto(event.attributes, VALUE_DEPTH)?,
            dropped_attributes: event.dropped_attributes,
        })
    };
    let link = |link: proto::Link| {
        Ok(Link {
            trace_id: trace_id(&link.trace_id)?,
            span_id: SpanId::new(link.span_id).ok_or_else(|| Malformed::new("span_id", "not zero"))?,
            trace_state: link.trace_state.into(),
            attributes: attributes_from_proto(link.attributes, VALUE_DEPTH)?,
            flags: link.flags,
            dropped_attributes: link.dropped_attributes,
        })
    };
    let proto::Scope { name, version } = span.scope.unwrap_or_default();
    let scope = scopes.entry((name, version));
    let scope =
        scope.or_insert_with_key(|(name, version)| Arc::new(Scope::new(name.as_str(), version.as_str())));
    let resource = resources.get(span.resource as usize);
    let kind = Kind::ALL.get(span.kind as usize);
    Ok(Span {
        trace_id: trace_id(&span.trace_id)?,
        span_id: SpanId::new(span.span_id).ok_or_else(|| Malformed::new("span_id", "not zero"))?,
        parent_span_id: SpanId::new(span.parent_span_id),
        flags: span.flags,
        trace_state: span.trace_state.into(),
        name: span.name.into(),
        kind: *kind.ok_or_else(|| Malformed::new("kind", "a number from 0 to 4"))?,
        start: Wall(span.start_unix_ns),
        duration_ns: span.duration_ns,
        status: Status {
            code: match span.status {
                0 => StatusCode::Unset,
                1 => StatusCode::Ok,
                2 => StatusCode::Error,
                _ => return Err(Malformed::new("status", "a number from 0 to 2")),
            },
            message: span.status_message.into(),
        },
        resource: resource
            .ok_or_else(|| Malformed::new("resource", "a position in the list of resources"))?
            .clone(),
        scope: scope.clone(),
        attributes: attributes_from_proto(span.attributes, VALUE_DEPTH)?,
        events: span.events.into_iter().map(event).collect::<Result<_, _>>()?,
        links: span.links.into_iter().map(link).collect::<Result<_, _>>()?,
        dropped: Dropped {
            attributes: span.dropped_attributes,
            events: span.dropped_events,
            links: span.dropped_links,
        },
    })
}

fn trace_id(bytes: &[u8]) -> Result<TraceId, Malformed> {
    TraceId::from_bytes(bytes).ok_or_else(|| Malformed::new("trace_id", "16 bytes, not all zero"))
}

fn attributes_to_proto(attributes: &Attributes) -> Vec<proto::Attribute> {
    let one = |(key, value): &(traces::Key, Value)| proto::Attribute {
        key: key.to_string(),
        value: Some(value_to_proto(value)),
    };
    attributes.iter().map(one).collect()
}

fn value_to_proto(value: &Value) -> proto::Value {
    use proto::value::Value as Wire;
    let value = match value {
        Value::Str(text) => Some(Wire::Text(text.to_string())),
        Value::Bool(boolean) => Some(Wire::Boolean(*boolean)),
        Value::Int(integer) => Some(Wire::Integer(*integer)),
        Value::Double(double) => Some(Wire::Double(*double)),
        Value::Bytes(bytes) => Some(Wire::Bytes(bytes.to_vec())),
        Value::Array(values) => {
            Some(Wire::Array(proto::Values { values: values.iter().map(value_to_proto).collect() }))
        }
        Value::Map(map) => Some(Wire::Map(proto::Attributes { attributes: attributes_to_proto(map) })),
        Value::Empty => None,
    };
    proto::Value { value }
}

fn attributes_from_proto(attributes: Vec<proto::Attribute>, depth: usize) -> Result<Attributes, Malformed> {
    let one = |attribute: proto::Attribute| {
        let value = value_from_proto(attribute.value.unwrap_or_default(), depth)?;
        Ok((attribute.key.into(), value))
    };
    attributes.into_iter().map(one).collect()
}

fn value_from_proto(value: proto::Value, depth: usize) -> Result<Value, Malformed> {
    use proto::value::Value as Wire;
    let deeper = depth.checked_sub(1).ok_or_else(|| Malformed::new("attributes", "nested at most 8 deep"))?;
    Ok(match value.value {
        None => Value::Empty,
        Some(Wire::Text(text)) => Value::Str(text.into()),
        Some(Wire::Boolean(boolean)) => Value::Bool(boolean),
        Some(Wire::Integer(integer)) => Value::Int(integer),
        Some(Wire::Double(double)) => Value::Double(double),
        Some(Wire::Bytes(bytes)) => Value::Bytes(bytes.into()),
        Some(Wire::Array(array)) => {
            let values = array.values.into_iter().map(|value| value_from_proto(value, deeper));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Some(Wire::Map(map)) => Value::Map(attributes_from_proto(map.attributes, deeper)?),
    })
}

fn calls_to_proto(key: &CallKey, durations: &ExponentialHistogram) -> proto::Calls {
    let (indexes, counts) = durations.buckets().map(|bucket| (bucket.index, bucket.count)).unzip();
    proto::Calls {
        namespace: key.namespace.to_string(),
        caller: key.caller.to_string(),
        service: key.service.to_string(),
        instance: key.instance.as_ref().map(ToString::to_string).unwrap_or_default(),
        route: key.route.to_string(),
        outcome: key.outcome.to_string(),
        durations: Some(proto::Histogram {
            scale: durations.schema().into(),
            zero_count: durations.zero_count(),
            sum: durations.sum(),
            min: durations.min(),
            max: durations.max(),
            indexes,
            counts,
        }),
        reporter: key.reporter.to_string(),
        status: key.status.to_string(),
    }
}

pub(super) fn outcome(text: &str) -> Result<Outcome, Malformed> {
    let outcome = Outcome::ALL.into_iter().find(|word| word.as_str() == text);
    outcome.ok_or_else(|| Malformed::new("outcome", "ok, error, timeout, refused or cancelled"))
}

fn calls_from_proto(calls: proto::Calls) -> Result<(CallKey, ExponentialHistogram), Malformed> {
    let reporter = Reporter::ALL.into_iter().find(|word| word.as_str() == calls.reporter);
    let status = StatusClass::ALL.into_iter().find(|word| word.as_str() == calls.status);
    let instance = Some(calls.instance).filter(|instance| !instance.is_empty());
    let key = CallKey {
        namespace: calls.namespace.parse().map_err(|e| Malformed::new("namespace", e))?,
        caller: calls.caller.parse().map_err(|e| Malformed::new("caller", e))?,
        service: calls.service.parse().map_err(|e| Malformed::new("service", e))?,
        instance: instance.map(|i| i.parse()).transpose().map_err(|e| Malformed::new("instance", e))?,
        route: calls.route.parse().map_err(|e| Malformed::new("route", e))?,
        reporter: reporter.ok_or_else(|| Malformed::new("reporter", "source or destination"))?,
        outcome: outcome(&calls.outcome)?,
        status: status.ok_or_else(|| Malformed::new("status", "1xx to 5xx, or none"))?,
    };
    let durations = calls.durations.unwrap_or_default();
    if durations.indexes.len() != durations.counts.len() {
        return Err(Malformed::new("durations", "as many counts as indexes"));
    }
    let buckets = durations.indexes.into_iter().zip(durations.counts);
    let (zero, sum) = (durations.zero_count, durations.sum);
    let histogram =
        ExponentialHistogram::from_parts(durations.scale, zero, buckets, sum, durations.min, durations.max);
    Ok((key, histogram.map_err(|e| Malformed::new("durations", e))?))
}

fn counts_to_proto(counts: &Counts) -> proto::Counts {
    let Counts { successes, failures, slow, refused, consecutive_failures } = *counts;
    proto::Counts { successes, failures, slow, refused, consecutive_failures }
}

fn counts_from_proto(counts: Option<proto::Counts>) -> Counts {
    let proto::Counts { successes, failures, slow, refused, consecutive_failures } =
        counts.unwrap_or_default();
    Counts { successes, failures, slow, refused, consecutive_failures }
}

fn breaker_to_proto(row: &BreakerRow) -> proto::Breaker {
    proto::Breaker {
        namespace: row.namespace.to_string(),
        service: row.service.to_string(),
        caller: row.caller.to_string(),
        route: row.route.to_string(),
        state: row.state.to_string(),
        since_unix_ns: row.since.0,
        reason: row.reason.clone(),
        counts: Some(counts_to_proto(&row.counts)),
    }
}

fn breaker_from_proto(row: proto::Breaker) -> Result<BreakerRow, Malformed> {
    Ok(BreakerRow {
        namespace: row.namespace.parse().map_err(|e| Malformed::new("namespace", e))?,
        service: row.service.parse().map_err(|e| Malformed::new("service", e))?,
        caller: row.caller.parse().map_err(|e| Malformed::new("caller", e))?,
        route: row.route.parse().map_err(|e| Malformed::new("route", e))?,
        state: row.state.parse().map_err(|e| Malformed::new("state", e))?,
        since: Wall(row.since_unix_ns),
        reason: row.reason,
        counts: counts_from_proto(row.counts),
    })
}

fn transition_to_proto(transition: &Transition) -> proto::Transition {
    proto::Transition {
        namespace: transition.namespace.to_string(),
        service: transition.service.to_string(),
        instance: transition.instance.as_ref().map(ToString::to_string).unwrap_or_default(),
        caller: transition.caller.to_string(),
        route: transition.route.to_string(),
        from: transition.from.to_string(),
        to: transition.to.to_string(),
        at_unix_ns: transition.at.0,
        reason: transition.reason.clone(),
        counts: Some(counts_to_proto(&transition.counts)),
        exemplar_trace_ids: transition.exemplar_trace_ids.iter().map(|id| id.to_bytes().to_vec()).collect(),
        policy_revision: transition.policy_revision,
    }
}

fn transition_from_proto(transition: proto::Transition) -> Result<Transition, Malformed> {
    let instance = Some(&transition.instance).filter(|instance| !instance.is_empty());
    Ok(Transition {
        instance: instance.map(|id| id.parse()).transpose().map_err(|e| Malformed::new("instance", e))?,
        namespace: transition.namespace.parse().map_err(|e| Malformed::new("namespace", e))?,
        service: transition.service.parse().map_err(|e| Malformed::new("service", e))?,
        caller: transition.caller.parse().map_err(|e| Malformed::new("caller", e))?,
        route: transition.route.parse().map_err(|e| Malformed::new("route", e))?,
        from: transition.from.parse().map_err(|e| Malformed::new("from", e))?,
        to: transition.to.parse().map_err(|e| Malformed::new("to", e))?,
        at: Wall(transition.at_unix_ns),
        reason: transition.reason,
        counts: counts_from_proto(transition.counts),
        exemplar_trace_ids: transition
            .exemplar_trace_ids
            .iter()
            .map(|id| trace_id(id))
            .collect::<Result<_, _>>()?,
        policy_revision: transition.policy_revision,
    })
}

fn endpoint_to_proto(row: &EndpointRow) -> proto::EndpointState {
    proto::EndpointState {
        namespace: row.namespace.to_string(),
        service: row.service.to_string(),
        instance: row.instance.to_string(),
        in_flight: row.in_flight,
        ejected: row.ejected.clone(),
        state: row.state.to_string(),
        counts: Some(counts_to_proto(&row.counts)),
    }
}

fn endpoint_from_proto(row: proto::EndpointState) -> Result<EndpointRow, Malformed> {
    // A proxy of an older version has no breakers of endpoints, and says nothing of them.
    let state = if row.state.is_empty() { Ok(State::Closed) } else { row.state.parse() };
    Ok(EndpointRow {
        state: state.map_err(|e| Malformed::new("state", e))?,
        counts: counts_from_proto(row.counts),
        namespace: row.namespace.parse().map_err(|e| Malformed::new("namespace", e))?,
        service: row.service.parse().map_err(|e| Malformed::new("service", e))?,
        instance: row.instance.parse().map_err(|e| Malformed::new("instance", e))?,
        in_flight: row.in_flight,
        ejected: row.ejected,
    })
}

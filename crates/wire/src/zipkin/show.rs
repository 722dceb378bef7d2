//! What Zipkin's query API answers: its spans, version 2, and which of them are asked for.
//!
//! The way back of [`rewrite`](super::rewrite): the local service is the resource's, `network.*` and
//! `peer.service` are endpoints, the scope and the status go into tags by OpenTelemetry's names for them. What
//! else the resource has is in tags as well, since Zipkin has no other place. Times are microseconds, rounded
//! down; of what took less than one, Zipkin wants to hear one.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value as Json};
use traces::{Attributes, Kind, StatusCode, Value};

/// A span.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Its trace: 16 digits where more are zeros, as its sender wrote it, else 32.
    pub trace_id: String,
    /// Its parent, 16 digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    /// Its id, 16 digits.
    pub id: String,
    /// Its role in a call; none where it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// What was done.
    pub name: String,
    /// When it began.
    pub timestamp: u64,
    /// How long it took; none where its sender did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<u64>,
    /// Who did it.
    #[serde(skip_serializing_if = "End::is_unknown")]
    pub local_endpoint: End,
    /// Who was at the other end.
    #[serde(skip_serializing_if = "End::is_unknown")]
    pub remote_endpoint: End,
    /// What happened while it ran.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
    /// What else is known about it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// One end of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// The service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// Its address, of four bytes …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
    /// … or of sixteen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl End {
    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    fn of(service: Option<&str>, attributes: &Attributes, address: &str, port: &str) -> Self {
        let address = attributes.get_str(address);
        let is_four = address.is_some_and(|address| address.parse::<core::net::Ipv4Addr>().is_ok());
        let is_six = address.is_some_and(|address| address.parse::<core::net::Ipv6Addr>().is_ok());
        let address = address.map(str::to_owned);
        Self {
            service_name: service.map(str::to_owned),
            ipv4: address.clone().filter(|_| is_four),
            ipv6: address.filter(|_| is_six),
            port: attributes.get(port).and_then(Value::as_int).and_then(|port| u16::try_from(port).ok()),
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Annotation {
    /// When.
    pub timestamp: u64,
    /// What.
    pub value: String,
}

/// Calls between two services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Who called.
    pub parent: String,
    /// Who was called.
    pub child: String,
    /// How often.
    pub call_count: u64,
    /// How many of the calls failed.
    #[serde(skip_serializing_if = "is_zero")]
    pub error_count: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Attributes that an endpoint is made of.
const ENDPOINTS: [&str; 5] = [
    "network.local.address",
    "network.local.port",
    "network.peer.address",
    "network.peer.port",
    "peer.service",
];

/// A span as Zipkin shows it.
pub fn show(span: &traces::Span) -> Shown {
    let trace_id = span.trace_id.to_string();
    let short = trace_id.strip_prefix("0000000000000000").map(str::to_owned);
    let resource = span.resource.attributes.get_str("service.name");
    Shown {
        trace_id: short.unwrap_or(trace_id),
        parent_id: span.parent_span_id.map(|parent| parent.to_string()),
        id: span.span_id.to_string(),
        kind: kind(span.kind),
        name: span.name.to_string(),
        timestamp: span.start.0 / 1_000,
        duration: (span.duration_ns > 0).then(|| (span.duration_ns / 1_000).max(1)),
        local_endpoint: End::of(resource, &span.attributes, ENDPOINTS[0], ENDPOINTS[1]),
        remote_endpoint: End::of(peer(span), &span.attributes, ENDPOINTS[2], ENDPOINTS[3]),
        annotations: span.events.iter().map(annotation).collect(),
        tags: tags(span),
    }
}

fn kind(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Internal => None,
        Kind::Server => Some("SERVER"),
        Kind::Client => Some("CLIENT"),
        Kind::Producer => Some("PRODUCER"),
        Kind::Consumer => Some("CONSUMER"),
    }
}

/// The service at the other end of a span, if it is known.
pub fn peer(span: &traces::Span) -> Option<&str> {
    let is_caller = matches!(span.kind, Kind::Client | Kind::Producer);
    let told = span.attributes.get_str("peer.service");
    told.or_else(|| span.attributes.get_str("server.address").filter(|_| is_caller))
}

/// The name of an event, and what is known about it behind.
fn annotation(event: &traces::Event) -> Annotation {
    let mut value = event.name.to_string();
    if !event.attributes.is_empty() {
        let fields = event.attributes.iter().map(|(key, value)| (key.to_string(), json(value)));
        let fields: Map<String, Json> = fields.collect();
        value = Json::Object(Map::from_iter([(value, Json::Object(fields))])).to_string();
    }
    Annotation { timestamp: event.at.0 / 1_000, value }
}

fn json(value: &Value) -> Json {
    match value {
        Value::Bool(truth) => (*truth).into(),
        Value::Int(number) => (*number).into(),
        Value::Double(number) => (*number).into(),
        other => other.to_string().into(),
    }
}

fn tags(span: &traces::Span) -> BTreeMap<String, String> {
    let of_resource = span.resource.attributes.iter().filter(|(key, _)| key.as_str() != "service.name");
    let of_span = span.attributes.iter().filter(|(key, _)| !ENDPOINTS.contains(&key.as_str()));
    // What the span says of itself goes before what its resource says.
    let all = of_resource.chain(of_span).map(|(key, value)| (key.to_string(), value.to_string()));
    let mut tags: BTreeMap<String, String> = all.collect();
    let mut add = |key: &str, text: &str| {
        if !text.is_empty() {
            tags.entry(key.to_owned()).or_insert_with(|| text.to_owned());
        }
    };
    add("otel.scope.name", &span.scope.name);
    add("otel.scope.version", &span.scope.version);
    match span.status.code {
        StatusCode::Unset => {}
        StatusCode::Ok => add("otel.status_code", "OK"),
        StatusCode::Error => {
            let said = &*span.status.message;
            add("error", if said.is_empty() { "true" } else { said });
            add("otel.status_code", "ERROR");
        }
    }
    tags
}

/// Which traces are asked for. Zipkin's names are lower-case, so case does not matter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conditions {
    /// With a span of this service; then the rest is about spans of this service.
    pub service: Option<String>,
    /// With a span of this name.
    pub name: Option<String>,
    /// With a span whose other end is this service.
    pub remote: Option<String>,
    /// With these tags, or where the value is empty, with such a tag or annotation; of whichever spans.
    pub annotations: Vec<(String, String)>,
    /// With a span that took at least so many microseconds …
    pub min_duration: Option<u64>,
    /// … and at most so many.
    pub max_duration: Option<u64>,
}

impl Conditions {
    /// Reads `key and key=value and …`.
    pub fn annotations(text: &str) -> Vec<(String, String)> {
        let parts = text.split(" and ").map(str::trim).filter(|part| !part.is_empty());
        parts
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(k, v)| (k.into(), v.into()))
            .collect()
    }

    /// Whether these spans of one trace fulfil all, each condition for itself.
    pub fn hold<'s>(&self, spans: impl Iterator<Item = &'s traces::Span> + Clone) -> bool {
        let is = |asked: &Option<String>, text: &str| {
            asked.as_ref().is_none_or(|asked| asked.to_lowercase() == text.to_lowercase())
        };
        let of_service = spans.filter(|span| is(&self.service, span.service()));
        let any = |holds: &dyn Fn(&traces::Span) -> bool| of_service.clone().any(holds);
        let took = |span: &traces::Span| {
            let micros = span.duration_ns / 1_000;
            self.min_duration.is_none_or(|least| micros >= least)
                && self.max_duration.is_none_or(|most| micros <= most)
        };
        any(&|span| is(&self.name, &span.name))
            && any(&|span| is(&self.remote, peer(span).unwrap_or_default()))
            && any(&took)
            && self.annotations.iter().all(|(key, value)| any(&|span| has(span, key, value)))
    }
}

fn has(span: &traces::Span, key: &str, value: &str) -> bool {
    let is_named = value.is_empty() && span.events.iter().any(|event| *event.name == *key);
    is_named || tags(span).get(key).is_some_and(|found| value.is_empty() || found == value)
}

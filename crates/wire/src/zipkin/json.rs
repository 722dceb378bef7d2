//! Zipkin's JSON.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

use super::{Endpoint, Kind, Malformed, Span, rewrite::rewrite};

/// Rewrites a list of spans in JSON as a request of OTLP.
///
/// # Errors
/// It is not JSON, or something in it has the wrong type.
pub fn from_json(list: &[u8]) -> Result<Vec<u8>, Malformed> {
    let spans: Vec<Document<'_>> =
        serde_json::from_slice(list).map_err(|error| Malformed(error.to_string()))?;
    Ok(rewrite(spans.into_iter().map(Span::from).collect()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(borrow, default)]
    trace_id: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    parent_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    timestamp: Option<u64>,
    duration: Option<u64>,
    #[serde(borrow)]
    local_endpoint: Option<End<'a>>,
    #[serde(borrow)]
    remote_endpoint: Option<End<'a>>,
    #[serde(borrow)]
    annotations: Option<Vec<Annotation<'a>>>,
    #[serde(borrow)]
    tags: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
    shared: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct End<'a> {
    #[serde(borrow)]
    service_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ipv4: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ipv6: Option<Cow<'a, str>>,
    port: Option<u16>,
}

#[derive(Deserialize)]
struct Annotation<'a> {
    timestamp: u64,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

impl<'a> From<Document<'a>> for Span<'a> {
    fn from(document: Document<'a>) -> Self {
        let kind = match document.kind.as_deref().unwrap_or_default() {
            "SERVER" => Kind::Server,
            "CLIENT" => Kind::Client,
            "PRODUCER" => Kind::Producer,
            "CONSUMER" => Kind::Consumer,
            _ => Kind::Internal,
        };
        let annotations = document.annotations.unwrap_or_default().into_iter();
        Self {
            trace_id: hex(&document.trace_id, 32),
            id: hex(&document.id, 16).and_then(|id| id.try_into().ok()),
            parent: document.parent_id.and_then(|id| hex(&id, 16)?.try_into().ok()),
            kind,
            name: document.name.unwrap_or_default(),
            timestamp: document.timestamp.unwrap_or_default(),
            duration: document.duration.unwrap_or_default(),
            local: document.local_endpoint.map(Endpoint::from).unwrap_or_default(),
            remote: document.remote_endpoint.map(Endpoint::from).unwrap_or_default(),
            annotations: annotations.map(|annotation| (annotation.timestamp, annotation.value)).collect(),
            tags: document.tags.unwrap_or_default(),
            shared: document.shared.unwrap_or_default(),
        }
    }
}

impl<'a> From<End<'a>> for Endpoint<'a> {
    fn from(end: End<'a>) -> Self {
        Self {
            service: end.service_name.unwrap_or_default(),
            address: end.ipv4.or(end.ipv6).unwrap_or_default(),
            port: end.port.unwrap_or_default(),
        }
    }
}

/// A number of up to so many hexadecimal digits: senders leave out leading zeros.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex =
        !text.is_empty() && text.len() <= digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex { u128::from_str_radix(text, 16).ok() } else { None }
}

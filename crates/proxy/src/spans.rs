//! The spans of a call: one for the call as the client saw it, one for each attempt.
//!
//! Names and attributes follow OpenTelemetry's conventions for HTTP; our own begin with `bellwether.`.
//! `bellwether.proxy` marks a span as a proxy's, so that a service graph can fold it into the edge
//! between two services. The query of a URL is left out, since people put secrets into it.

use std::sync::Arc;

use http::Method;
use identity::{Mono, Now, ProxyId, SpanId, Wall};
use monitoring::Outcome;
use resilience::{Ending, classify};
use traces::{Attributes, Kind, Resource, Scope, Span, Status};

use crate::record::{Attempt, Story};

/// Who records spans here.
#[derive(Debug)]
pub(crate) struct Identity {
    proxy: ProxyId,
    resource: Arc<Resource>,
    scope: Arc<Scope>,
}

/// OTLP's bit for "it is known whether the parent is remote".
const PARENT_IS_KNOWN: u32 = 0x100;
/// OTLP's bit for "the parent is remote".
const PARENT_IS_REMOTE: u32 = 0x200;

/// How much of a path is kept. A path may be as long as a head; spans wait in memory.
pub(crate) const PATH_BYTES: usize = 1_024;
/// How much of a failure's description is kept.
pub(crate) const DETAIL_BYTES: usize = 512;

impl Identity {
    pub(crate) fn new(proxy: ProxyId, caller: &str, version: &str) -> Self {
        let mut attributes = Attributes::with_capacity(3);
        attributes.push("service.name", caller);
        attributes.push("service.instance.id", proxy.as_str());
        attributes.push("service.version", version);
        let resource = Arc::new(Resource::new(attributes));
        Self { proxy, resource, scope: Arc::new(Scope::new("bellwether", version)) }
    }
}

impl Identity {
    /// The proxy's id.
    pub(crate) fn proxy(&self) -> &str {
        self.proxy.as_str()
    }
}

/// The spans of a call that is over; of one that is kept in part, those that failed.
pub(crate) fn of(
    story: &Story,
    identity: &Identity,
    outcome: Outcome,
    status: u16,
    now: Now,
    partial: bool,
) -> Vec<Span> {
    let name: Arc<str> = match &story.service {
        Some(service) => format!("{} {}", method(&story.method), service.name).into(),
        None => method(&story.method).into(),
    };
    let mut spans = Vec::with_capacity(1 + story.attempts.len());
    spans.push(call(story, identity, name.clone(), outcome, status, now));
    for (index, attempt) in story.attempts.iter().enumerate() {
        spans.push(one_attempt(story, identity, name.clone(), attempt, index + 1, now.mono));
    }
    if partial {
        spans.retain(Span::is_error);
        for span in &mut spans {
            span.attributes.push("bellwether.partial", true);
        }
    }
    spans
}

fn call(story: &Story, identity: &Identity, name: Arc<str>, outcome: Outcome, status: u16, now: Now) -> Span {
    let duration = now.mono.since(story.begun.mono);
    let mut span = start(story, identity, name, story.trace.span_id, story.begun.wall);
    span.kind = Kind::Server;
    span.parent_span_id = story.parent;
    span.flags |= if story.parent.is_some() { PARENT_IS_REMOTE } else { 0 };
    span.duration_ns = nanos(duration);
    common(&mut span.attributes, story, identity);
    let attributes = &mut span.attributes;
    attributes.push("url.path", shortened(story.uri.path(), PATH_BYTES));
    attributes.push("url.scheme", "http");
    attributes.push("bellwether.outcome", outcome.as_str());
    attributes.push("bellwether.breaker.state", story.breaker.as_str());
    if status != 0 {
        attributes.push("http.response.status_code", i64::from(status));
    }
    if let Some(age) = story.table_age {
        attributes.push("bellwether.snapshot.age_ms", i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    }
    if story.fell_back {
        attributes.push("bellwether.fallback", true);
    }
    if let Some(reason) = story.refused {
        attributes.push("bellwether.refused", reason.as_str());
        attributes.push("error.type", reason.as_str());
    }
    // A client that went away is nobody's error; a refusal is one, whatever its status.
    let is_error = matches!(outcome, Outcome::Error | Outcome::Timeout | Outcome::Refused);
    if is_error {
        if story.refused.is_none() {
            attributes.push("error.type", status.to_string());
        }
        span.status = Status::error(shortened(&story.detail, DETAIL_BYTES));
    }
    span
}

fn one_attempt(
    story: &Story,
    identity: &Identity,
    name: Arc<str>,
    attempt: &Attempt,
    number: usize,
    now: Mono,
) -> Span {
    let (ended, ending) = attempt.end.unwrap_or((now, Ending::Cancelled));
    // By the call's clock: two readings of the wall clock would not agree with the monotonic one.
    let since = nanos(attempt.begun.mono.since(story.begun.mono));
    let mut span = start(story, identity, name, attempt.span, Wall(story.begun.wall.0 + since));
    span.kind = Kind::Client;
    span.parent_span_id = Some(story.trace.span_id);
    span.duration_ns = nanos(ended.since(attempt.begun.mono));
    common(&mut span.attributes, story, identity);
    let attributes = &mut span.attributes;
    attributes.push("server.address", attempt.endpoint.host.to_string());
    attributes.push("server.port", i64::from(attempt.endpoint.port));
    attributes.push("bellwether.instance", attempt.endpoint.instance.as_str());
    attributes.push("bellwether.attempt", number as i64);
    if let Some(home) = &attempt.home {
        attributes.push("bellwether.ring.home", home.endpoint.instance.as_str());
        if !home.reason.is_empty() {
            attributes.push("bellwether.ring.reason", home.reason);
        }
    }
    if number > 1 {
        attributes.push("http.request.resend_count", number as i64 - 1);
    }
    let error = match ending {
        Ending::Answered(status) => {
            attributes.push("http.response.status_code", i64::from(status));
            (classify(ending) == resilience::Outcome::Failure).then(|| status.to_string())
        }
        Ending::Failed(fault) => Some(fault.as_str().to_owned()),
        Ending::Cancelled | Ending::CallerFault => None,
    };
    if let Some(error) = error {
        attributes.push("error.type", error);
        span.status = Status::error("");
    }
    span
}

fn start(story: &Story, identity: &Identity, name: Arc<str>, id: SpanId, at: Wall) -> Span {
    let mut span = Span::new(story.trace.trace_id, id, name, at, identity.resource.clone());
    span.scope = identity.scope.clone();
    span.flags = u32::from(story.trace.flags.to_byte()) | PARENT_IS_KNOWN;
    span.trace_state = story.trace.state.as_str().into();
    span.attributes = Attributes::with_capacity(12);
    span
}

fn common(attributes: &mut Attributes, story: &Story, identity: &Identity) {
    attributes.push("http.request.method", method(&story.method));
    attributes.push("bellwether.proxy", identity.proxy.as_str());
    if let Some(service) = &story.service {
        attributes.push("bellwether.service", service.name.as_str());
        attributes.push("bellwether.namespace", service.namespace.as_str());
        attributes.push("bellwether.route", identity::RouteName::default().as_str());
        attributes
            .push("bellwether.policy.revision", i64::try_from(service.policy.revision).unwrap_or(i64::MAX));
    }
}

/// The method, with all that are not standard under one name, as the conventions ask.
pub(crate) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "_OTHER",
    }
}

/// The beginning of a text, not longer than this.
pub(crate) fn shortened(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

pub(crate) fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

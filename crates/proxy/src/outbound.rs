//! A request as it goes on: without what concerned only the connection it came by.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header, request::Parts};
use hyper::body::Incoming;
use registry::Host;
use resilience::{GRPC_TIMEOUT_HEADER, TIMEOUT_HEADER, format_grpc_timeout, grpc_timeout};
use tokio::sync::oneshot;
use traces::{
    context::{TRACEPARENT, TRACESTATE, TraceContext},
    propagation::{self, Extracted, Format, Formats, Hop},
};

use crate::{
    hop::{self, Coding},
    listener::Client,
    policy::Policy,
    refusal::{Reason, Refusal},
    request_body::{Progress, RequestBody},
};

/// How many attempts the call has had, over all proxies on its way.
const ATTEMPT: HeaderName = HeaderName::from_static("bellwether-attempt");
const FIRST: HeaderValue = HeaderValue::from_static("1");
/// How many proxies of ours a call may pass through before it must be going in a circle.
const HOPS_MAX: usize = 32;
/// How much time is left for the call.
const TIMEOUT: HeaderName = HeaderName::from_static(TIMEOUT_HEADER);
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static(GRPC_TIMEOUT_HEADER);
const VIA: HeaderValue = HeaderValue::from_static("1.1 bellwether");

/// Where an attempt stands in its trace, and in which formats its callee is told.
#[derive(Debug)]
pub(crate) struct Mark<'a> {
    pub(crate) context: &'a TraceContext,
    pub(crate) formats: Formats,
    /// Who calls: the service and its instance.
    pub(crate) caller: (&'a str, &'a str),
    /// Who is called: host and port.
    pub(crate) callee: (&'a Host, u16),
    pub(crate) came: Option<&'a Extracted>,
}

/// A request that is ready to be sent, as often as it has to be.
#[derive(Debug)]
pub(crate) struct Outbound {
    parts: Parts,
    /// `None` once it is on its way.
    body: Option<RequestBody>,
    pub(crate) progress: Progress,
    /// The client's side of an upgrade, if it asked for one.
    pub(crate) upgrade: Option<oneshot::Receiver<Client>>,
    /// Attempts that a proxy before this one has made already.
    earlier_attempts: u32,
    /// Whether sending it twice has the effect of sending it once, or may be done all the same by the policy.
    may_repeat: bool,
    /// Whether those after us are told how much time is left, and whether also in gRPC's words.
    tells_time: bool,
    tells_grpc_time: bool,
}

impl Outbound {
    pub(crate) fn new(
        mut parts: Parts,
        incoming: Incoming,
        client: Option<oneshot::Receiver<Client>>,
        policy: &Policy,
    ) -> Result<Box<Self>, Refusal> {
        let coding = hop::coding(&parts.headers);
        if coding == Coding::Other {
            return Err(Refusal::new(
                Reason::UnknownCoding,
                "the body has a transfer coding other than chunked",
            ));
        }
        let earlier_attempts = attempt(&parts.headers).saturating_sub(1);
        let upgrade = hop::upgrade(&parts.headers).cloned();
        let tells_grpc_time = parts.headers.contains_key(GRPC_TIMEOUT);
        // Without a policy or a caller who is in a hurry the time is one that everybody has anyway.
        let tells_time = policy.revision > 0 || parts.headers.contains_key(TIMEOUT) || tells_grpc_time;
        parts.extensions.clear();
        hop::strip(&mut parts.headers);
        hop::strip_ours(&mut parts.headers);
        if coding == Coding::Chunked {
            // Said here, since the library sends no body of unknown length with a GET unless it is told to.
            parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        // The client is told to go on when the endpoint begins to take the body, not by the endpoint.
        parts.headers.remove(header::EXPECT);
        let upgrade = upgrade.zip(client).map(|(protocol, client)| {
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            parts.headers.insert(header::UPGRADE, protocol);
            client
        });
        Self::count_hop(&mut parts.headers)?;
        Self::make_origin_form(&mut parts)?;
        parts.version = Version::HTTP_11;
        let (body, progress) = RequestBody::new(incoming, policy.timeouts.idle);
        let idempotent = matches!(
            parts.method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
        );
        // Boxed, because it moves from hand to hand.
        Ok(Box::new(Self {
            parts,
            body: Some(body),
            progress,
            upgrade,
            earlier_attempts,
            may_repeat: idempotent || policy.retry.non_idempotent,
            tells_time,
            tells_grpc_time,
        }))
    }

    fn count_hop(headers: &mut HeaderMap) -> Result<(), Refusal> {
        if headers.contains_key(header::VIA) {
            let ours = |value: &HeaderValue| {
                value
                    .as_bytes()
                    .split(|b| *b == b',')
                    .filter(|hop| hop.trim_ascii() == VIA.as_bytes())
                    .count()
            };
            let hops: usize = headers.get_all(header::VIA).iter().map(ours).sum();
            if hops >= HOPS_MAX {
                let detail = format!("the call has passed through {hops} proxies");
                return Err(Refusal::new(Reason::Loop, detail));
            }
        }
        headers.append(header::VIA, VIA);
        Ok(())
    }

    /// `/path?query` as the target, with the host in its header, however the client wrote it.
    fn make_origin_form(parts: &mut Parts) -> Result<(), Refusal> {
        let Some(authority) = parts.uri.authority() else { return Ok(()) };
        let malformed = || Refusal::new(Reason::Malformed, "the request's target cannot be read");
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| malformed())?;
        parts.headers.insert(header::HOST, host);
        let target = parts.uri.path_and_query().cloned();
        parts.uri = target.map_or(Uri::from_static("/"), Uri::from);
        Ok(())
    }

    /// Whether an earlier proxy is already trying this call again. Then it is not for us to multiply.
    pub(crate) fn is_retry(&self) -> bool {
        self.earlier_attempts > 0
    }

    /// Whether there is still something to send: the body has not been used up by an attempt.
    pub(crate) fn can_be_sent(&self) -> bool {
        self.body.is_some() || self.is_repeatable()
    }

    /// Whether it may be sent twice, and can be.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.may_repeat && self.upgrade.is_none() && self.body.as_ref().is_none_or(RequestBody::is_empty)
    }

    /// Writes where this attempt stands in the trace and among the attempts, and how much time it has.
    pub(crate) fn mark(&mut self, mark: &Mark<'_>, attempt: u32, left: impl FnOnce() -> Duration) {
        let formats = mark.came.map_or(mark.formats, |came| mark.formats.with(came.format));
        // Nearly every call, and so without a look at the other formats.
        if formats == Formats::default() {
            self.mark_trace_context(mark.context);
        } else {
            self.mark_formats(mark, formats);
        }
        let headers = &mut self.parts.headers;
        let number = match self.earlier_attempts + attempt {
            1 => FIRST,
            number => number.into(),
        };
        headers.insert(ATTEMPT, number);
        if !self.tells_time {
            return;
        }
        let left = left();
        if let Ok(value) = HeaderValue::try_from(format!("{}ms", left.as_millis())) {
            headers.insert(TIMEOUT, value);
        }
        if self.tells_grpc_time
            && let Ok(value) = HeaderValue::try_from(format_grpc_timeout(left))
        {
            headers.insert(GRPC_TIMEOUT, value);
        }
    }

    fn mark_trace_context(&mut self, context: &TraceContext) {
        let headers = &mut self.parts.headers;
        if let Ok(value) = HeaderValue::try_from(context.traceparent()) {
            headers.insert(TRACEPARENT, value);
        }
        match HeaderValue::from_str(context.state.as_str()) {
            Ok(value) if !context.state.is_empty() => headers.insert(TRACESTATE, value),
            _ => headers.remove(TRACESTATE),
        };
    }

    fn mark_formats(&mut self, mark: &Mark<'_>, formats: Formats) {
        // What is not written anew, such as a state that was dropped, would belong to another span.
        for name in formats.iter().flat_map(|format| format.headers()) {
            self.parts.headers.remove(*name);
        }
        // Only SkyWalking's header names who calls whom.
        let (mut endpoint, mut peer) = (String::new(), String::new());
        if formats.has(Format::Sw8) {
            endpoint = format!("{} {}", self.parts.method, self.parts.uri.path());
            peer = format!("{}:{}", mark.callee.0, mark.callee.1);
        }
        let (service, instance) = mark.caller;
        let hop = Hop { service, instance, endpoint: &endpoint, peer: &peer };
        for (name, value) in propagation::inject(mark.context, mark.formats, &hop, mark.came) {
            if let Ok(value) = HeaderValue::try_from(value) {
                self.parts.headers.insert(name, value);
            }
        }
    }

    /// The request, and what is left to make another one of it.
    pub(crate) fn take(&mut self) -> Request<RequestBody> {
        let body = self.body.take().unwrap_or(RequestBody::Empty);
        let mut parts = Request::new(()).into_parts().0;
        if self.is_repeatable() && body.is_empty() {
            parts.method = self.parts.method.clone();
            parts.uri = self.parts.uri.clone();
            parts.headers = self.parts.headers.clone();
        } else {
            std::mem::swap(&mut parts, &mut self.parts);
        }
        Request::from_parts(parts, body)
    }

    /// Takes a request back of which nothing was sent.
    pub(crate) fn put_back(&mut self, request: Request<RequestBody>) {
        let (parts, body) = request.into_parts();
        self.parts = parts;
        self.body = Some(body);
    }
}

/// How long the caller waits for an answer, as it says: the shorter where it says so twice.
pub(crate) fn time_left(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let ours = text(&TIMEOUT).and_then(|text| identity::duration::parse(text).ok());
    let grpc = text(&GRPC_TIMEOUT).and_then(grpc_timeout);
    ours.into_iter().chain(grpc).min()
}

/// The attempt that a header speaks of; the first where there is none that can be read.
fn attempt(headers: &HeaderMap) -> u32 {
    let text = headers.get(ATTEMPT).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).map_or(1, |number: u32| number.clamp(1, 1_000))
}

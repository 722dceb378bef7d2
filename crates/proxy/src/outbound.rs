//! A request as it goes on: without what concerned only the connection it came by.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request::Parts};
use registry::Host;
use resilience::{GRPC_TIMEOUT_HEADER, TIMEOUT_HEADER, format_grpc_timeout, grpc_timeout};
use traces::{
    context::{TRACEPARENT, TRACESTATE, TraceContext},
    propagation::{self, Extracted, Format, Formats, Hop},
};

use crate::{
    http1::{encode, framing::Framing, head::RequestHead},
    policy::Policy,
    refusal::{Reason, Refusal},
};

/// Headers that begin like this are ours; nobody else's are believed or passed on.
pub(crate) const OUR_PREFIX: &str = "bellwether-";
/// How many attempts the call has had, over all proxies on its way.
const ATTEMPT: &str = "bellwether-attempt";
/// Nobody means more.
const ATTEMPTS_MAX: u32 = 1_000;
/// How many proxies of ours a call may pass through before it must be going in a circle.
const HOPS_MAX: usize = 32;
/// What each of them adds to `Via`.
const VIA: &[u8] = b"1.1 bellwether";
/// Room for most heads, and for what is written anew with each attempt.
const HEAD_ROOM: usize = 512;
const MARKS_ROOM: usize = 112;

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
    head: Box<RequestHead>,
    /// How long the caller waits for an answer, as it says.
    pub(crate) time_left: Option<Duration>,
    /// The lines that are another one's with each attempt.
    marks: BytesMut,
    /// Whether it has been sent, and with it all or a part of its body.
    was_sent: bool,
    /// Attempts that a proxy before this one has made already.
    earlier_attempts: u32,
    /// Whether sending it twice has the effect of sending it once, or may be done all the same by the policy.
    may_repeat: bool,
    /// Whether those after us are told how much time is left, and whether also in gRPC's words.
    tells_time: bool,
    tells_grpc_time: bool,
}

/// What a request's fields say to a proxy.
#[derive(Default)]
struct Said {
    /// The attempt that it is, by a proxy before this one.
    attempt: Option<u32>,
    time_left: Option<Duration>,
    tells_time: bool,
    tells_grpc_time: bool,
    /// How many proxies of ours it has passed through.
    hops: usize,
    /// Whether there is something that is not to go on as it came.
    is_rewritten: bool,
}

impl Said {
    /// In one pass, since most requests say nothing of this.
    fn read(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        for (name, value) in headers {
            let text = || value.to_str().ok();
            match name.as_str() {
                "via" => said.hops += hops(value),
                "traceparent" | "tracestate" => said.is_rewritten = true,
                GRPC_TIMEOUT_HEADER => {
                    (said.tells_grpc_time, said.tells_time, said.is_rewritten) = (true, true, true);
                    said.wait(text().and_then(grpc_timeout));
                }
                TIMEOUT_HEADER => {
                    (said.tells_time, said.is_rewritten) = (true, true);
                    said.wait(text().and_then(|text| identity::duration::parse(text).ok()));
                }
                ATTEMPT => {
                    said.is_rewritten = true;
                    said.attempt = text().and_then(|text| text.parse().ok());
                }
                name => said.is_rewritten |= name.starts_with(OUR_PREFIX),
            }
        }
        said
    }

    /// The shorter where it says so twice.
    fn wait(&mut self, wait: Option<Duration>) {
        self.time_left = self.time_left.into_iter().chain(wait).min();
    }
}

/// How many proxies of ours a `Via` names.
fn hops(value: &HeaderValue) -> usize {
    value.as_bytes().split(|byte| *byte == b',').filter(|hop| hop.trim_ascii() == VIA).count()
}

impl Outbound {
    pub(crate) fn new(mut head: Box<RequestHead>, policy: &Policy) -> Result<Box<Self>, Refusal> {
        if head.is_coded {
            return Err(Refusal::new(
                Reason::UnknownCoding,
                "the body has a transfer coding other than chunked",
            ));
        }
        let said = Said::read(&head.parts.headers);
        if said.hops >= HOPS_MAX {
            let detail = format!("the call has passed through {} proxies", said.hops);
            return Err(Refusal::new(Reason::Loop, detail));
        }
        if said.is_rewritten {
            Self::strip(&mut head.parts.headers);
        }
        Self::make_origin_form(&mut head.parts)?;
        let idempotent = matches!(
            head.parts.method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
        );
        // Boxed, because it moves from hand to hand.
        Ok(Box::new(Self {
            head,
            time_left: said.time_left,
            marks: BytesMut::new(),
            was_sent: false,
            earlier_attempts: said.attempt.map_or(0, |number| number.clamp(1, ATTEMPTS_MAX) - 1),
            may_repeat: idempotent || policy.retry.non_idempotent,
            // Without a policy or a caller who is in a hurry the time is one that everybody has anyway.
            tells_time: policy.revision > 0 || said.tells_time,
            tells_grpc_time: said.tells_grpc_time,
        }))
    }

    /// Removes what claims to come from one of us, and what is written anew with each attempt.
    fn strip(headers: &mut HeaderMap) {
        for name in [TRACEPARENT, TRACESTATE, TIMEOUT_HEADER, GRPC_TIMEOUT_HEADER] {
            headers.remove(name);
        }
        let ours = |name: &&HeaderName| name.as_str().starts_with(OUR_PREFIX);
        let named: Vec<HeaderName> = headers.keys().filter(ours).cloned().collect();
        for name in named {
            headers.remove(name);
        }
    }

    /// `/path?query` as the target, with the host in its header, however the client wrote it.
    fn make_origin_form(parts: &mut Parts) -> Result<(), Refusal> {
        let Some(authority) = parts.uri.authority() else { return Ok(()) };
        let malformed = || Refusal::new(Reason::Malformed, "the request's target cannot be read");
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let host = HeaderValue::from_str(host).map_err(|_| malformed())?;
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
        !self.was_sent || self.is_repeatable()
    }

    /// Whether it may be sent twice, and can be.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.may_repeat && !self.asks_to_switch() && self.head.framing.is_empty()
    }

    /// Whether it asks to change to another protocol.
    pub(crate) fn asks_to_switch(&self) -> bool {
        self.head.upgrade.is_some()
    }

    /// Whether its body goes on in chunks.
    pub(crate) fn is_chunked(&self) -> bool {
        self.head.framing == Framing::Chunked
    }

    pub(crate) fn method(&self) -> &Method {
        &self.head.parts.method
    }

    /// Writes where this attempt stands in the trace and among the attempts, and how much time it has.
    pub(crate) fn mark(&mut self, mark: &Mark<'_>, attempt: u32, left: impl FnOnce() -> Duration) {
        self.marks.clear();
        self.marks.reserve(MARKS_ROOM);
        let formats = mark.came.map_or(mark.formats, |came| mark.formats.with(came.format));
        // Nearly every call, and so without a look at the other formats.
        if formats == Formats::default() {
            line(&mut self.marks, TRACEPARENT, &mark.context.traceparent());
            if HeaderValue::from_str(mark.context.state.as_str()).is_ok_and(|state| !state.is_empty()) {
                line(&mut self.marks, TRACESTATE, mark.context.state.as_str());
            }
        } else {
            self.mark_formats(mark, formats);
        }
        match self.earlier_attempts + attempt {
            1 => line(&mut self.marks, ATTEMPT, "1"),
            number => line(&mut self.marks, ATTEMPT, &number.to_string()),
        }
        if !self.tells_time {
            return;
        }
        let left = left();
        line(&mut self.marks, TIMEOUT_HEADER, &format!("{}ms", left.as_millis()));
        if self.tells_grpc_time {
            line(&mut self.marks, GRPC_TIMEOUT_HEADER, &format_grpc_timeout(left));
        }
    }

    fn mark_formats(&mut self, mark: &Mark<'_>, formats: Formats) {
        // What is not written anew, such as a state that was dropped, would belong to another span.
        for name in formats.iter().flat_map(|format| format.headers()) {
            self.head.parts.headers.remove(*name);
        }
        // Only SkyWalking's header names who calls whom.
        let (mut endpoint, mut peer) = (String::new(), String::new());
        if formats.has(Format::Sw8) {
            endpoint = format!("{} {}", self.head.parts.method, self.head.parts.uri.path());
            peer = format!("{}:{}", mark.callee.0, mark.callee.1);
        }
        let (service, instance) = mark.caller;
        let hop = Hop { service, instance, endpoint: &endpoint, peer: &peer };
        for (name, value) in propagation::inject(mark.context, mark.formats, &hop, mark.came) {
            if let Ok(value) = HeaderValue::try_from(value) {
                self.head.parts.headers.insert(name, value);
            }
        }
    }

    /// Writes the head.
    pub(crate) fn write(&mut self, out: &mut BytesMut) {
        self.was_sent = true;
        let RequestHead { parts, framing, upgrade, takes_trailers, .. } = &*self.head;
        out.reserve(HEAD_ROOM);
        encode::request_line(out, &parts.method, &parts.uri);
        encode::fields(out, &parts.headers);
        line(out, "via", "1.1 bellwether");
        out.put_slice(&self.marks);
        encode::framing(out, *framing);
        match upgrade {
            Some(protocol) => {
                encode::field(out, &header::CONNECTION, b"upgrade");
                encode::field(out, &header::UPGRADE, protocol.as_bytes());
            }
            // The one coding that can be offered on, since trailers are passed through.
            None if *takes_trailers => {
                encode::field(out, &header::CONNECTION, b"te");
                encode::field(out, &header::TE, b"trailers");
            }
            None => {}
        }
        out.put_slice(b"\r\n");
    }
}

fn line(out: &mut BytesMut, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.put_slice(part.as_bytes());
    }
}

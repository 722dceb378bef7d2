//! What a client gets when its call cannot be answered by the service: a status that says whose fault
//! it is, a problem document that says what to do, and `Proxy-Status` (RFC 9209) for machines.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use resilience::{Ending, Fallback, Fault};
use wire::native::problem::{Code, Problem};

/// RFC 9209.
pub(crate) const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What it says of a request that cannot be read.
pub(crate) const REQUEST_ERROR: HeaderValue =
    HeaderValue::from_static("bellwether; error=http_request_error");

/// Why a call is answered by the proxy itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    HostMissing,
    Malformed,
    MethodNotAllowed,
    UnknownCoding,
    NoRoute,
    NoSnapshot,
    Loop,
    BreakerOpen,
    NoEndpoint,
    TooManyCalls,
    /// More calls than the service's policy allows in their time.
    RateLimited,
    /// More calls at once than the service's policy allows.
    ConcurrencyLimited,
    /// The caller said how long it waits, and that is over.
    Deadline,
    /// The client's body broke off.
    ClientBody,
    /// The client's body stalled.
    ClientStalled,
    /// An attempt was made and failed.
    Upstream(Fault),
}

impl Reason {
    /// The word for it in spans.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::HostMissing => "host_missing",
            Self::Malformed => "malformed_request",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnknownCoding => "unknown_transfer_coding",
            Self::NoRoute => "no_route",
            Self::NoSnapshot => "no_snapshot",
            Self::Loop => "loop",
            Self::BreakerOpen => "breaker_open",
            Self::NoEndpoint => "no_endpoint",
            Self::TooManyCalls => "too_many_calls",
            Self::RateLimited => "rate_limited",
            Self::ConcurrencyLimited => "concurrency_limited",
            Self::Deadline => "deadline",
            Self::ClientBody => "client_body",
            Self::ClientStalled => "client_stalled",
            Self::Upstream(fault) => fault.as_str(),
        }
    }

    fn code(self) -> Code {
        match self {
            Self::HostMissing => Code::HostMissing,
            Self::Malformed => Code::MalformedRequest,
            Self::MethodNotAllowed => Code::MethodNotAllowed,
            Self::UnknownCoding => Code::NotOffered,
            Self::NoRoute => Code::NoRoute,
            Self::NoSnapshot => Code::NoSnapshot,
            Self::Loop => Code::LoopDetected,
            Self::BreakerOpen => Code::BreakerOpen,
            Self::NoEndpoint => Code::NoEndpoint,
            Self::TooManyCalls | Self::ConcurrencyLimited => Code::ConcurrencyLimited,
            Self::RateLimited => Code::RateLimited,
            Self::Deadline => Code::CallTimeout,
            Self::ClientBody => Code::MalformedBody,
            Self::ClientStalled => Code::RequestTimeout,
            Self::Upstream(fault) => match fault {
                Fault::Connect => Code::ConnectFailed,
                Fault::ConnectTimeout => Code::ConnectTimeout,
                Fault::AttemptTimeout | Fault::Idle => Code::AttemptTimeout,
                Fault::CallTimeout => Code::CallTimeout,
                Fault::RefusedStream | Fault::Reset => Code::UpstreamReset,
                Fault::Malformed => Code::UpstreamMalformed,
                Fault::Forbidden => Code::EndpointForbidden,
            },
        }
    }

    /// The error type of RFC 9209, section 2.3.
    fn proxy_status(self) -> HeaderValue {
        let status = match self {
            Self::HostMissing
            | Self::Malformed
            | Self::ClientBody
            | Self::ClientStalled
            | Self::UnknownCoding => {
                return REQUEST_ERROR;
            }
            Self::MethodNotAllowed => "bellwether; error=http_request_denied",
            Self::NoRoute => "bellwether; error=destination_not_found",
            Self::Loop => "bellwether; error=proxy_loop_detected",
            Self::NoSnapshot | Self::BreakerOpen | Self::NoEndpoint => {
                "bellwether; error=destination_unavailable"
            }
            Self::TooManyCalls | Self::ConcurrencyLimited => "bellwether; error=connection_limit_reached",
            Self::RateLimited => "bellwether; error=http_request_denied",
            Self::Deadline => "bellwether; error=http_response_timeout",
            Self::Upstream(fault) => match fault {
                Fault::Connect => "bellwether; error=connection_refused",
                Fault::ConnectTimeout => "bellwether; error=connection_timeout",
                Fault::AttemptTimeout | Fault::CallTimeout | Fault::Idle => {
                    "bellwether; error=http_response_timeout"
                }
                Fault::RefusedStream | Fault::Reset => "bellwether; error=http_response_incomplete",
                Fault::Malformed => "bellwether; error=http_protocol_error",
                Fault::Forbidden => "bellwether; error=destination_ip_prohibited",
            },
        };
        HeaderValue::from_static(status)
    }

    /// Whether it is the service that has no answer, so that another one can stand in for it.
    pub(crate) fn is_the_services(self) -> bool {
        matches!(self, Self::BreakerOpen | Self::NoEndpoint | Self::Upstream(_))
    }

    /// What it says about the service; nothing, where we did not get to call it.
    pub(crate) fn ending(self) -> Option<Ending> {
        match self {
            Self::Upstream(fault) => Some(Ending::Failed(fault)),
            Self::ClientBody | Self::ClientStalled => Some(Ending::CallerFault),
            // How long a caller waits says nothing about the service.
            Self::Deadline => Some(Ending::Cancelled),
            _ => None,
        }
    }
}

/// The proxy's own answer to a call.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    problem: Problem,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, problem: Problem::new(reason.code(), detail) }
    }

    pub(crate) fn next(mut self, next: impl Into<Cow<'static, str>>) -> Self {
        self.problem = self.problem.next(next);
        self
    }

    pub(crate) fn retry_after(mut self, delay: Duration) -> Self {
        self.problem = self.problem.retry_after(delay);
        self
    }

    pub(crate) fn status(&self) -> u16 {
        self.problem.status()
    }

    pub(crate) fn detail(&self) -> &str {
        self.problem.detail()
    }

    pub(crate) fn response(&self) -> Response<Bytes> {
        let mut response = Response::from(&self.problem);
        response.headers_mut().insert(PROXY_STATUS, self.reason.proxy_status());
        let is_doubtful = matches!(
            self.reason,
            Reason::Malformed | Reason::UnknownCoding | Reason::ClientBody | Reason::ClientStalled
        );
        if is_doubtful {
            // What would come next cannot be told from what is left of the body; and who writes two hosts
            // may not mean by the next request what we take it for.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Says that an answer is not the service's, and why there is none of it.
const FALLBACK: HeaderName = HeaderName::from_static("bellwether-fallback");

/// What is answered instead of an error, marked as what it is.
pub(crate) fn stand_in(fallback: &Fallback, reason: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(fallback.body.as_bytes()));
    *response.status_mut() = StatusCode::from_u16(fallback.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let headers = response.headers_mut();
    headers.insert(FALLBACK, HeaderValue::from_static(reason));
    if let Ok(content_type) = HeaderValue::from_str(&fallback.content_type)
        && !fallback.body.is_empty()
    {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    response
}

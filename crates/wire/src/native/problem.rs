//! Problem documents: how everything that goes wrong is told, over HTTP and on the command line.
//!
//! The shape is that of RFC 9457 (`application/problem+json`) with four members of our own: `code`,
//! stable and explained by `bellwether explain`; `field`, the place in the request; `next`, what to
//! do about it; and `retry_after_ns`. The title belongs to the code and is always the same; the detail
//! is of this one occurrence and names the thing and the rule it broke.
//!
//! `type` is an identifier and not an address that anyone has to reach: a machine without an internet
//! connection has the same texts in its binary.

use std::{borrow::Cow, fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

mod code;
mod table;
#[cfg(test)]
mod tests;

pub use code::{Entry, Exit};
pub use table::Code;

/// The media type of a problem document.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// One thing that went wrong.
///
/// ```
/// use wire::native::problem::{Code, Problem};
///
/// let problem = Problem::new(Code::NoSuchService, "no service \"paymnts\" in namespace \"default\"")
///     .next("did you mean \"payments\"?");
/// assert_eq!(problem.status(), 404);
/// assert_eq!(
///     problem.to_string(),
///     "BW-1101 no service \"paymnts\" in namespace \"default\"; did you mean \"payments\"?"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{code} {detail}; {next}")]
pub struct Problem {
    /// Identifies the kind of problem; one for each code.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "https://bellwether.dev/problems/BW-1101")]
    kind: Kind,
    /// What happened, in the same words every time.
    #[schema(value_type = String, example = "No such service")]
    title: Box<str>,
    /// The status of the HTTP answer.
    #[schema(example = 404)]
    status: u16,
    /// The code, stable across versions.
    #[schema(value_type = String, example = "BW-1101")]
    code: Code,
    /// What happened this time: the thing and the rule it broke.
    #[schema(value_type = String, example = "no service \"paymnts\" in namespace \"default\"")]
    detail: Box<str>,
    /// The path that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "/bellwether/v1/namespaces/default/services/paymnts")]
    instance: Option<Box<str>>,
    /// The parameter or header, or the JSON pointer into the body, that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "/spec/timeouts/call")]
    field: Option<Box<str>>,
    /// What to do next.
    #[serde(default)]
    #[schema(value_type = String, example = "did you mean \"payments\"?")]
    next: Cow<'static, str>,
    /// After how many nanoseconds another try makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ns: Option<u64>,
}

impl Problem {
    /// A problem of this kind; `detail` is of this occurrence, the rest comes from the code.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let entry = code.entry();
        Self {
            kind: Kind(code),
            title: entry.title.into(),
            status: entry.status,
            code,
            detail: detail.into().into_boxed_str(),
            instance: None,
            field: None,
            next: Cow::Borrowed(entry.remedy),
            retry_after_ns: None,
        }
    }

    /// Names the parameter, the header or the place in the body (a JSON pointer) that is meant.
    #[must_use]
    pub fn at(mut self, field: impl Into<Box<str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Names the path that was asked for.
    #[must_use]
    pub fn on(mut self, path: impl Into<Box<str>>) -> Self {
        self.instance = Some(path.into());
        self
    }

    /// Says what to do next, where more is known than the code's own remedy.
    #[must_use]
    pub fn next(mut self, next: impl Into<Cow<'static, str>>) -> Self {
        self.next = next.into();
        self
    }

    /// Says after how long another try makes sense; becomes `Retry-After` as well.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after_ns = Some(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX));
        self
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The status of the HTTP answer.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What the command line exits with.
    pub fn exit(&self) -> Exit {
        match (self.code, self.status) {
            // Not in this build's table, but the status says enough.
            (Code::NewerProblem, 404) => Exit::NotFound,
            (Code::NewerProblem, 401 | 403) => Exit::Denied,
            (code, _) => code.entry().exit,
        }
    }

    /// What happened, in the same words every time.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What happened this time.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The path that was asked for.
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// The parameter, header or JSON pointer that is meant.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// What to do next.
    pub fn what_next(&self) -> &str {
        &self.next
    }

    /// After how long another try makes sense, if it does.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.retry_after_ns.map(Duration::from_nanos)
    }

    /// The document's bytes.
    pub fn to_json(&self) -> Bytes {
        // Strings and numbers only: this cannot fail, and an empty body is still a valid answer.
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl From<&Problem> for Response<Bytes> {
    /// The whole answer: the document, and the headers that its status asks for.
    fn from(problem: &Problem) -> Self {
        let mut response = Response::new(problem.to_json());
        *response.status_mut() =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if problem.status == 401 {
            // RFC 6750, section 3: no error code where no token was given at all.
            let challenge = match problem.code {
                Code::TokenMissing => "Bearer realm=\"bellwether\"",
                _ => "Bearer realm=\"bellwether\", error=\"invalid_token\"",
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(delay) = problem.retry_after_ns {
            // The header has whole seconds; rounded up, so that nobody comes back too early.
            headers.insert(header::RETRY_AFTER, delay.div_ceil(1_000_000_000).into());
        }
        response
    }
}

impl From<&Problem> for tonic::Status {
    /// The same problem as a gRPC status: the code of gRPC that comes nearest, and the text.
    fn from(problem: &Problem) -> Self {
        use tonic::Code as Grpc;
        let code = match problem.status {
            400 | 405 | 406 | 415 | 422 => Grpc::InvalidArgument,
            401 => Grpc::Unauthenticated,
            403 | 421 => Grpc::PermissionDenied,
            404 => Grpc::NotFound,
            408 | 504 => Grpc::DeadlineExceeded,
            409 => Grpc::Aborted,
            410 => Grpc::OutOfRange,
            412 | 428 => Grpc::FailedPrecondition,
            413 | 414 | 429 | 431 | 507 => Grpc::ResourceExhausted,
            501 => Grpc::Unimplemented,
            502 | 503 => Grpc::Unavailable,
            _ => Grpc::Internal,
        };
        tonic::Status::new(code, problem.to_string())
    }
}

/// The `type` of a problem: where its code would be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kind(Code);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://bellwether.dev/problems/{}", self.0)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Kind {
    /// Only the code is kept, since the rest is the same for all; one that is unknown is newer.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let code = text.rsplit('/').next().and_then(|last| last.parse().ok());
        Ok(Self(code.unwrap_or(Code::NewerProblem)))
    }
}

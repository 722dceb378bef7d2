//! OTLP: spans and metrics over HTTP (`POST /v1/traces`, `/v1/metrics`) and over gRPC, on one port.
//!
//! A unary call of gRPC is a framed message and a trailer, so it is answered here by hand: a generated
//! service would decode every request into owned messages, which costs more than storing them.
//!
//! Back-pressure in the protocol's own words: 429 or 503 with `Retry-After` over HTTP, and
//! `RESOURCE_EXHAUSTED` or `UNAVAILABLE` with a `RetryInfo` over gRPC, which are what makes a sender keep a
//! batch and send it again. What can never be taken in is answered with what makes it drop the batch.

mod metrics;

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State as Of},
    response::Response,
    routing::post,
};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use tonic::{Code as Grpc, Status};
use wire::{
    native::problem::{Code, Problem},
    otlp::{self, Encoding, Failure},
};

use crate::{
    access::Principal,
    inflate::{CODINGS, Coding},
    senders::{self, HTTP_CODING, Held, Rewrite},
    state::State,
};

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    /// The path over HTTP, and the method of gRPC.
    const fn paths(self) -> [&'static str; 2] {
        match self {
            Self::Traces => ["/v1/traces", "/opentelemetry.proto.collector.trace.v1.TraceService/Export"],
            Self::Metrics => {
                ["/v1/metrics", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"]
            }
        }
    }

    /// How its JSON is made Protocol Buffers.
    fn rewrite(self, encoding: Encoding) -> Rewrite {
        match (self, encoding) {
            (_, Encoding::Protobuf) => Ok,
            (Self::Traces, Encoding::Json) => {
                |body| otlp::from_json(&body).map_err(|error| error.to_string())
            }
            (Self::Metrics, Encoding::Json) => {
                |body| otlp::metrics_from_json(&body).map_err(|error| error.to_string())
            }
        }
    }

    /// Takes in a request, and gives the message that answers it.
    async fn take_in(
        self,
        state: &Arc<State>,
        caller: Principal,
        held: Held,
        encoding: Encoding,
    ) -> Result<Vec<u8>, Problem> {
        let rewrite = self.rewrite(encoding);
        match self {
            Self::Traces => {
                let refused = senders::take_in(state, caller, held, rewrite).await?;
                Ok(otlp::partial_success(encoding, &refused))
            }
            Self::Metrics => {
                let (refused, why) = metrics::take_in(state, &caller, held, rewrite).await?;
                Ok(otlp::points_rejected(encoding, refused, &why))
            }
        }
    }
}

/// The routes.
pub(crate) fn routes() -> Router<Arc<State>> {
    [Signal::Traces, Signal::Metrics].into_iter().fold(Router::new(), |routes, signal| {
        let [path, method] = signal.paths();
        routes
            .route(path, post(move |of, caller, request| over_http(signal, of, caller, request)))
            .route(method, post(move |of, caller, request| over_grpc(signal, of, caller, request)))
    })
}

/// A request over HTTP.
async fn over_http(
    signal: Signal,
    Of(state): Of<Arc<State>>,
    Extension(caller): Extension<Principal>,
    request: Request,
) -> Response {
    let (encoding, answered) = match encoding(request.headers()) {
        Ok(encoding) => (encoding, export(signal, &state, caller, request, encoding).await),
        Err(problem) => (Encoding::Json, Err(problem)),
    };
    let mut response = match answered {
        Ok(body) => Response::new(Body::from(body)),
        Err(problem) => refused(&problem, encoding),
    };
    let media_type = HeaderValue::from_static(encoding.media_type());
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

async fn export(
    signal: Signal,
    state: &Arc<State>,
    caller: Principal,
    request: Request,
    encoding: Encoding,
) -> Result<Vec<u8>, Problem> {
    let coding = Coding::named(request.headers(), HTTP_CODING)?;
    let held = senders::read(state, request, coding).await?;
    signal.take_in(state, caller, held, encoding).await
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    match kind.to_ascii_lowercase().as_str() {
        "application/x-protobuf" | "application/protobuf" => Ok(Encoding::Protobuf),
        "application/json" => Ok(Encoding::Json),
        _ => {
            let detail = format!("the content type \"{}\" is not OTLP's", kind.escape_debug());
            let problem = Problem::new(Code::TelemetryUnsupported, detail).at("content-type");
            Err(problem.next("send application/x-protobuf or application/json"))
        }
    }
}

/// A problem as OTLP tells it: what may be sent again is 429 or 503, whatever it was.
fn refused(problem: &Problem, encoding: Encoding) -> Response {
    let delay = problem.retry_delay();
    let status = match (delay, problem.status()) {
        (Some(_), 429) => StatusCode::TOO_MANY_REQUESTS,
        (Some(_), _) => StatusCode::SERVICE_UNAVAILABLE,
        (None, status) => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let failure = failure(problem);
    let mut response = Response::new(Body::from(failure.encode(encoding)));
    *response.status_mut() = status;
    if let Some(delay) = delay {
        // Whole seconds, rounded up, so that nobody comes back too early.
        let seconds = delay.as_millis().div_ceil(1_000);
        response.headers_mut().insert(header::RETRY_AFTER, (seconds as u64).into());
    }
    response
}

fn failure(problem: &Problem) -> Failure {
    let code = match (problem.retry_delay(), problem.status()) {
        (Some(_), 429) => Grpc::ResourceExhausted,
        (Some(_), _) => Grpc::Unavailable,
        // With a delay this code means "later", and without one it is easily taken for that.
        (None, 413) => Grpc::InvalidArgument,
        (None, _) => Status::from(problem).code(),
    };
    Failure { code: code as i32 as u32, message: problem.to_string(), retry_after: problem.retry_delay() }
}

const GRPC_CODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_CODINGS: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// Before each message: whether it is compressed, and its length in four bytes.
const FRAME_BYTES: usize = 5;

/// A call of `Export`.
async fn over_grpc(
    signal: Signal,
    Of(state): Of<Arc<State>>,
    Extension(caller): Extension<Principal>,
    request: Request,
) -> Response {
    match call(signal, &state, caller, request).await {
        Ok(message) => answered(&message),
        Err(problem) => {
            let failure = failure(&problem);
            let details = failure.encode(Encoding::Protobuf).into();
            let code = Grpc::from_i32(failure.code as i32);
            let mut response = Status::with_details(code, failure.message, details).into_http::<Body>();
            response.headers_mut().insert(GRPC_CODINGS, HeaderValue::from_static(CODINGS));
            response
        }
    }
}

async fn call(
    signal: Signal,
    state: &Arc<State>,
    caller: Principal,
    request: Request,
) -> Result<Vec<u8>, Problem> {
    let coding = Coding::named(request.headers(), GRPC_CODING)?;
    let held = senders::read(state, request, Coding::Identity).await?;
    let broken = |detail: &str| Problem::new(Code::TelemetryMalformed, detail);
    let Some((frame, message)) = held.body.split_first_chunk::<FRAME_BYTES>() else {
        return Err(broken("a unary call of gRPC carries one message, and this one carries none"));
    };
    let [compressed, length @ ..] = *frame;
    if u32::from_be_bytes(length) as usize != message.len() {
        return Err(broken("the message's frame gives another length than the message has"));
    }
    let coding = match compressed {
        0 => Coding::Identity,
        1 => coding,
        _ => return Err(broken("the first byte of the message's frame is neither 0 nor 1")),
    };
    signal.take_in(state, caller, held.with(coding, FRAME_BYTES), Encoding::Protobuf).await
}

/// A message, and that all went well.
fn answered(message: &[u8]) -> Response {
    let mut frame = BytesMut::with_capacity(FRAME_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::<Bytes>::new(frame.freeze()).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_CODINGS, HeaderValue::from_static(CODINGS));
    response
}

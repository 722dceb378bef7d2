//! A problem as a response, in the client's own protocol.
//!
//! A gRPC client looks at `grpc-status` and nowhere else, so a problem document with status 403
//! would reach it as "unknown". It gets the same text as a status without a message.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, header};
use wire::native::problem::Problem;

/// A problem as the error of a handler: `async fn handler() -> Result<Json<T>, Refusal>`.
#[derive(Debug)]
pub struct Refusal(pub Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        http::Response::<Bytes>::from(&self.0).map(Body::from)
    }
}

/// Whether these are the headers of a gRPC request.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    // `application/grpc`, `application/grpc+proto`, but not `application/grpc-web`.
    kind.strip_prefix(b"application/grpc")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The response that tells of `problem`.
pub fn answer(problem: &Problem, grpc: bool) -> Response {
    if grpc {
        tonic::Status::from(problem).into_http()
    } else {
        http::Response::<Bytes>::from(problem).map(Body::from)
    }
}

/// The whole answer as HTTP/1 bytes, for a connection on which no HTTP is spoken yet or any more.
pub(super) fn raw(problem: &Problem) -> Vec<u8> {
    let response = http::Response::<Bytes>::from(problem);
    let mut bytes = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let length = response.body().len();
    bytes.extend_from_slice(format!("content-length: {length}\r\nconnection: close\r\n\r\n").as_bytes());
    bytes.extend_from_slice(response.body());
    bytes
}

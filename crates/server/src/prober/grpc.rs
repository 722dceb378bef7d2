//! A gRPC check: `grpc.health.v1.Health/Check` without TLS, and `SERVING` passes.

use std::{
    error::Error,
    io,
    sync::{Mutex, PoisonError},
};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::{Code, Status, transport::Endpoint};
use tower::service_fn;
use wire::grpc_health::proto::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::ask::AGENT;

/// Bytes of an answer; the real one has two.
const ANSWER: usize = 4 << 10;
/// Bytes of an answer's headers.
const HEADERS: u32 = 16 << 10;

/// Asks how a service is; without a name, the server as a whole.
pub(super) async fn check(stream: TcpStream, authority: &str, service: &str) -> Result<(), String> {
    let unusable = |error: tonic::transport::Error| format!("no gRPC answer: {}", root(&error));
    let endpoint = Endpoint::from_shared(format!("http://{authority}"))
        .and_then(|endpoint| endpoint.user_agent(AGENT))
        .map_err(unusable)?
        .http2_max_header_list_size(HEADERS);
    // The connection was opened where every address is looked at; there is no second one.
    let stream = Mutex::new(Some(stream));
    let connector = service_fn(move |_| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stream = stream.map(TokioIo::new).ok_or_else(|| io::Error::other("the connection broke"));
        std::future::ready(stream)
    });
    let channel = endpoint.connect_with_connector(connector).await.map_err(unusable)?;
    let request = HealthCheckRequest { service: service.to_owned() };
    let mut client = HealthClient::new(channel).max_decoding_message_size(ANSWER);
    let answer = client.check(request).await.map_err(|status| refused(&status, service))?;
    match answer.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        other => Err(format!("it says {}", other.as_str_name())),
    }
}

fn refused(status: &Status, service: &str) -> String {
    match (status.source(), status.code()) {
        (Some(error), _) => format!("no gRPC answer: {}", root(error)),
        (None, Code::Unimplemented) => "it has no health service (UNIMPLEMENTED)".to_owned(),
        (None, Code::NotFound) => format!("it knows no service \"{service}\" (NOT_FOUND)"),
        (None, code) => format!("it answered with the gRPC status {}", name(code)),
    }
}

/// What went wrong first.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// A status as the protocol names it.
fn name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

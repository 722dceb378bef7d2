//! One try of a call at one endpoint: a connection, the request, the head of the response.

use std::time::Duration;

use http::Response;
use hyper::body::Incoming;
use identity::Mono;
use resilience::{Fault, Timeouts};
use tokio::time::timeout;

use crate::{
    connect::{self, Failure},
    endpoint::Endpoint,
    gateway::Gateway,
    hop::{self, Coding},
    outbound::Outbound,
    upstream::Upstream,
};

/// A response that has begun, and the connection by which it comes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) connection: Upstream,
}

/// What sending came to.
enum Sent {
    Answered(Answer),
    /// The endpoint had closed the connection, and the request may be sent again.
    Stale,
    Failed(Failure),
}

/// Tries once. A connection from the pool that turns out to have been closed is replaced by a new one,
/// once, without that being another attempt: the endpoint never saw the request.
pub(crate) async fn run(
    endpoint: &Endpoint,
    outbound: &mut Outbound,
    timeouts: &Timeouts,
    gateway: &Gateway,
    begun: Mono,
) -> Result<Answer, Failure> {
    if let Some(connection) = endpoint.pool.take(begun) {
        match within(timeouts.attempt, send(connection, outbound, true)).await? {
            Sent::Answered(answer) => return checked(answer),
            Sent::Failed(failure) => return Err(failure),
            Sent::Stale => {}
        }
    }
    let connection = connect::dial(endpoint, gateway, timeouts.connect).await?;
    match within(timeouts.attempt, send(connection, outbound, false)).await? {
        Sent::Answered(answer) => checked(answer),
        Sent::Failed(failure) => Err(failure),
        Sent::Stale => Err(Failure::new(Fault::Reset, "the connection ended before the response")),
    }
}

async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Result<T, Failure> {
    let Some(limit) = limit else { return Ok(future.await) };
    timeout(limit, future).await.map_err(|_| {
        let limit = identity::duration::format(limit);
        Failure::new(Fault::AttemptTimeout, format!("no response within {limit}"))
    })
}

async fn send(mut connection: Upstream, outbound: &mut Outbound, reused: bool) -> Sent {
    let repeatable = outbound.is_repeatable();
    match connection.send(outbound.take()).await {
        Ok(response) => Sent::Answered(Answer { response, connection }),
        Err(mut error) => {
            if let Some(request) = error.take_message() {
                outbound.put_back(request);
                return Sent::Stale;
            }
            let error = error.into_error();
            if reused && repeatable && is_closed(&error) {
                return Sent::Stale;
            }
            let fault = if error.is_parse() { Fault::Malformed } else { Fault::Reset };
            Sent::Failed(Failure::new(fault, describe(&error)))
        }
    }
}

/// Whether the connection ended, rather than something wrong having come by it.
fn is_closed(error: &hyper::Error) -> bool {
    let io = std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>());
    error.is_incomplete_message() || error.is_canceled() || error.is_closed() || io
}

/// The error with its cause: hyper's own words name only the kind.
pub(crate) fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        // What we brought ourselves: the request's body.
        Some(source) if error.is_user() => source.to_string(),
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// What an endpoint may not answer, because it cannot be passed on.
fn checked(answer: Answer) -> Result<Answer, Failure> {
    if hop::coding(answer.response.headers()) == Coding::Other {
        return Err(Failure::new(Fault::Malformed, "the response has a transfer coding other than chunked"));
    }
    Ok(answer)
}

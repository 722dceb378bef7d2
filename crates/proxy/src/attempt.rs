//! One try of a call at one endpoint: a connection, the request, the head of the response.

use std::time::Duration;

use identity::Mono;
use resilience::{Fault, Timeouts};
use tokio::time::timeout;

use crate::{
    connect::{self, Failure},
    endpoint::Endpoint,
    gateway::Gateway,
    http1::head::ResponseHead,
    listener::Client,
    outbound::Outbound,
    upstream::{Unanswered, Upstream},
};

/// A response that has begun, and the connection by which it comes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: ResponseHead,
    pub(crate) connection: Box<Upstream>,
}

/// Tries once. A connection from the pool that turns out to have been closed is replaced by a new one,
/// once, without that being another attempt: the endpoint never saw the request.
pub(crate) async fn run(
    endpoint: &Endpoint,
    outbound: &mut Outbound,
    client: &mut Client,
    timeouts: &Timeouts,
    gateway: &Gateway,
    begun: Mono,
) -> Result<Answer, Failure> {
    if let Some(mut connection) = endpoint.pool.take(begun) {
        match within(timeouts.attempt, connection.send(outbound, client)).await? {
            Ok(head) => return Ok(Answer { head, connection }),
            Err(Unanswered::Closed(_)) if outbound.is_repeatable() => {}
            Err(Unanswered::Closed(failure) | Unanswered::Failed(failure)) => return Err(failure),
        }
    }
    let mut connection = client.unless_gone(connect::dial(endpoint, gateway, timeouts.connect)).await??;
    match within(timeouts.attempt, connection.send(outbound, client)).await? {
        Ok(head) => Ok(Answer { head, connection }),
        Err(Unanswered::Closed(failure) | Unanswered::Failed(failure)) => Err(failure),
    }
}

async fn within<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Result<T, Failure> {
    let Some(limit) = limit else { return Ok(future.await) };
    timeout(limit, future).await.map_err(|_| {
        let limit = identity::duration::format(limit);
        Failure::new(Fault::AttemptTimeout, format!("no response within {limit}"))
    })
}

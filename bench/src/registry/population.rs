//! A server that holds many instances.

use serde::Deserialize;

use super::fleet;
use crate::Failure;
use crate::http::Connection;
use crate::server::Server;

/// Instances in a request.
const BATCH: usize = 1_000;

/// What a bulk registration answers, as far as it matters here.
#[derive(Deserialize)]
struct Answer {
    results: Vec<Registered>,
}

#[derive(Deserialize)]
struct Registered {
    /// Missing where the instance was refused.
    lease_id: Option<String>,
}

/// Registers the first `count` instances and answers with their leases, in order.
pub(super) fn register(
    runtime: &tokio::runtime::Runtime,
    server: &Server,
    count: usize,
) -> Result<Vec<String>, Failure> {
    runtime.block_on(async {
        let mut connection = Connection::open(server.address()).await?;
        let mut leases = Vec::with_capacity(count);
        while leases.len() < count {
            let batch = leases.len()..count.min(leases.len() + BATCH);
            let answer = connection.ask(&fleet::bulk(batch.clone())).await?;
            let answer: Answer = serde_json::from_slice(answer)?;
            leases.extend(answer.results.into_iter().filter_map(|registered| registered.lease_id));
            if leases.len() != batch.end {
                return Err(format!("not all of the instances {batch:?} were registered").into());
            }
        }
        Ok(leases)
    })
}

//! Addresses that nobody has vouched for since this process began.
//!
//! A table from the disk says where instances were. Some may be gone, so before its first use an address
//! has to accept a connection; until it does, calls pass it over. What the control plane says again is
//! beyond doubt.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::{sleep, timeout};

use crate::{connect, endpoint::Endpoint, gateway::Gateway, routing::Routing};

/// How long an address may take to accept a connection.
const WITHIN: Duration = Duration::from_secs(1);
/// How often those are asked again that did not.
const AGAIN: Duration = Duration::from_secs(1);
/// How many are asked at once.
const AT_ONCE: usize = 256;

/// Doubts every endpoint of a table, and asks each of them once.
pub(crate) async fn cast(gateway: &Gateway, routing: &Routing) {
    let endpoints: Vec<_> = routing.services().flat_map(|service| service.endpoints.clone()).collect();
    for endpoint in &endpoints {
        endpoint.doubt(true);
    }
    ask(gateway, endpoints).await;
}

/// Asks those that are still doubted again and again, until none is.
pub(crate) async fn resolve(gateway: Arc<Gateway>) {
    loop {
        tokio::select! {
            () = sleep(AGAIN) => {}
            () = gateway.closing.cancelled() => return,
        }
        let doubted: Vec<_> = {
            let routing = gateway.routing.load();
            let all = routing.services().flat_map(|service| &service.endpoints);
            all.filter(|endpoint| endpoint.is_doubted()).cloned().collect()
        };
        if doubted.is_empty() {
            return;
        }
        ask(&gateway, doubted).await;
    }
}

async fn ask(gateway: &Gateway, endpoints: Vec<Arc<Endpoint>>) {
    let asked = stream::iter(endpoints).for_each_concurrent(AT_ONCE, |endpoint| async move {
        if let Ok(Ok(_)) = timeout(WITHIN, connect::open(&endpoint, &gateway.networks)).await {
            endpoint.doubt(false);
        }
    });
    asked.await;
}

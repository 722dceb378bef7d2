//! Accepting clients, and letting them go.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    select,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::gateway::Gateway;

mod client;
mod connection;
mod date;
mod farewell;

pub(crate) use client::{Client, Gone, Pumped};

/// How long to wait after the kernel had no connection to give, most likely for want of descriptors.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// What is counted when a limit of the listener was reached, in the words of the control plane's listener.
pub(crate) mod ended {
    /// As many connections as there may be.
    pub(crate) const CONNECTIONS: &str = "connections";
    /// The kernel had no connection to give.
    pub(crate) const ACCEPT: &str = "accept";
    /// Connections that were still there when the time to stop was over.
    pub(crate) const CUT_OFF: &str = "cut_off";
    /// A head that did not come to its end in time.
    pub(crate) const HEAD_TIMEOUT: &str = "head_timeout";
    /// A head with too many fields, or too long.
    pub(crate) const HEAD_TOO_LARGE: &str = "head_too_large";
    /// A first line that is longer than a head may be.
    pub(crate) const URI_TOO_LONG: &str = "uri_too_long";
    /// What is not HTTP, or ends in the middle of a head.
    pub(crate) const MALFORMED: &str = "malformed";
    /// A client that took nothing of its answer for too long.
    pub(crate) const WRITE_STALL: &str = "write_stall";
}

/// Serves clients until told to stop; then lets calls in flight go on for at most `drain`.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    stopping: CancellationToken,
    drain: Duration,
) {
    let mut connections = JoinSet::new();
    // Also of those that have changed their protocol, and are served by nobody here any more.
    let most = gateway.limits.connections.min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(most));
    let mut place = None;
    loop {
        select! {
            () = stopping.cancelled() => break,
            Some(_) = connections.join_next() => {}
            free = places.clone().acquire_owned(), if place.is_none() => place = free.ok(),
            accepted = listener.accept(), if place.is_some() => match accepted {
                Ok((stream, peer)) => {
                    let counted = gateway.connections.clients.enter();
                    let client = connection::From { stream, peer: peer.ip(), place: (place.take(), counted) };
                    let served = connection::serve(gateway.clone(), client, stopping.clone());
                    connections.spawn(served);
                    if places.available_permits() == 0 {
                        gateway.refusals.count(ended::CONNECTIONS, 1);
                        tracing::warn!(connections = most, "no further clients are accepted until one leaves");
                    }
                }
                Err(error) => {
                    gateway.refusals.count(ended::ACCEPT, 1);
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(AFTER_FAILURE).await;
                }
            },
        }
    }
    drop((listener, place));
    let all = async {
        while connections.join_next().await.is_some() {}
        let _ = places.acquire_many(u32::try_from(most).unwrap_or(u32::MAX)).await;
    };
    if timeout(drain, all).await.is_err() {
        let left = most - places.available_permits();
        gateway.refusals.count(ended::CUT_OFF, left as u64);
        tracing::warn!(connections = left, "calls were still in flight when the time to stop was over");
    }
    connections.shutdown().await;
}

//! The customers: a few calls a second, never more at a time than answers come back.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{call::Call, service::Kind};

/// Between two calls. One customer who waits for each answer: a slow shop gets fewer calls, not a queue.
const PAUSE: Duration = Duration::from_millis(250);

/// A customer at work.
#[derive(Debug)]
pub struct Load {
    stop: CancellationToken,
    task: JoinHandle<()>,
    calls: Arc<AtomicU64>,
}

impl Load {
    /// Begins to call the storefront through the gateway.
    pub fn start(gateway: SocketAddr) -> Self {
        let stop = CancellationToken::new();
        let calls = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(buy(gateway, stop.clone(), calls.clone()));
        Self { stop, task, calls }
    }

    /// Ends with the call that is under way, and says how many calls there were.
    pub async fn finish(self) -> u64 {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the load ended early");
        }
        self.calls.load(Ordering::Relaxed)
    }
}

async fn buy(gateway: SocketAddr, stop: CancellationToken, calls: Arc<AtomicU64>) {
    loop {
        if let Err(error) = Call::get(gateway, Kind::Storefront.as_str(), "/").make().await {
            tracing::warn!(%error, "the gateway cannot be called");
        }
        calls.fetch_add(1, Ordering::Relaxed);
        // Not quite regular, as people are.
        let pause = PAUSE.mul_f64(0.5 + fastrand::f64());
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

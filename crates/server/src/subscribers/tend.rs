//! What has to be done for the subscribers beside the requests: telling the catalog, and letting go.

use std::{sync::Arc, time::Duration};

use identity::ProxyId;

use super::{RETENTION, RETRY};
use crate::{chronicle, clock, state::State};

/// How often those are looked for that were silent for too long.
const LOOK: Duration = Duration::from_secs(60);

/// Tells the catalog of every proxy that comes or goes, until the server stops.
pub(crate) async fn tend(state: Arc<State>) {
    let mut look = tokio::time::interval(LOOK);
    let mut is_behind = false;
    loop {
        tokio::select! {
            () = state.subscribers.unkept.notified() => {}
            _ = look.tick() => let_go(&state).await,
            () = state.stopping.cancelled() => return,
        }
        match state.subscribers.keep(&state.roll).await {
            Ok(()) => is_behind = false,
            Err(problem) => {
                if !std::mem::replace(&mut is_behind, true) {
                    tracing::error!(%problem, "a proxy that came or went was not written down, and will be");
                }
                let _ = tokio::time::timeout(RETRY, state.stopping.cancelled()).await;
                state.subscribers.unkept.notify_one();
            }
        }
    }
}

async fn let_go(state: &Arc<State>) {
    for proxy in state.subscribers.proxies.let_go(clock::mono()) {
        let silence = identity::duration::format(RETENTION);
        gone(state, &proxy, "forgotten", "server", format!("nothing was heard of it for {silence}")).await;
    }
}

/// A proxy said goodbye. When this ends, that is durable, unless the disk refuses for now.
pub(crate) async fn farewell(state: &Arc<State>, proxy: &ProxyId) {
    if state.subscribers.known().iter().any(|known| known.id == *proxy) {
        // Another process of it goes on.
        return;
    }
    gone(state, proxy, "left", proxy.as_str(), "it has stopped, and no call is under way in it".to_owned())
        .await;
    if let Err(problem) = state.subscribers.keep(&state.roll).await {
        tracing::warn!(%problem, %proxy, "that the proxy has left will be written down later");
        state.subscribers.unkept.notify_one();
    }
}

/// Tells of a proxy that does not count any more.
pub(crate) async fn gone(state: &Arc<State>, proxy: &ProxyId, action: &str, actor: &str, reason: String) {
    state.live.forget(proxy);
    chronicle::record(state, chronicle::proxy(action, proxy, actor, reason)).await;
}

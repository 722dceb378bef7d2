//! Following the registry: each update becomes a new table, and is acknowledged once it has settled.
//!
//! When the registry goes away, calls go on by the last table. Coming back is jittered, so that all
//! proxies of a fleet do not knock on a restarted control plane at the same moment.

use std::{sync::Arc, time::Duration};

use resilience::Backoff;
use tokio::{sync::watch, time::sleep};
use wire::native::channel::Hello;

use crate::{Directory, Subscription, Unavailable, gateway::Gateway, install::install, routing::Step};

const AGAIN: Backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(5) };

/// A proxy that follows the registry.
pub(crate) struct Follower<D> {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) directory: D,
    /// How it introduces itself; the revision is filled in.
    pub(crate) hello: Hello,
    /// The revision by which calls are routed.
    pub(crate) revision: watch::Sender<Option<u64>>,
}

impl<D: Directory> Follower<D> {
    /// Follows for ever.
    pub(crate) async fn run(self) {
        let mut failures = 0;
        loop {
            let Err(unavailable) = self.session(&mut failures).await;
            if failures == 0 {
                match self.gateway.routing.load().revision {
                    Some(revision) => {
                        tracing::warn!(%unavailable, revision, "calls go on by the last snapshot");
                    }
                    None => tracing::warn!(%unavailable, "calls are refused until there is a first snapshot"),
                }
            }
            sleep(AGAIN.delay(failures, self.gateway.random.ratio())).await;
            failures = failures.saturating_add(1);
        }
    }

    async fn session(&self, failures: &mut u32) -> Result<std::convert::Infallible, Unavailable> {
        let since = self.gateway.routing.load().revision;
        let hello = Hello { since, ..self.hello.clone() };
        let mut subscription = self.directory.watch(hello).await?;
        // A control plane that was restarted knows the proxy by name and nothing of what it does.
        self.gateway.outbox.want_report();
        loop {
            let update = subscription.next().await?;
            *failures = 0;
            let now = self.gateway.clock.now();
            self.gateway.overrides.take(&update.overrides, now.mono);
            let step = self.gateway.routing.load().after(&update, &self.gateway.builder);
            match step {
                Step::Next(next) => {
                    let revision = next.revision;
                    // Before the first call goes by it.
                    self.gateway.overrides.apply(&self.gateway, &next, now);
                    install(&self.gateway, next).await;
                    self.revision.send_replace(revision);
                }
                Step::Known => self.gateway.overrides.apply(&self.gateway, &self.gateway.routing.load(), now),
                Step::Suspect => {
                    tracing::error!(
                        revision = update.revision,
                        "the control plane sent an empty snapshot with an older revision; it is not followed"
                    );
                    continue;
                }
            }
            subscription.acknowledge(update.revision).await?;
        }
    }
}

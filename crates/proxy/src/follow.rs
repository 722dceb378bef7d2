//! Following the registry: each update becomes a new table, and is acknowledged once it has settled.
//!
//! When the registry goes away, calls go on by the last table. Coming back is jittered, so that all
//! proxies of a fleet do not knock on a restarted control plane at the same moment.

use std::{sync::Arc, time::Duration};

use identity::Now;
use resilience::Backoff;
use tokio::{sync::watch, time::sleep};
use wire::native::channel::Hello;

use crate::{
    Directory, Subscription, Unavailable, doubts,
    gateway::Gateway,
    install::install,
    kept::Kept,
    routing::{Routing, Step},
};

/// How often it is said that the control plane is still away.
const REMIND: Duration = Duration::from_secs(60);
const AGAIN: Backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(5) };

/// A proxy that follows the registry.
pub(crate) struct Follower<D> {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) directory: D,
    /// How it introduces itself; the revision is filled in.
    pub(crate) hello: Hello,
    /// The revision by which calls are routed.
    pub(crate) revision: watch::Sender<Option<u64>>,
    /// Where what was heard is kept for a restart.
    pub(crate) kept: Option<Arc<Kept>>,
}

impl<D: Directory> Follower<D> {
    /// Follows for ever; until there is somebody to follow, by the table of an earlier run.
    pub(crate) async fn run(self) {
        if let Some(kept) = &self.kept {
            self.restore(kept).await;
        }
        let mut failures = 0;
        let mut told = None;
        loop {
            let Err(unavailable) = self.session(&mut failures).await;
            let now = self.gateway.clock.now();
            self.gateway.freshness.lose(now.wall);
            // Whoever watched calls go by has nobody left to be told by.
            self.gateway.taps.set(&[]);
            let is_due = told.is_none_or(|at| now.mono.since(at) >= REMIND);
            if failures == 0 || is_due {
                told = Some(now.mono);
                self.tell(&unavailable, now);
            }
            sleep(AGAIN.delay(failures, self.gateway.random.ratio())).await;
            failures = failures.saturating_add(1);
        }
    }

    /// Says by what calls are routed while the control plane is away.
    fn tell(&self, unavailable: &Unavailable, now: Now) {
        let age = self.gateway.freshness.age(now.wall).unwrap_or_default();
        match self.gateway.routing.load().revision {
            Some(revision) => {
                let age = identity::duration::format(Duration::from_secs(age.as_secs()));
                tracing::warn!(%unavailable, revision, age, "calls go on by the last snapshot");
            }
            None => tracing::warn!(%unavailable, "calls are refused until there is a first snapshot"),
        }
    }

    /// Routes by the table of an earlier run, as far as its addresses answer.
    async fn restore(&self, kept: &Kept) {
        let Some((update, written)) = kept.read().await else { return };
        let gateway = &self.gateway;
        let Step::Next(table) = Routing::default().after(&update, &gateway.builder) else { return };
        doubts::cast(gateway, &table).await;
        let now = gateway.clock.now();
        gateway.freshness.lose(written);
        gateway.overrides.take(&update.overrides, now.mono);
        gateway.overrides.apply(gateway, &table, now);
        kept.take(&update);
        let age = Duration::from_secs(gateway.freshness.age(now.wall).unwrap_or_default().as_secs());
        let age = identity::duration::format(age);
        tracing::warn!(revision = update.revision, age, "calls go by the snapshot of an earlier run");
        install(gateway, table).await;
        self.revision.send_replace(Some(update.revision));
        tokio::spawn(doubts::resolve(gateway.clone()));
    }

    async fn session(&self, failures: &mut u32) -> Result<std::convert::Infallible, Unavailable> {
        let since = self.gateway.routing.load().revision;
        let hello = Hello { since, ..self.hello.clone() };
        let mut subscription = self.directory.watch(hello).await?;
        self.gateway.freshness.hear();
        // A control plane that was restarted knows the proxy by name and nothing of what it does.
        self.gateway.outbox.want_report();
        loop {
            let update = subscription.next().await?;
            *failures = 0;
            let now = self.gateway.clock.now();
            self.gateway.overrides.take(&update.overrides, now.mono);
            if let Some(taps) = &update.taps {
                self.gateway.taps.set(taps);
            }
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
            if let Some(kept) = &self.kept {
                kept.take(&update);
            }
            subscription.acknowledge(update.revision).await?;
        }
    }
}

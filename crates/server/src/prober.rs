//! The prober: asks instances whether they are healthy, and tells the registry where that changes.
//!
//! When to ask whom, and what the answers amount to, is decided in the core ([`registry::Probes`]); here
//! are the sockets and the clock. The prober follows the registry like any other watcher, so that nobody
//! who registers waits for it, and what it finds out goes through the same queue as every registration:
//! durable before anyone sees it.
//!
//! Each probe is a task of its own with a time-out around everything it does. Neither a target that
//! never answers nor a probe that panics holds up any other.

use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use identity::Mono;
use registry::{Command, Found, Job, Networks, Probes, Scope, Since};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{clock, roll::Roll, watchers::Woken};

mod ask;
pub(crate) mod dial;
mod figures;
mod grpc;
pub(crate) mod http;
#[cfg(test)]
mod tests;

pub(crate) use figures::{Figures, Protocol};

/// How often the figures of what waits are brought up to date.
const TICK: Duration = Duration::from_secs(1);

/// Asks the instances of a registry, until the server stops.
pub(crate) async fn run(roll: Roll, networks: Networks, figures: Arc<Figures>, stopping: CancellationToken) {
    Prober::new(roll, figures, over(dial::Dialer::new(dial::System, networks))).run(stopping).await;
}

/// Asks over the sockets that a dialer opens.
fn over(dialer: dial::Dialer) -> impl Fn(Job) -> Pin<Box<dyn Future<Output = Found> + Send>> {
    let dialer = Arc::new(dialer);
    move |job| {
        let dialer = dialer.clone();
        Box::pin(async move { ask::ask(&dialer, &job).await })
    }
}

struct Prober<A> {
    roll: Roll,
    revisions: Woken,
    /// The revision up to which the probes have followed.
    seen: Option<u64>,
    probes: Probes,
    ask: A,
    running: JoinSet<Asked>,
    /// What each task was given: a task that panics brings nothing back.
    jobs: HashMap<Id, Job>,
    figures: Arc<Figures>,
}

/// What a task brings back.
struct Asked {
    found: Found,
    took: Duration,
}

impl<A, F> Prober<A>
where
    A: Fn(Job) -> F,
    F: Future<Output = Found> + Send + 'static,
{
    fn new(roll: Roll, figures: Arc<Figures>, ask: A) -> Self {
        Self {
            revisions: roll.follow(Scope::All),
            roll,
            seen: None,
            probes: Probes::default(),
            ask,
            running: JoinSet::new(),
            jobs: HashMap::new(),
            figures,
        }
    }

    async fn run(mut self, stopping: CancellationToken) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Marked as seen before the registry is read, so that no change falls between the two.
            self.revisions.borrow_and_update();
            self.follow();
            self.launch();
            let deadline = self.probes.next_deadline();
            tokio::select! {
                () = stopping.cancelled() => break,
                changed = self.revisions.changed() => if changed.is_err() { break },
                Some(done) = self.running.join_next_with_id() => self.finish(done),
                () = at(deadline) => {}
                _ = tick.tick() => self.figures.show(self.probes.stats(clock::now())),
            }
        }
        // What is in flight is of no use any more: nobody could be told of it.
        self.running.shutdown().await;
    }

    /// Takes in what the registry has changed.
    fn follow(&mut self) {
        let registry = self.roll.read();
        let now = clock::now();
        match self.seen.map(|seen| registry.since(seen, &Scope::All)) {
            Some(Since::Changes(changes)) => {
                changes.iter().for_each(|change| self.probes.follow(now, change));
            }
            Some(Since::Resync) | None => self.probes.resync(now, &registry),
        }
        self.seen = Some(registry.revision());
    }

    /// Puts the questions that are due.
    fn launch(&mut self) {
        let jobs = self.probes.due(clock::now(), &self.roll.read());
        for job in jobs {
            let answer = (self.ask)(job.clone());
            let task = self.running.spawn(async move {
                let begun = clock::mono();
                let found = answer.await;
                Asked { found, took: clock::mono().since(begun) }
            });
            self.jobs.insert(task.id(), job);
        }
    }

    /// Takes in an answer and those that came with it.
    fn finish(&mut self, first: Result<(Id, Asked), JoinError>) {
        let mut commands = Vec::new();
        let mut next = Some(first);
        while let Some(done) = next {
            commands.extend(self.judge(done));
            next = self.running.try_join_next_with_id();
        }
        // Whatever is not taken now is said again after the next answer.
        if !commands.is_empty()
            && let Err(problem) = self.roll.tell(commands)
        {
            tracing::warn!(%problem, "what checks found out is not recorded yet");
        }
    }

    fn judge(&mut self, done: Result<(Id, Asked), JoinError>) -> Option<Command> {
        let (id, asked) = match done {
            Ok((id, asked)) => (id, asked),
            Err(error) => {
                tracing::error!(%error, "a probe ended early; its check is asked again");
                (error.id(), Asked { found: Found::Unasked, took: Duration::ZERO })
            }
        };
        let job = self.jobs.remove(&id)?;
        self.figures.count(Protocol::of(&job.check.probe), &asked.found, asked.took);
        self.probes.finished(clock::now(), &self.roll.read(), &job, asked.found)
    }
}

async fn at(deadline: Option<Mono>) {
    match deadline {
        Some(deadline) => sleep_until(clock::timer(deadline)).await,
        None => std::future::pending().await,
    }
}

//! The registry's shell: one writer, many readers.
//!
//! Commands queue up; the writer takes all that wait, decides them on a draft, has the catalog make the
//! batch durable with one fsync, and only then commits it, answers, and wakes the watchers. Readers
//! therefore never see what a crash could take back, and never wait for the disk. Heartbeats that
//! change nothing bypass the queue.

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use identity::Now;
use registry::{Command, LeaseId, Outcome, Registry, Target};
use storage_catalog::{Catalog, Token};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use wire::native::problem::{Code, Problem};

use crate::{clock, problems};

/// Commands that wait for the writer. A client beyond that is told to come back.
const QUEUE: usize = 8_192;
/// Commands that share one fsync.
const BATCH: usize = 1_024;
/// Leases that are judged at once, so that a mass expiry cannot starve registrations.
const DUE: usize = 1_024;
/// How often lapsed leases are looked for when the disk refuses to record them.
const RETRY: Duration = Duration::from_secs(1);

/// A handle on the registry.
#[derive(Debug, Clone)]
pub(crate) struct Roll {
    registry: Arc<RwLock<Registry>>,
    catalog: Arc<Catalog>,
    queue: mpsc::Sender<Request>,
    revision: watch::Receiver<u64>,
    closed: CancellationToken,
}

/// What the writer is asked to do.
#[derive(Debug)]
enum Request {
    Command(Command, oneshot::Sender<Result<Outcome, Problem>>),
    PutToken(Token, oneshot::Sender<Result<(), Problem>>),
    RevokeToken(String, oneshot::Sender<Result<(), Problem>>),
}

impl Roll {
    /// Starts the writer.
    pub(crate) fn start(
        registry: Registry,
        catalog: Catalog,
        tokens: Vec<Token>,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, requests) = mpsc::channel(QUEUE);
        let (published, revision) = watch::channel(registry.revision());
        let registry = Arc::new(RwLock::new(registry));
        let closed = CancellationToken::new();
        let catalog = Arc::new(catalog);
        let writer = Writer { registry: registry.clone(), catalog: catalog.clone(), tokens, published };
        let task = tokio::spawn(writer.run(requests, closed.clone()));
        (Self { registry, catalog, queue, revision, closed }, task)
    }

    /// The registry as it is durably.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the catalog's journal counts.
    pub(crate) fn journal(&self) -> storage_journal::Stats {
        self.catalog.stats()
    }

    /// Wakes whoever waits for the next revision.
    pub(crate) fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.clone()
    }

    /// Whether the writer has ended, which it only does when the server stops.
    pub(crate) fn is_gone(&self) -> bool {
        self.queue.is_closed()
    }

    /// Takes no more requests; the writer ends when it has answered those that wait.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Decides a command, makes it durable, and answers.
    pub(crate) async fn apply(&self, command: Command) -> Result<Outcome, Problem> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Command(command, answer), answered).await
    }

    /// What a command would do.
    pub(crate) fn try_out(&self, command: Command) -> Result<Outcome, Problem> {
        self.read().draft().apply(clock::now(), command).map_err(problems::registry)
    }

    /// The heartbeat of a lease that holds moves its deadline and nothing else; one that comes after a
    /// lapse is a command like any other.
    pub(crate) async fn heartbeat(
        &self,
        target: Target,
        held: Option<LeaseId>,
        actor: &str,
    ) -> Result<(), Problem> {
        let holds =
            write(&self.registry).heartbeat(clock::now(), &target, held).map_err(problems::registry)?;
        if !holds {
            self.apply(Command::Heartbeat { target, held, actor: actor.into() }).await?;
        }
        Ok(())
    }

    /// Makes a token durable.
    pub(crate) async fn put_token(&self, token: Token) -> Result<(), Problem> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::PutToken(token, answer), answered).await
    }

    /// Makes the end of a token durable.
    pub(crate) async fn revoke_token(&self, id: String) -> Result<(), Problem> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::RevokeToken(id, answer), answered).await
    }

    async fn ask<T>(
        &self,
        request: Request,
        answered: oneshot::Receiver<Result<T, Problem>>,
    ) -> Result<T, Problem> {
        self.queue.try_send(request).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                Problem::new(Code::StorageBusy, format!("{QUEUE} registrations wait for the disk"))
                    .retry_after(Duration::from_secs(1))
            }
            mpsc::error::TrySendError::Closed(_) => problems::stopping(),
        })?;
        answered.await.unwrap_or_else(|_| Err(problems::stopping()))
    }
}

fn write(registry: &RwLock<Registry>) -> RwLockWriteGuard<'_, Registry> {
    // A panic while the lock was held cannot leave a change half done that the catalog does not have:
    // what is durable is replayed at the next start. Refusing every call from now on would be worse.
    registry.write().unwrap_or_else(PoisonError::into_inner)
}

/// The only one who changes the registry.
struct Writer {
    registry: Arc<RwLock<Registry>>,
    catalog: Arc<Catalog>,
    /// What a snapshot of the catalog holds besides the registry.
    tokens: Vec<Token>,
    published: watch::Sender<u64>,
}

impl Writer {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>, closed: CancellationToken) {
        let mut waiting = Vec::with_capacity(BATCH);
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                count = requests.recv_many(&mut waiting, BATCH) => {
                    if count == 0 {
                        break;
                    }
                }
                () = self.deadline(pause) => {}
                () = closed.cancelled(), if !requests.is_closed() => requests.close(),
            }
            pause = match self.serve(&mut waiting).await {
                Ok(()) => Duration::ZERO,
                Err(()) => RETRY,
            };
            self.snapshot_if_due().await;
        }
    }

    /// Waits until a lease may have lapsed, but at least for `pause`.
    async fn deadline(&self, pause: Duration) {
        let deadline = self.registry.read().unwrap_or_else(PoisonError::into_inner).next_deadline();
        match deadline {
            Some(deadline) => tokio::time::sleep(deadline.since(clock::now().mono).max(pause)).await,
            None => std::future::pending().await,
        }
    }

    /// Serves all that waits and all that is due. `Err` says that the disk refused.
    async fn serve(&mut self, waiting: &mut Vec<Request>) -> Result<(), ()> {
        let mut result = Ok(());
        let mut commands = Vec::with_capacity(waiting.len());
        for request in waiting.drain(..) {
            match request {
                Request::Command(command, answer) => commands.push((command, answer)),
                Request::PutToken(token, answer) => {
                    let stored = self.catalog.put_token(&token).await;
                    if stored.is_ok() {
                        self.tokens.push(token);
                    }
                    let _ = answer.send(stored.map_err(problems::append));
                }
                Request::RevokeToken(id, answer) => {
                    let stored = self.catalog.revoke_token(&id).await;
                    if stored.is_ok() {
                        self.tokens.retain(|token| token.id != id);
                    }
                    let _ = answer.send(stored.map_err(problems::append));
                }
            }
        }
        if self.decide(commands).await.is_err() {
            result = Err(());
        }
        result
    }

    async fn decide(
        &mut self,
        commands: Vec<(Command, oneshot::Sender<Result<Outcome, Problem>>)>,
    ) -> Result<(), ()> {
        let now = clock::now();
        let (answers, batch) = self.draft(now, commands);
        if let Err(error) = self.catalog.commit(&batch.changes).await {
            let problem = problems::append(error);
            tracing::error!(changes = batch.changes.len(), error = %problem, "the catalog refused a batch");
            for (answer, outcome) in answers {
                // A refusal needs no disk, and neither does what changes nothing.
                let refused = outcome.is_ok_and(|outcome| outcome.change.is_some());
                let _ = if refused { answer.send(Err(problem.clone())) } else { Ok(()) };
            }
            return Err(());
        }
        let revision = {
            let mut registry = write(&self.registry);
            registry.commit(now, batch);
            registry.revision()
        };
        for (answer, outcome) in answers {
            // Whoever does not wait any more gets no answer; what he asked for is done all the same.
            let _ = answer.send(outcome);
        }
        self.published.send_if_modified(|published| std::mem::replace(published, revision) != revision);
        Ok(())
    }

    /// Decides the commands and all that is due.
    #[allow(clippy::type_complexity, reason = "a pair of lists, used once")]
    fn draft(
        &self,
        now: Now,
        commands: Vec<(Command, oneshot::Sender<Result<Outcome, Problem>>)>,
    ) -> (Vec<(oneshot::Sender<Result<Outcome, Problem>>, Result<Outcome, Problem>)>, registry::Batch) {
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        let mut draft = registry.draft();
        let mut answers = Vec::with_capacity(commands.len());
        for (command, answer) in commands {
            let outcome = draft.apply(now, command).map_err(problems::registry);
            answers.push((answer, outcome));
        }
        for command in registry.due(now, DUE) {
            // A lease that is due cannot be refused; what it decides is in the batch.
            let _ = draft.apply(now, command);
        }
        (answers, draft.finish())
    }

    /// Shortens what a restart has to replay. Registrations wait meanwhile; reads and heartbeats do not.
    async fn snapshot_if_due(&self) {
        if !self.catalog.wants_snapshot() {
            return;
        }
        let snapshot = self.registry.read().unwrap_or_else(PoisonError::into_inner).snapshot();
        let (catalog, tokens) = (self.catalog.clone(), self.tokens.clone());
        let written = tokio::task::spawn_blocking(move || catalog.snapshot(&snapshot, &tokens)).await;
        let error = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(error, "no snapshot of the catalog; the journal goes on growing until one succeeds");
    }
}

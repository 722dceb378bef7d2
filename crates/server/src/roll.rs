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
use registry::{
    Actor, Ask, Command, LeaseId, Notice, Outcome, PolicyChange, PolicyCommand, Registry, Scope, Target,
};
use storage_catalog::{Catalog, KnownProxy, ProxyChange, Token};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use wire::native::problem::{Code, Problem};

use crate::{
    clock, problems,
    watchers::{Watchers, Woken},
};

#[cfg(test)]
mod tests;

/// Commands that wait for the writer. A client beyond that is told to come back.
const QUEUE: usize = 8_192;
/// Commands that share one fsync, but for the last request's, which are not torn apart.
const BATCH: usize = 1_024;
/// How often the registry is shown the clocks, so that it notices when they or we were stopped.
const TICK: Duration = Duration::from_secs(1);
/// Notices that wait to be told of; there are two for each zone at most, and one for each stall.
const NOTICES: usize = 256;
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
    watchers: Arc<Watchers>,
    closed: CancellationToken,
}

/// What became of a command.
pub(crate) type Decided = Result<Outcome, Problem>;

/// What the writer is asked to do.
#[derive(Debug)]
enum Request {
    Command(Command, oneshot::Sender<Decided>),
    Commands(Vec<Command>, oneshot::Sender<Vec<Decided>>),
    Policy(Box<PolicyCommand>, oneshot::Sender<Result<Option<PolicyChange>, Problem>>),
    PutToken(Token, oneshot::Sender<Result<(), Problem>>),
    RevokeToken(String, oneshot::Sender<Result<(), Problem>>),
    KeepProxies(Vec<ProxyChange>, oneshot::Sender<Result<(), Problem>>),
}

impl Roll {
    /// Starts the writer.
    pub(crate) fn start(
        registry: Registry,
        catalog: Catalog,
        tokens: Vec<Token>,
        proxies: Vec<KnownProxy>,
    ) -> (Self, mpsc::Receiver<Notice>, tokio::task::JoinHandle<()>) {
        let (queue, requests) = mpsc::channel(QUEUE);
        let (notices, noticed) = mpsc::channel(NOTICES);
        let watchers = Arc::new(Watchers::new());
        let registry = Arc::new(RwLock::new(registry));
        let closed = CancellationToken::new();
        let catalog = Arc::new(catalog);
        let writer = Writer {
            registry: registry.clone(),
            catalog: catalog.clone(),
            tokens,
            proxies,
            watchers: watchers.clone(),
            notices,
        };
        let task = tokio::spawn(writer.run(requests, closed.clone()));
        (Self { registry, catalog, queue, watchers, closed }, noticed, task)
    }

    /// The registry as it is durably.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of the catalog on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.catalog.bytes()
    }

    /// What the catalog's journal counts.
    pub(crate) fn journal(&self) -> storage_journal::Stats {
        self.catalog.stats()
    }

    /// Wakes whoever waits for the next change of a scope.
    pub(crate) fn follow(&self, scope: Scope) -> Woken {
        self.watchers.follow(scope)
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

    /// Decides commands in their order and makes them durable with one fsync. Each succeeds or is
    /// refused by itself; where the disk refuses, none has happened.
    pub(crate) async fn apply_all(&self, commands: Vec<Command>) -> Result<Vec<Decided>, Problem> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Request::Commands(commands, answer))?;
        answered.await.map_err(|_| problems::stopping())
    }

    /// Has commands decided and made durable, and waits for nothing: what became of them is seen in the
    /// registry.
    pub(crate) fn tell(&self, commands: Vec<Command>) -> Result<(), Problem> {
        let (answer, _) = oneshot::channel();
        self.enqueue(Request::Commands(commands, answer))
    }

    /// What a command would do.
    pub(crate) fn try_out(&self, command: Command) -> Result<Outcome, Problem> {
        self.read().draft().apply(clock::now(), command).map_err(problems::registry)
    }

    /// What commands would do in their order.
    pub(crate) fn try_out_all(&self, commands: Vec<Command>) -> Vec<Decided> {
        let (registry, now) = (self.read(), clock::now());
        let mut draft = registry.draft();
        commands.into_iter().map(|command| draft.apply(now, command).map_err(problems::registry)).collect()
    }

    /// The heartbeat of a lease that holds moves its deadline and nothing else; one that comes after a
    /// lapse is a command like any other.
    pub(crate) async fn heartbeat(
        &self,
        target: Target,
        held: Option<LeaseId>,
        actor: Actor,
    ) -> Result<(), Problem> {
        let holds = self.read().heartbeat(clock::now(), &target, held).map_err(problems::registry)?;
        if !holds {
            self.apply(Command { target, actor, ask: Ask::Heartbeat { held } }).await?;
        }
        Ok(())
    }

    /// Decides a command to a policy and makes it durable; `None` where it changes nothing.
    pub(crate) async fn apply_policy(&self, command: PolicyCommand) -> Result<Option<PolicyChange>, Problem> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Policy(Box::new(command), answer), answered).await
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

    /// Makes it durable which proxies came and went.
    pub(crate) async fn keep_proxies(&self, changes: Vec<ProxyChange>) -> Result<(), Problem> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::KeepProxies(changes, answer), answered).await
    }

    async fn ask<T>(
        &self,
        request: Request,
        answered: oneshot::Receiver<Result<T, Problem>>,
    ) -> Result<T, Problem> {
        self.enqueue(request)?;
        answered.await.unwrap_or_else(|_| Err(problems::stopping()))
    }

    fn enqueue(&self, request: Request) -> Result<(), Problem> {
        self.queue.try_send(request).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                Problem::new(Code::StorageBusy, format!("{QUEUE} registrations wait for the disk"))
                    .retry_after(Duration::from_secs(1))
            }
            mpsc::error::TrySendError::Closed(_) => problems::stopping(),
        })
    }
}

/// Lets in those who are about to ask: a sync for all of them costs no more than one for the first. It
/// waits for no time, only until all tasks that can run have run, and again while that brings more.
async fn gather(requests: &mut mpsc::Receiver<Request>, waiting: &mut Vec<Request>) {
    let mut before = 0;
    while before < waiting.len() && waiting.len() < BATCH {
        before = waiting.len();
        tokio::task::yield_now().await;
        while waiting.len() < BATCH
            && let Ok(request) = requests.try_recv()
        {
            waiting.push(request);
        }
    }
}

fn write(registry: &RwLock<Registry>) -> RwLockWriteGuard<'_, Registry> {
    // A panic while the lock was held cannot leave a change half done that the catalog does not have:
    // what is durable is replayed at the next start. Refusing every call from now on would be worse.
    registry.write().unwrap_or_else(PoisonError::into_inner)
}

/// Commands, and whoever waits for what becomes of them.
enum Waiting {
    One(Command, oneshot::Sender<Decided>),
    Many(Vec<Command>, oneshot::Sender<Vec<Decided>>),
}

/// What became of commands, until the disk has agreed.
enum Answer {
    One(Decided, oneshot::Sender<Decided>),
    Many(Vec<Decided>, oneshot::Sender<Vec<Decided>>),
}

impl Answer {
    /// Whoever does not wait any more gets no answer; what he asked for is done all the same.
    fn send(self) {
        match self {
            Answer::One(decided, waiting) => drop(waiting.send(decided)),
            Answer::Many(decided, waiting) => drop(waiting.send(decided)),
        }
    }

    /// What changes something has not happened. A refusal needs no disk, and neither does what
    /// changes nothing.
    fn refuse(&mut self, problem: &Problem) {
        let decided = match self {
            Answer::One(decided, _) => std::slice::from_mut(decided),
            Answer::Many(decided, _) => decided,
        };
        for decided in decided {
            if decided.as_ref().is_ok_and(|outcome| outcome.change.is_some()) {
                *decided = Err(problem.clone());
            }
        }
    }
}

/// The only one who changes the registry.
struct Writer {
    registry: Arc<RwLock<Registry>>,
    catalog: Arc<Catalog>,
    /// What a snapshot of the catalog holds besides the registry.
    tokens: Vec<Token>,
    proxies: Vec<KnownProxy>,
    watchers: Arc<Watchers>,
    notices: mpsc::Sender<Notice>,
}

impl Writer {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>, closed: CancellationToken) {
        let mut waiting = Vec::with_capacity(BATCH);
        let mut pause = Duration::ZERO;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                count = requests.recv_many(&mut waiting, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    gather(&mut requests, &mut waiting).await;
                }
                () = self.deadline(pause) => {}
                _ = tick.tick() => self.tick(),
                () = closed.cancelled(), if !requests.is_closed() => requests.close(),
            }
            // Together they may be more than should share an fsync.
            loop {
                pause = match self.serve(&mut waiting).await {
                    Ok(()) => Duration::ZERO,
                    Err(()) => RETRY,
                };
                if waiting.is_empty() {
                    break;
                }
            }
            self.snapshot_if_due().await;
        }
        self.watchers.close();
    }

    /// Waits until a lease may have lapsed, but at least for `pause`.
    async fn deadline(&self, pause: Duration) {
        let deadline = self.registry.read().unwrap_or_else(PoisonError::into_inner).next_deadline();
        match deadline {
            Some(deadline) => tokio::time::sleep(deadline.since(clock::now().mono).max(pause)).await,
            None => std::future::pending().await,
        }
    }

    fn tick(&self) {
        let notice = write(&self.registry).tick(clock::now());
        self.notice(notice);
    }

    fn notice(&self, notices: impl IntoIterator<Item = Notice>) {
        for notice in notices {
            if let Err(error) = self.notices.try_send(notice) {
                tracing::warn!(%error, "something that the registry noticed has no event");
            }
        }
    }

    /// Serves what waits, up to a batch, and all that is due. `Err` says that the disk refused.
    async fn serve(&mut self, waiting: &mut Vec<Request>) -> Result<(), ()> {
        let mut taken = Vec::with_capacity(waiting.len());
        let mut commands = 0;
        let count = waiting.iter().take_while(|request| {
            let fits = commands < BATCH;
            commands += match request {
                Request::Commands(commands, _) => commands.len(),
                _ => 1,
            };
            fits
        });
        let count = count.count();
        for request in waiting.drain(..count) {
            match request {
                Request::Command(command, answer) => taken.push(Waiting::One(command, answer)),
                Request::Commands(commands, answer) => taken.push(Waiting::Many(commands, answer)),
                Request::Policy(command, answer) => {
                    let _ = answer.send(self.policy(*command).await);
                }
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
                Request::KeepProxies(changes, answer) => {
                    let stored = self.catalog.keep_proxies(&changes).await;
                    if stored.is_ok() {
                        keep(&mut self.proxies, changes);
                    }
                    let _ = answer.send(stored.map_err(problems::append));
                }
            }
        }
        self.decide(taken).await
    }

    /// Policies change one by one, each with an fsync of its own: they are few, and nothing else may be
    /// decided between the decision and the commit, since both count in one revision.
    async fn policy(&mut self, command: PolicyCommand) -> Result<Option<PolicyChange>, Problem> {
        let decided = {
            let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
            registry.decide_policy(clock::now(), command).map_err(problems::policy)?
        };
        let Some(change) = decided else { return Ok(None) };
        self.catalog.commit_policy(&change).await.map_err(problems::append)?;
        write(&self.registry).commit_policy(change.clone());
        self.watchers.wake(&Scope::All);
        Ok(Some(change))
    }

    async fn decide(&mut self, waiting: Vec<Waiting>) -> Result<(), ()> {
        let now = clock::now();
        let (mut answers, batch) = self.draft(now, waiting);
        if let Err(error) = self.catalog.commit(&batch.changes).await {
            let problem = problems::append(error);
            tracing::error!(changes = batch.changes.len(), error = %problem, "the catalog refused a batch");
            for mut answer in answers.drain(..) {
                answer.refuse(&problem);
                answer.send();
            }
            return Err(());
        }
        let changes = batch.changes.clone();
        write(&self.registry).commit(now, batch);
        answers.into_iter().for_each(Answer::send);
        self.watchers
            .publish(changes.iter().filter(|change| change.is_visible()).map(|change| &change.target));
        Ok(())
    }

    /// Decides the commands and all that is due.
    fn draft(&self, now: Now, waiting: Vec<Waiting>) -> (Vec<Answer>, registry::Batch) {
        let due = {
            let nothing = self.registry.read().unwrap_or_else(PoisonError::into_inner).next_deadline();
            if nothing.is_some_and(|deadline| deadline <= now.mono) {
                write(&self.registry).due(now, DUE)
            } else {
                registry::Due::default()
            }
        };
        self.notice(due.notices);
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        let mut draft = registry.draft();
        let mut decide = |command| draft.apply(now, command).map_err(problems::registry);
        let answers = waiting.into_iter().map(|waiting| match waiting {
            Waiting::One(command, answer) => Answer::One(decide(command), answer),
            Waiting::Many(commands, answer) => {
                Answer::Many(commands.into_iter().map(&mut decide).collect(), answer)
            }
        });
        let answers = answers.collect();
        for command in due.commands {
            // What is due cannot be refused; what it decides is in the batch.
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
        let (catalog, tokens, proxies) = (self.catalog.clone(), self.tokens.clone(), self.proxies.clone());
        let write = move || catalog.snapshot(&snapshot, &tokens, &proxies);
        let written = tokio::task::spawn_blocking(write).await;
        let error = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(error, "no snapshot of the catalog; the journal goes on growing until one succeeds");
    }
}

/// Takes over which proxies came and went.
fn keep(proxies: &mut Vec<KnownProxy>, changes: Vec<ProxyChange>) {
    for change in changes {
        let (ProxyChange::Came(KnownProxy { id, .. }) | ProxyChange::Left(id)) = &change;
        proxies.retain(|known| known.id != *id);
        if let ProxyChange::Came(known) = change {
            proxies.push(known);
        }
    }
}

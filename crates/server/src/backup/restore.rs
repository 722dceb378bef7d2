//! What a backup is made of a running registry.
//!
//! Instances that are missing come back, with the lease that they had, so that their owners' heartbeats are
//! good; those that are there stay as they are. With `replace` the backup wins: what differs becomes as it
//! was, and what is not in the backup goes, unless it was registered while the restore went on.
//!
//! It is a number of changes like any others, with an actor and a reason: watchers see them, and the
//! revision only goes forward, past the backup's. Leases begin anew. Since it is done in batches, a disk that
//! fails on the way leaves a part of it done; the same restore again does the rest.
//!
//! Policies come back as a new revision of each, without their history. One that is in the way of another,
//! because both are for the same service, stays where the backup does not win, and goes where it does.
//!
//! Tokens come back if they are missing, and none goes: a restore locks nobody out. A token that was revoked
//! after the backup comes back as well, unless tokens are left out.

use std::{collections::HashSet, sync::Arc};

use registry::{Action, Actor, Ask, Command, LeaseId, Outcome, Target};
use storage_catalog::{KnownProxy, Token};
use wire::native::{
    api::{Restored, RestoredCounts},
    problem::Problem,
};

mod policies;

use super::Backup;
use crate::{chronicle, roll::Decided, state::State};

/// Instances that become durable together.
const BATCH: usize = 1_000;
/// Tokens that an event names.
const NAMED: usize = 20;

/// How a backup is restored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restore {
    /// Whether the backup holds also for what is there.
    pub(crate) replace: bool,
    /// Whether tokens come back as well.
    pub(crate) tokens: bool,
}

/// What a restore would do.
pub(crate) fn plan(state: &State, backup: Backup, how: Restore, actor: &Actor) -> Restored {
    let mut done = begun(&backup, true);
    let gone = surplus(state, &backup, how);
    let commands: Vec<Command> = commands(&backup, how, actor).collect();
    for batch in commands.chunks(BATCH) {
        state
            .roll
            .try_out_all(batch.to_vec())
            .iter()
            .flatten()
            .for_each(|outcome| count(&mut done.instances, outcome));
    }
    done.instances.removed = gone.len() as u64;
    let missing = missing_tokens(state, &backup, how);
    done.tokens.restored = missing.len() as u64;
    done.tokens.unchanged = (backup.tokens.len() - missing.len()) as u64;
    let proxies = missing_proxies(state, &backup);
    done.proxies.restored = proxies.len() as u64;
    done.proxies.unchanged = (backup.proxies.len() - proxies.len()) as u64;
    done.policies = policies::plan(&state.roll.read(), &backup, how);
    done.revision = state.roll.read().revision();
    done
}

/// Restores a backup.
///
/// # Errors
/// What was in the way, and how far it came.
pub(crate) async fn restore(
    state: &Arc<State>,
    backup: Backup,
    how: Restore,
    actor: &Actor,
) -> Result<Restored, Problem> {
    let mut done = begun(&backup, false);
    let gone = surplus(state, &backup, how);
    // Before the instances: whoever is drained waits for them from the first moment on.
    let proxies = missing_proxies(state, &backup);
    done.proxies.restored = proxies.len() as u64;
    done.proxies.unchanged = (backup.proxies.len() - proxies.len()) as u64;
    state.subscribers.remember(proxies);
    state.subscribers.keep(&state.roll).await?;
    let stopped = instances(state, &backup, how, gone, actor, &mut done.instances).await;
    let stopped = match stopped {
        Ok(()) => policies::restore(state, &backup, how, actor, &mut done.policies).await,
        Err(problem) => Err(problem),
    };
    let stopped = match stopped {
        Ok(()) => tokens(state, &backup, how, actor, &mut done.tokens).await,
        Err(problem) => Err(problem),
    };
    done.revision = state.roll.read().revision();
    let RestoredCounts { restored, replaced, removed, .. } = done.instances;
    let reason = format!(
        "a backup of revision {}: {restored} instances came back, {replaced} were replaced, {removed} removed, \
         {} tokens and {} policies came back",
        backup.revision, done.tokens.restored, done.policies.restored
    );
    let mut event = chronicle::server("restored", reason.clone());
    event.actor = actor.name.to_string();
    chronicle::record(state, event).await;
    stopped.map_err(|problem| {
        let detail = format!("{}; up to then, of {reason}", problem.detail());
        Problem::new(problem.code(), detail)
            .next("restore the same file again once this is mended: it goes on from here")
    })?;
    Ok(done)
}

fn begun(backup: &Backup, dry_run: bool) -> Restored {
    Restored {
        of_revision: backup.revision,
        made_at: backup.made_at.to_string(),
        revision: 0,
        dry_run,
        instances: RestoredCounts::default(),
        tokens: RestoredCounts::default(),
        proxies: RestoredCounts::default(),
        policies: RestoredCounts::default(),
    }
}

async fn instances(
    state: &State,
    backup: &Backup,
    how: Restore,
    gone: Vec<(Target, LeaseId)>,
    actor: &Actor,
    counts: &mut RestoredCounts,
) -> Result<(), Problem> {
    let mut commands = commands(backup, how, actor);
    loop {
        let batch: Vec<Command> = commands.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        for decided in decide(state, batch).await? {
            count(counts, &decided?);
        }
    }
    for batch in gone.chunks(BATCH) {
        let command = |(target, lease): &(Target, LeaseId)| {
            let reason = format!("not in the backup of revision {} that is restored", backup.revision).into();
            let ask = Ask::Deregister { held: Some(*lease), reason };
            Command { target: target.clone(), actor: actor.clone(), ask }
        };
        let decided = decide(state, batch.iter().map(command).collect()).await?;
        // Whoever has gone by itself or registered anew meanwhile is no matter of this restore.
        counts.removed += decided.iter().filter(|decided| decided.is_ok()).count() as u64;
    }
    Ok(())
}

/// Has a batch decided; where the disk refuses, that is the answer.
async fn decide(state: &State, batch: Vec<Command>) -> Result<Vec<Decided>, Problem> {
    let decided = state.roll.apply_all(batch).await?;
    let refused_by_disk = |problem: &&Problem| problem.status() >= 500;
    match decided.iter().filter_map(|decided| decided.as_ref().err()).find(refused_by_disk) {
        Some(problem) => Err(problem.clone()),
        None => Ok(decided),
    }
}

fn commands<'a>(backup: &'a Backup, how: Restore, actor: &'a Actor) -> impl Iterator<Item = Command> + 'a {
    let reason: Box<str> =
        format!("{} from a backup of revision {}", Action::Restored.as_str(), backup.revision).into();
    backup.instances.iter().map(move |(target, instance)| Command {
        target: target.clone(),
        actor: actor.clone(),
        ask: Ask::Restore {
            instance: Box::new((**instance).clone()),
            replace: how.replace,
            after: backup.revision,
            reason: reason.clone(),
        },
    })
}

fn count(counts: &mut RestoredCounts, outcome: &Outcome) {
    let sort = match (&outcome.change, outcome.created) {
        (None, _) => &mut counts.unchanged,
        (Some(_), true) => &mut counts.restored,
        (Some(_), false) => &mut counts.replaced,
    };
    *sort += 1;
}

/// What is there now and not in the backup, where that has to go.
fn surplus(state: &State, backup: &Backup, how: Restore) -> Vec<(Target, LeaseId)> {
    if !how.replace {
        return Vec::new();
    }
    let kept: HashSet<&Target> = backup.instances.iter().map(|(target, _)| target).collect();
    let registry = state.roll.read();
    let surplus = registry.instances().filter(|(target, _)| !kept.contains(target));
    surplus.map(|(target, instance)| (target.clone(), instance.lease)).collect()
}

fn missing_tokens<'a>(state: &State, backup: &'a Backup, how: Restore) -> Vec<&'a Token> {
    if !how.tokens {
        return Vec::new();
    }
    let known: HashSet<String> = state.access.tokens().into_iter().map(|token| token.id).collect();
    backup.tokens.iter().filter(|token| !known.contains(&token.id)).collect()
}

fn missing_proxies(state: &State, backup: &Backup) -> Vec<KnownProxy> {
    let known: HashSet<_> = state.subscribers.known().into_iter().map(|known| known.id).collect();
    backup.proxies.iter().filter(|proxy| !known.contains(&proxy.id)).cloned().collect()
}

async fn tokens(
    state: &Arc<State>,
    backup: &Backup,
    how: Restore,
    actor: &Actor,
    counts: &mut RestoredCounts,
) -> Result<(), Problem> {
    let missing = missing_tokens(state, backup, how);
    counts.unchanged = (backup.tokens.len() - missing.len()) as u64;
    let mut named = Vec::new();
    let mut stopped = Ok(());
    for token in missing {
        stopped = bring_back(state, token).await;
        if stopped.is_err() {
            break;
        }
        counts.restored += 1;
        if named.len() < NAMED {
            named.push(format!("{} \"{}\"", token.id, token.name));
        }
    }
    if counts.restored > 0 {
        let others = counts.restored.saturating_sub(named.len() as u64);
        let others = if others > 0 { format!(" and {others} more") } else { String::new() };
        let reason = format!("came back with a backup: {}{others}", named.join(", "));
        chronicle::record(state, chronicle::token("restored", &actor.name, reason)).await;
    }
    stopped
}

async fn bring_back(state: &State, token: &Token) -> Result<(), Problem> {
    state.access.reserve(token)?;
    if let Err(problem) = state.roll.put_token(token.clone()).await {
        state.access.release(&token.id);
        return Err(problem);
    }
    state.access.insert(token.clone());
    Ok(())
}

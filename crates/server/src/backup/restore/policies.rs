//! Policies of a backup. Each is a change of its own; a disk that fails leaves those before it done.

use std::collections::HashMap;

use identity::{Namespace, PolicyName};
use registry::{Actor, PolicyAsk, PolicyChange, PolicyCommand, PolicyDocument, Registry};
use wire::native::{
    api::RestoredCounts,
    problem::{Code, Problem},
};

use super::{Backup, Restore};
use crate::state::State;

/// What a restore would do.
pub(super) fn plan(registry: &Registry, backup: &Backup, how: Restore) -> RestoredCounts {
    let mut counts =
        RestoredCounts { removed: surplus(registry, backup, how).len() as u64, ..Default::default() };
    for change in &backup.policies {
        let there =
            registry.policies().get(&change.namespace, &change.name).and_then(registry::Policy::current);
        let is_new = there.is_none();
        let is_same = there.map(|(_, document)| document) == change.made.document.as_ref();
        *sort(&mut counts, is_new, !is_new && (is_same || !how.replace)) += 1;
    }
    counts
}

pub(super) async fn restore(
    state: &State,
    backup: &Backup,
    how: Restore,
    actor: &Actor,
    counts: &mut RestoredCounts,
) -> Result<(), Problem> {
    // First of all, so that none of them is in the way.
    let (gone, moved) = (surplus(&state.roll.read(), backup, how), moved(&state.roll.read(), backup, how));
    for (is_surplus, (namespace, name)) in
        gone.into_iter().map(|of| (true, of)).chain(moved.iter().cloned().map(|of| (false, of)))
    {
        let reason = format!("not in the backup of revision {} that is restored", backup.revision);
        match state.roll.apply_policy(command(namespace, name, PolicyAsk::Delete, actor, &reason)).await {
            Ok(_) => counts.removed += u64::from(is_surplus),
            // Somebody else was faster.
            Err(problem) if problem.code() == Code::NoSuchPolicy => {}
            Err(problem) => return Err(problem),
        }
    }
    let reason = format!("restored from a backup of revision {}", backup.revision);
    for PolicyChange { namespace, name, made } in &backup.policies {
        let Some(document) = made.document.clone() else { continue };
        let key = (namespace.clone(), name.clone());
        let is_new = !is_there(&state.roll.read(), &key) && !moved.contains(&key);
        let ask = PolicyAsk::Restore { document, replace: how.replace, after: backup.revision };
        let made = state.roll.apply_policy(command(key.0, key.1, ask, actor, &reason)).await;
        let is_unchanged = match made {
            Ok(change) => change.is_none(),
            // Another one is for the same service, and the backup does not win.
            Err(problem) if problem.code() == Code::PolicyTaken && !how.replace => true,
            Err(problem) => return Err(problem),
        };
        *sort(counts, is_new, is_unchanged) += 1;
    }
    Ok(())
}

fn command(
    namespace: Namespace,
    name: PolicyName,
    ask: PolicyAsk,
    actor: &Actor,
    reason: &str,
) -> PolicyCommand {
    PolicyCommand { namespace, name, ask, expected: None, actor: actor.clone(), reason: reason.into() }
}

fn sort(counts: &mut RestoredCounts, is_new: bool, is_unchanged: bool) -> &mut u64 {
    match (is_unchanged, is_new) {
        (true, _) => &mut counts.unchanged,
        (false, true) => &mut counts.restored,
        (false, false) => &mut counts.replaced,
    }
}

fn is_there(registry: &Registry, (namespace, name): &(Namespace, PolicyName)) -> bool {
    registry.policies().get(namespace, name).is_some_and(|policy| policy.current().is_some())
}

/// Each policy that holds, and what the backup says of it.
fn compared<'a>(
    registry: &'a Registry,
    backup: &'a Backup,
    how: Restore,
) -> impl Iterator<Item = ((Namespace, PolicyName), &'a PolicyDocument, Option<&'a PolicyDocument>)> {
    let kept: HashMap<_, _> = backup
        .policies
        .iter()
        .filter(|_| how.replace)
        .filter_map(|of| Some(((&of.namespace, &of.name), of.made.document.as_ref()?)))
        .collect();
    let policies = registry.policies();
    let there = policies.namespaces().filter(move |_| how.replace).flat_map(move |namespace| {
        policies.of(namespace).filter_map(move |(name, policy)| Some((namespace, name, policy.current()?.1)))
    });
    there.map(move |(namespace, name, document)| {
        ((namespace.clone(), name.clone()), document, kept.get(&(namespace, name)).copied())
    })
}

/// What is there now and not in the backup, where that has to go.
fn surplus(registry: &Registry, backup: &Backup, how: Restore) -> Vec<(Namespace, PolicyName)> {
    compared(registry, backup, how).filter(|(_, _, kept)| kept.is_none()).map(|(key, ..)| key).collect()
}

/// What is there now for another service than in the backup: two of them may have changed places, so that
/// neither can come back before the other has gone.
fn moved(registry: &Registry, backup: &Backup, how: Restore) -> Vec<(Namespace, PolicyName)> {
    let is_moved = |there: &PolicyDocument, kept: Option<&PolicyDocument>| {
        kept.is_some_and(|kept| kept.service != there.service)
    };
    let moved = compared(registry, backup, how).filter(|(_, there, kept)| is_moved(there, *kept));
    moved.map(|(key, ..)| key).collect()
}

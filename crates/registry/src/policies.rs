//! Policies: documents with revisions.
//!
//! What a document says is no matter of the registry's, which keeps its text, whom it is for, and who
//! wrote it when and why. Its changes have the same global revision as those of instances, so that a proxy
//! that has acknowledged a revision has taken in both up to it.
//!
//! A rollback writes an old text anew, as a new revision: nothing that happened is undone or hidden. A
//! policy that was deleted keeps its history for a while, and can be rolled back to.
//!
//! # Bounds
//!
//! [`POLICIES_MAX`] policies, [`POLICY_REVISIONS_KEPT`] revisions of each, [`POLICY_BYTES_KEPT`] bytes of
//! its old texts, [`DELETED_POLICIES_KEPT`] policies that were deleted, and [`POLICY_BYTES_MAX`] bytes of
//! all texts together. Old revisions go first and silently, but a policy's revisions are numbered, so that
//! it is seen how many there were; where there is no room even then, a change is refused.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use identity::{Namespace, Now, PolicyName, ServiceName, Wall};

use crate::{Actor, check_reason};

/// Policies at a time, in all namespaces.
pub const POLICIES_MAX: usize = 10_000;
/// Revisions of a policy that are kept, its current one among them.
pub const POLICY_REVISIONS_KEPT: usize = 100;
/// Bytes of a policy's texts that are kept beside its current one.
pub const POLICY_BYTES_KEPT: usize = 256 << 10;
/// Bytes of all texts. It is also about what they take in memory and in a snapshot.
pub const POLICY_BYTES_MAX: usize = 64 << 20;
/// Policies whose history is kept after they were deleted; the one that was deleted first is forgotten.
pub const DELETED_POLICIES_KEPT: usize = 1_000;
/// Revisions of which it is known that they were a policy's.
const REVISIONS_KNOWN: usize = 16_384;

/// The text of a policy, and whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDocument {
    /// The service; `None` for all of the namespace.
    pub service: Option<ServiceName>,
    /// What it says.
    pub text: Arc<str>,
}

/// A request to change one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyCommand {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub name: PolicyName,
    /// What is asked.
    pub ask: PolicyAsk,
    /// What the caller has seen; another revision refuses.
    pub expected: Option<Expected>,
    /// Who asks.
    pub actor: Actor,
    /// Why.
    pub reason: Box<str>,
}

/// What is asked of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyAsk {
    /// Say this.
    Put(PolicyDocument),
    /// Be gone.
    Delete,
    /// Say again what was said at a revision; without one, at the last that said something else.
    RollBack(Option<u64>),
    /// Say what a backup says.
    Restore {
        /// What.
        document: PolicyDocument,
        /// Whether also where such a policy is there.
        replace: bool,
        /// The revision of the backup; what is restored gets a later one.
        after: u64,
    },
}

/// What a caller has seen of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// That it is there.
    Any,
    /// That it is of this revision.
    Revision(u64),
}

/// What happened to a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyAction {
    /// It was not there before.
    Created,
    /// It says something else.
    Updated,
    /// It says something again.
    RolledBack,
    /// It is gone.
    Deleted,
    /// A backup says so.
    Restored,
}

impl PolicyAction {
    /// Every action.
    pub const ALL: [PolicyAction; 5] = [
        PolicyAction::Created,
        PolicyAction::Updated,
        PolicyAction::RolledBack,
        PolicyAction::Deleted,
        PolicyAction::Restored,
    ];

    /// The word in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            PolicyAction::Created => "created",
            PolicyAction::Updated => "updated",
            PolicyAction::RolledBack => "rolled_back",
            PolicyAction::Deleted => "deleted",
            PolicyAction::Restored => "restored",
        }
    }
}

/// One revision of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRevision {
    /// The registry's revision that it made.
    pub revision: u64,
    /// Counts the revisions of this policy from 1.
    pub number: u64,
    /// When it was made.
    pub at: Wall,
    /// What happened.
    pub action: PolicyAction,
    /// Who did it.
    pub actor: Actor,
    /// Why.
    pub reason: Box<str>,
    /// What it says; `None` where it is gone.
    pub document: Option<PolicyDocument>,
}

/// One change of one policy: the unit of durability. Replaying changes in order gives the same policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChange {
    /// Where.
    pub namespace: Namespace,
    /// Which.
    pub name: PolicyName,
    /// Its new revision.
    pub made: Arc<PolicyRevision>,
}

/// Why a change of a policy was refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// There is no such policy.
    #[error("there is no policy \"{0}\"")]
    NotFound(PolicyName),
    /// It has no such revision, or none any more.
    #[error("policy \"{name}\" has no revision {revision} to go back to")]
    NoSuchRevision {
        /// Which policy.
        name: PolicyName,
        /// What was asked for.
        revision: u64,
    },
    /// It never said anything else.
    #[error("policy \"{0}\" has no earlier text to go back to")]
    NothingBefore(PolicyName),
    /// The caller has seen another revision.
    #[error("policy \"{name}\" {}", is_at(.current))]
    Mismatch {
        /// Which policy.
        name: PolicyName,
        /// The revision that it has; `None` where it is not there.
        current: Option<u64>,
    },
    /// Another policy is for the same service.
    #[error("policy \"{by}\" is for {} already", of(.service))]
    Taken {
        /// The other one.
        by: PolicyName,
        /// For which service; `None` for all of the namespace.
        service: Option<ServiceName>,
    },
    /// There are as many as there may be.
    #[error("there is no room for more policies: {limit} {what} is the limit")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// The reason breaks its rule.
    #[error(transparent)]
    Invalid(#[from] identity::Invalid),
}

fn is_at(current: &Option<u64>) -> String {
    match current {
        Some(revision) => format!("is at revision {revision} now"),
        None => "is not there".to_owned(),
    }
}

fn of(service: &Option<ServiceName>) -> String {
    match service {
        Some(service) => format!("service \"{service}\""),
        None => "the namespace".to_owned(),
    }
}

/// A policy with its history.
#[derive(Debug, Default)]
pub struct Policy {
    /// The oldest first; never empty.
    revisions: VecDeque<Arc<PolicyRevision>>,
    /// Bytes of their texts.
    bytes: usize,
}

impl Policy {
    /// What holds; `None` where it was deleted.
    pub fn current(&self) -> Option<(&PolicyRevision, &PolicyDocument)> {
        let latest = self.latest()?;
        latest.document.as_ref().map(|document| (latest, document))
    }

    /// The last revision, be it the deletion.
    pub fn latest(&self) -> Option<&PolicyRevision> {
        self.revisions.back().map(Arc::as_ref)
    }

    /// The revisions that are kept, the latest first.
    pub fn history(&self) -> impl Iterator<Item = &Arc<PolicyRevision>> {
        self.revisions.iter().rev()
    }

    /// How many revisions there were that are not kept any more.
    pub fn forgotten(&self) -> u64 {
        self.revisions.front().map_or(0, |oldest| oldest.number.saturating_sub(1))
    }

    /// Takes a new revision in and drops what is too old. Gives the revision of the last one that went.
    fn push(&mut self, made: Arc<PolicyRevision>) -> Option<u64> {
        self.bytes += bytes(&made);
        let newest = bytes(&made);
        self.revisions.push_back(made);
        let mut dropped = None;
        while self.revisions.len() > POLICY_REVISIONS_KEPT || self.bytes - newest > POLICY_BYTES_KEPT {
            let Some(oldest) = self.revisions.pop_front() else { break };
            self.bytes -= bytes(&oldest);
            dropped = Some(oldest.revision);
        }
        dropped
    }
}

fn bytes(revision: &PolicyRevision) -> usize {
    revision.document.as_ref().map_or(0, |document| document.text.len())
}

/// Every policy.
#[derive(Debug, Default)]
pub struct Policies {
    of: BTreeMap<Namespace, BTreeMap<PolicyName, Policy>>,
    /// Which policy is for whom.
    subjects: HashMap<(Namespace, Option<ServiceName>), PolicyName>,
    /// The latest revision of each policy, of those that were deleted as well.
    latest: BTreeMap<u64, (Namespace, PolicyName)>,
    /// Those that were deleted, by when.
    deleted: BTreeMap<u64, (Namespace, PolicyName)>,
    /// The revisions that were policies', ascending.
    known: VecDeque<u64>,
    bytes: usize,
    /// Something has been forgotten of what this revision or an earlier one changed.
    forgotten: u64,
}

impl Policies {
    /// The policies of a namespace that hold, by name.
    pub fn of(&self, namespace: &Namespace) -> impl Iterator<Item = (&PolicyName, &Policy)> {
        self.with_deleted(namespace).filter(|(_, policy)| policy.current().is_some())
    }

    /// The same with those that were deleted and whose history is kept.
    pub fn with_deleted(&self, namespace: &Namespace) -> impl Iterator<Item = (&PolicyName, &Policy)> {
        self.of.get(namespace).into_iter().flatten()
    }

    /// The namespaces that have or had one.
    pub fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.of.keys()
    }

    /// A policy, be it deleted.
    pub fn get(&self, namespace: &Namespace, name: &PolicyName) -> Option<&Policy> {
        self.of.get(namespace)?.get(name)
    }

    /// The last revision that was a policy's.
    pub fn revision(&self) -> u64 {
        self.known.back().copied().unwrap_or(0)
    }

    /// The last policy's revision that is part of a revision of the registry; 0 where there was none.
    pub fn revision_at(&self, revision: u64) -> u64 {
        let at = self.known.partition_point(|known| *known <= revision);
        at.checked_sub(1).and_then(|at| self.known.get(at)).copied().unwrap_or(0)
    }

    /// The policies that were changed after `revision`, in the order of their latest changes; `None` where
    /// that is not known any more.
    pub fn since(&self, revision: u64) -> Option<impl Iterator<Item = (&Namespace, &PolicyName, &Policy)>> {
        let found = self
            .latest
            .range(revision.saturating_add(1)..)
            .filter_map(|(_, (namespace, name))| Some((namespace, name, self.get(namespace, name)?)));
        (revision >= self.forgotten).then_some(found)
    }

    /// Every change after `revision` that is kept, in order.
    pub fn made_after(&self, revision: u64) -> Vec<PolicyChange> {
        let touched = self.latest.range(revision.saturating_add(1)..);
        let changes = touched.flat_map(|(_, (namespace, name))| {
            let policy = self.get(namespace, name).into_iter();
            let made = policy.flat_map(Policy::history).take_while(|made| made.revision > revision);
            made.map(|made| PolicyChange {
                namespace: namespace.clone(),
                name: name.clone(),
                made: made.clone(),
            })
        });
        let mut changes: Vec<_> = changes.collect();
        changes.sort_by_key(|change| change.made.revision);
        changes
    }

    /// Every policy that holds, as the change that made it so.
    pub fn holding(&self) -> Vec<PolicyChange> {
        let policies = self.of.iter().flat_map(|(namespace, of)| of.iter().map(move |of| (namespace, of)));
        let holding = policies.filter_map(|(namespace, (name, policy))| {
            let made = policy.revisions.back().filter(|made| made.document.is_some())?.clone();
            Some(PolicyChange { namespace: namespace.clone(), name: name.clone(), made })
        });
        holding.collect()
    }

    /// Every change that is kept, in order.
    pub(crate) fn changes(&self) -> Vec<PolicyChange> {
        self.made_after(0)
    }

    /// Policies of which something is forgotten may have been changed at this revision.
    pub(crate) fn forget_up_to(&mut self, revision: u64) {
        self.forgotten = self.forgotten.max(revision);
    }

    /// What a command would do at this revision of the registry; `None` where it changes nothing.
    pub(crate) fn decide(
        &self,
        now: Now,
        revision: u64,
        command: PolicyCommand,
    ) -> Result<Option<PolicyChange>, PolicyError> {
        let PolicyCommand { namespace, name, ask, expected, actor, reason } = command;
        check_reason(&reason)?;
        let policy = self.get(&namespace, &name);
        let current = policy.and_then(Policy::current);
        let has = current.map(|(made, _)| made.revision);
        let is_as_expected = match expected {
            None => true,
            Some(Expected::Any) => has.is_some(),
            Some(Expected::Revision(seen)) => has == Some(seen),
        };
        if !is_as_expected {
            return Err(PolicyError::Mismatch { name, current: has });
        }
        let mut least = revision;
        let (action, document) = match ask {
            PolicyAsk::Put(document) => {
                let action = if has.is_some() { PolicyAction::Updated } else { PolicyAction::Created };
                (action, Some(document))
            }
            PolicyAsk::Delete if has.is_none() => return Err(PolicyError::NotFound(name)),
            PolicyAsk::Delete => (PolicyAction::Deleted, None),
            PolicyAsk::RollBack(to) => {
                let policy = policy.ok_or_else(|| PolicyError::NotFound(name.clone()))?;
                (PolicyAction::RolledBack, Some(before(&name, policy, to)?))
            }
            PolicyAsk::Restore { replace: false, .. } if has.is_some() => return Ok(None),
            PolicyAsk::Restore { document, after, .. } => {
                least = least.max(after);
                (PolicyAction::Restored, Some(document))
            }
        };
        if has.is_some() && current.map(|(_, document)| document) == document.as_ref() {
            return Ok(None);
        }
        if let Some(document) = &document {
            self.has_room(&namespace, &name, has.is_none(), document)?;
        }
        let number = policy.and_then(Policy::latest).map_or(0, |latest| latest.number) + 1;
        let made =
            PolicyRevision { revision: least + 1, number, at: now.wall, action, actor, reason, document };
        Ok(Some(PolicyChange { namespace, name, made: Arc::new(made) }))
    }

    /// Whether a text may stand beside the others.
    fn has_room(
        &self,
        namespace: &Namespace,
        name: &PolicyName,
        is_new: bool,
        document: &PolicyDocument,
    ) -> Result<(), PolicyError> {
        let subject = (namespace.clone(), document.service.clone());
        if let Some(by) = self.subjects.get(&subject).filter(|by| *by != name) {
            return Err(PolicyError::Taken { by: by.clone(), service: subject.1 });
        }
        if is_new && self.subjects.len() >= POLICIES_MAX {
            return Err(PolicyError::Full { what: "policies", limit: POLICIES_MAX });
        }
        // What was deleted makes room.
        let deleted = self.deleted.values().filter(|(of, deleted)| (of, deleted) != (namespace, name));
        let deleted = deleted.filter_map(|(of, name)| Some(self.get(of, name)?.bytes)).sum::<usize>();
        if self.bytes - deleted + document.text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::Full { what: "bytes", limit: POLICY_BYTES_MAX });
        }
        Ok(())
    }

    /// Takes over a durable change, also when recovering.
    pub(crate) fn commit(&mut self, change: PolicyChange) {
        let PolicyChange { namespace, name, made } = change;
        let policy = self.of.entry(namespace.clone()).or_default().entry(name.clone()).or_default();
        let before = policy.bytes;
        if let Some(latest) = policy.latest() {
            self.latest.remove(&latest.revision);
            self.deleted.remove(&latest.revision);
            if let Some(document) = &latest.document {
                self.subjects.remove(&(namespace.clone(), document.service.clone()));
            }
        }
        let dropped = policy.push(made.clone());
        self.bytes = self.bytes - before + policy.bytes;
        self.forgotten = self.forgotten.max(dropped.unwrap_or(0));
        let key = (namespace.clone(), name.clone());
        match &made.document {
            Some(document) => {
                self.subjects.insert((namespace, document.service.clone()), name);
            }
            None => {
                self.deleted.insert(made.revision, key.clone());
            }
        }
        self.latest.insert(made.revision, key);
        if self.known.len() >= REVISIONS_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(made.revision);
        while self.deleted.len() > DELETED_POLICIES_KEPT
            || (self.bytes > POLICY_BYTES_MAX && !self.deleted.is_empty())
        {
            self.forget_deleted();
        }
    }

    /// Forgets the policy that was deleted first.
    fn forget_deleted(&mut self) {
        let Some((revision, (namespace, name))) = self.deleted.pop_first() else { return };
        self.latest.remove(&revision);
        self.forgotten = self.forgotten.max(revision);
        let Some(of) = self.of.get_mut(&namespace) else { return };
        self.bytes -= of.remove(&name).map_or(0, |policy| policy.bytes);
        if of.is_empty() {
            self.of.remove(&namespace);
        }
    }
}

/// What a policy said at a revision, or when it last said something else than now.
fn before(name: &PolicyName, policy: &Policy, to: Option<u64>) -> Result<PolicyDocument, PolicyError> {
    let now = policy.current().map(|(_, document)| document);
    let found = match to {
        Some(revision) => policy.history().find(|made| made.revision == revision),
        None => policy.history().find(|made| made.document.is_some() && made.document.as_ref() != now),
    };
    let found = found.and_then(|made| made.document.clone());
    found.ok_or_else(|| match to {
        Some(revision) => PolicyError::NoSuchRevision { name: name.clone(), revision },
        None => PolicyError::NothingBefore(name.clone()),
    })
}

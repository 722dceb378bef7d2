//! Why an instance has its status: what speaks against it, one fact after the other.
//!
//! The first fact decides the status. What the next one is shows what would be left if the first were
//! gone, so the facts are found by taking away what decides, again and again, until nothing is left: what
//! is told cannot differ from what was decided.

use std::borrow::Cow;

use identity::Wall;

use crate::{Condition, Instance, Note, Status, Verdict};

/// Something that is known of an instance and keeps calls away from it, or an operator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Of which kind.
    pub kind: FactKind,
    /// The status where nothing weightier is known.
    pub status: Status,
    /// In words.
    pub says: Cow<'static, str>,
    /// Who wanted it, when and why, where somebody did.
    pub note: Option<Note>,
    /// Since when, where that is known.
    pub since: Option<Wall>,
    /// Until when, where that is known.
    pub until: Option<Wall>,
}

/// The kinds of facts, the weightiest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKind {
    /// An operator's word.
    Override,
    /// The lease has lapsed.
    Lease,
    /// It is being drained.
    Drain,
    /// A check fails, or has not passed yet.
    Check,
    /// It has not warmed up.
    WarmUp,
}

impl FactKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            FactKind::Override => "override",
            FactKind::Lease => "lease",
            FactKind::Drain => "drain",
            FactKind::Check => "check",
            FactKind::WarmUp => "warm_up",
        }
    }
}

impl Instance {
    /// What its status follows from, the weightiest first; nothing where nothing speaks against it.
    pub fn facts(&self) -> Vec<Fact> {
        let mut rest = Condition::clone(&self.condition);
        let mut facts = Vec::new();
        loop {
            let (status, says) = rest.status(&self.registration);
            let fact = |kind| Fact { kind, status, says, note: None, since: None, until: None };
            let unhealthy = |of: fn(&Verdict) -> bool| rest.verdicts.iter().position(of);
            let failing = unhealthy(|verdict| matches!(verdict, Verdict::Failing(_)));
            let unhealthy = failing.or_else(|| unhealthy(|verdict| *verdict == Verdict::Pending));
            facts.push(if let Some(pinned) = rest.pinned.take() {
                let (since, until) = (Some(pinned.note.at), pinned.until);
                Fact { note: Some(pinned.note), since, until, ..fact(FactKind::Override) }
            } else if let Some(since) = rest.lapsed.take() {
                Fact { since: Some(since), ..fact(FactKind::Lease) }
            } else if let Some(drain) = rest.drain.take() {
                Fact { since: Some(drain.note.at), note: Some(drain.note), ..fact(FactKind::Drain) }
            } else if let Some(verdict) = unhealthy.and_then(|at| rest.verdicts.get_mut(at)) {
                *verdict = Verdict::Passing;
                fact(FactKind::Check)
            } else if std::mem::take(&mut rest.is_cold) {
                fact(FactKind::WarmUp)
            } else {
                return facts;
            });
        }
    }
}

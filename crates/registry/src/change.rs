//! What happened: the unit of durability, of watching, and of the history.

use identity::Wall;

use crate::{Instance, LeaseId, Target};

/// One change of one instance, with its cause. Replaying changes in order rebuilds a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The revision that this change made. A new lease for unchanged content makes none and repeats
    /// the registry's current one.
    pub revision: u64,
    /// When it happened.
    pub at: Wall,
    /// Which instance changed.
    pub target: Target,
    /// What became of it.
    pub effect: Effect,
    /// Why, and by whom.
    pub cause: Cause,
}

impl Change {
    /// Whether watchers see it: everything but a new lease for unchanged content.
    pub fn is_visible(&self) -> bool {
        !matches!(self.effect, Effect::Leased(_))
    }
}

/// What became of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It is this now.
    Put(Instance),
    /// It is gone.
    Removed,
    /// The same content was registered by another process, which holds this lease now.
    Leased(LeaseId),
}

/// Why a change happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What happened.
    pub action: Action,
    /// Who did it: a token's name, a proxy, or `registry` where time did.
    pub actor: Box<str>,
    /// In words.
    pub reason: Box<str>,
}

/// The kinds of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An instance that was not there.
    Registered,
    /// Its owner says something else of it.
    Updated,
    /// Another process registered the same content.
    Leased,
    /// Its owner or an operator removed it.
    Deregistered,
    /// Its lease lapsed.
    Lapsed,
    /// A heartbeat came after the lease had lapsed.
    Recovered,
    /// It stayed lapsed for too long.
    Forgotten,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 7] = [
        Action::Registered,
        Action::Updated,
        Action::Leased,
        Action::Deregistered,
        Action::Lapsed,
        Action::Recovered,
        Action::Forgotten,
    ];

    /// The word in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Registered => "registered",
            Action::Updated => "updated",
            Action::Leased => "leased",
            Action::Deregistered => "deregistered",
            Action::Lapsed => "lapsed",
            Action::Recovered => "recovered",
            Action::Forgotten => "forgotten",
        }
    }
}

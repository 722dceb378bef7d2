//! What happened: the unit of durability, of watching, and of the history.

use std::{borrow::Cow, sync::Arc};

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
    Put(Arc<Instance>),
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
    /// Who did it, and where from.
    pub actor: Actor,
    /// In words.
    pub reason: Cow<'static, str>,
}

/// Who did something, and where from. The many changes of one request share the texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// A token's name, a proxy, or `registry` where time did it.
    pub name: Arc<str>,
    /// The address and the dialect that the request came by; empty where it came by none.
    pub from: Arc<str>,
}

impl Actor {
    /// Time, which only the registry itself looks at.
    pub fn registry() -> Self {
        Self { name: "registry".into(), from: Arc::default() }
    }
}

impl From<&str> for Actor {
    fn from(name: &str) -> Self {
        Self { name: name.into(), from: Arc::default() }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// The kinds of change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Action] = &[$(Action::$name,)*];

            /// The word in events.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Action::$name => $word,)*
                }
            }
        }
    };
}

actions! {
    /// An instance that was not there.
    Registered = "registered",
    /// Its owner says something else of it, or another process has taken over.
    Updated = "updated",
    /// Another process registered the same content.
    Leased = "leased",
    /// Its owner or an operator removed it.
    Deregistered = "deregistered",
    /// Its lease lapsed.
    Lapsed = "lapsed",
    /// A heartbeat came after the lease had lapsed.
    Recovered = "recovered",
    /// It stayed lapsed for too long.
    Forgotten = "forgotten",
    /// So many leases of its zone lapsed at once that the network is doubted, not the instance.
    Protected = "protected",
    /// A check has passed that had not.
    CheckPassed = "check_passed",
    /// A check fails that had not.
    CheckFailed = "check_failed",
    /// It has warmed up.
    Warmed = "warmed_up",
    /// No new calls, please.
    Draining = "draining",
    /// Calls may come again.
    Undrained = "undrained",
    /// An operator says what its status is.
    Overridden = "overridden",
    /// The operator's word does not hold any more.
    Released = "released",
    /// An operator says what its share of the calls is.
    Weighed = "weighed",
    /// Its share of the calls is again what its registration says.
    Unweighed = "unweighed",
    /// A backup says that it is there, and how.
    Restored = "restored",
}

impl Action {
    /// Whether its lease begins anew with it: someone has given a sign of life.
    pub(crate) fn renews(self) -> bool {
        matches!(
            self,
            Action::Registered | Action::Updated | Action::Leased | Action::Recovered | Action::Restored
        )
    }
}

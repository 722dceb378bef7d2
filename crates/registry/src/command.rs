//! What can be asked of a registry, and what it answers.

use std::{sync::Arc, time::Duration};

use identity::Invalid;

use crate::{Actor, Change, Check, Instance, LeaseId, Pinned, Registration, Target, Verdict};

/// A request to change one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Which instance.
    pub target: Target,
    /// Who asks.
    pub actor: Actor,
    /// What for.
    pub ask: Ask,
}

/// What is asked of an instance.
///
/// `held` is the lease that the caller holds; none stands for an operator's word, but in a
/// registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Be there, or say something else of an instance that is.
    Register {
        /// What is said of it.
        registration: Box<Registration>,
        /// The lease that this registration shall hold, fresh and random.
        lease: LeaseId,
        /// The lease that the caller holds already: with the current one, the lease is kept; with
        /// another, the registration is refused. Without one, a new process takes over: it ends the
        /// drain of its predecessor, and warms up where that was down.
        held: Option<LeaseId>,
    },
    /// Be gone.
    Deregister {
        /// The caller's lease.
        held: Option<LeaseId>,
        /// Why.
        reason: Box<str>,
    },
    /// Still there.
    Heartbeat {
        /// The caller's lease.
        held: Option<LeaseId>,
    },
    /// What a check has found out.
    Judge {
        /// The lease of the process that was asked; what is found out of a predecessor says nothing.
        lease: LeaseId,
        /// The check. One that the registration does not have any more says nothing.
        check: Check,
        /// What it found out.
        verdict: Verdict,
    },
    /// No new calls, please.
    Drain {
        /// The caller's lease.
        held: Option<LeaseId>,
        /// Whether even the last instance that takes calls may be drained.
        force: bool,
        /// Why.
        reason: Box<str>,
    },
    /// Calls may come again.
    Undrain {
        /// The caller's lease.
        held: Option<LeaseId>,
        /// Why.
        reason: Box<str>,
    },
    /// Be this, whatever else is known.
    Override {
        /// What.
        status: Pinned,
        /// For how long; without it, until it is released.
        lasts: Option<Duration>,
        /// Why.
        reason: Box<str>,
    },
    /// End an override.
    Release {
        /// Why.
        reason: Box<str>,
    },
    /// Take this share of the calls, whatever the registration says.
    Weigh {
        /// The share, as a registration's.
        weight: u32,
        /// Whether even the last instance that takes calls may get none.
        force: bool,
        /// Why.
        reason: Box<str>,
    },
    /// Take the share that the registration says.
    Unweigh {
        /// Why.
        reason: Box<str>,
    },
    /// Be as a backup has it.
    Restore {
        /// All that was known of it.
        instance: Box<Instance>,
        /// Whether that holds also where such an instance is there.
        replace: bool,
        /// The revision of the backup. What is restored gets a later one, so that nobody who knows the
        /// backup's revisions mistakes one of them for another.
        after: u64,
        /// Why.
        reason: Box<str>,
    },
    /// This, as long as nothing else has happened to the instance since its caller looked.
    At {
        /// The revision of the instance's last change that the caller knows of.
        revision: u64,
        /// What is asked.
        then: Box<Ask>,
    },
    /// Judge what is due: a lease, a warm-up, an override. Changes nothing where nothing is.
    Expire,
    /// Take back that a lease has lapsed, since many others of the zone have as well.
    Protect,
}

impl Command {
    /// A first registration, without a lease in hand.
    pub fn register(
        target: Target,
        registration: Registration,
        lease: LeaseId,
        actor: impl Into<Actor>,
    ) -> Self {
        let ask = Ask::Register { registration: Box::new(registration), lease, held: None };
        Command { target, actor: actor.into(), ask }
    }

    /// A heartbeat of the holder of `lease`.
    pub fn heartbeat(target: Target, lease: LeaseId) -> Self {
        let actor = target.instance.as_str().into();
        Command { target, actor, ask: Ask::Heartbeat { held: Some(lease) } }
    }

    pub(crate) fn of_time(target: Target, ask: Ask) -> Self {
        Command { target, actor: Actor::registry(), ask }
    }
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The change that has to become durable, if there was one.
    pub change: Option<Arc<Change>>,
    /// Whether the instance was not there before.
    pub created: bool,
    /// The lease that holds now; none for an instance that is gone.
    pub lease: Option<LeaseId>,
}

/// Why a command was refused. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such instance.
    #[error("there is no instance {0}; register it first")]
    NotFound(Target),
    /// Another process holds the lease.
    #[error("instance {0} is held by another lease; a process that registered after you owns it now")]
    StaleLease(Target),
    /// It is not any more as the caller saw it.
    #[error("instance {target} has changed: it is at revision {revision}, and not at {expected}")]
    Changed {
        /// Which instance.
        target: Target,
        /// Of its last change.
        revision: u64,
        /// What the caller knew.
        expected: u64,
    },
    /// Nobody else would take the calls.
    #[error("instance {0} is the last of its service that takes calls; taking it out needs force")]
    LastInstance(Target),
    /// What is said of it breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There are as many as there may be.
    #[error("{what} is full: {limit} is the limit")]
    Full {
        /// What is full.
        what: String,
        /// How many there may be.
        limit: usize,
    },
}

//! What can be asked of a registry, and what it answers.

use identity::Invalid;

use crate::{Change, LeaseId, Registration, Target};

/// A request to change the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Be there, or say something else of an instance that is.
    Register {
        /// Which instance.
        target: Target,
        /// What is said of it.
        registration: Box<Registration>,
        /// The lease that this registration shall hold, fresh and random.
        lease: LeaseId,
        /// The lease that the caller holds already: with the current one, the lease is kept; with
        /// another, the registration is refused.
        held: Option<LeaseId>,
        /// Who asks.
        actor: Box<str>,
    },
    /// Be gone.
    Deregister {
        /// Which instance.
        target: Target,
        /// The lease that the caller holds; none stands for an operator's word.
        held: Option<LeaseId>,
        /// Who asks.
        actor: Box<str>,
        /// Why.
        reason: Box<str>,
    },
    /// Still there.
    Heartbeat {
        /// Which instance.
        target: Target,
        /// The lease that the caller holds; none stands for an operator's word.
        held: Option<LeaseId>,
        /// Who asks.
        actor: Box<str>,
    },
    /// Judge a lease whose deadline has passed. Changes nothing where a heartbeat came first.
    Expire {
        /// Which instance.
        target: Target,
    },
}

impl Command {
    /// A first registration, without a lease in hand.
    pub fn register(target: Target, registration: Registration, lease: LeaseId, actor: &str) -> Self {
        Command::Register {
            target,
            registration: Box::new(registration),
            lease,
            held: None,
            actor: actor.into(),
        }
    }

    /// A heartbeat of the holder of `lease`.
    pub fn heartbeat(target: Target, lease: LeaseId) -> Self {
        let actor = target.instance.as_str().into();
        Command::Heartbeat { target, held: Some(lease), actor }
    }

    /// Which instance it is about.
    pub fn target(&self) -> &Target {
        match self {
            Command::Register { target, .. }
            | Command::Deregister { target, .. }
            | Command::Heartbeat { target, .. }
            | Command::Expire { target } => target,
        }
    }
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The change that has to become durable, if there was one.
    pub change: Option<Change>,
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
    /// What is said of it breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The registry is full.
    #[error("{what} is full: {limit} is the limit")]
    Full {
        /// What is full.
        what: String,
        /// How many there may be.
        limit: usize,
    },
}

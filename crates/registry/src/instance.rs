//! An instance: what its owner says of it, and what the registry knows besides.

use std::{borrow::Cow, fmt, str::FromStr};

use identity::{InstanceId, Invalid, Namespace, ServiceName, Wall};

use crate::{
    Condition, Known, Registration,
    registration::{TEXT_MAX, check_text, check_weight},
};

/// Which instance is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its service.
    pub service: ServiceName,
    /// Its id within the service.
    pub instance: InstanceId,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.service, self.instance)
    }
}

/// Proof of being the process that registered an instance. A successor gets another one, so that the
/// predecessor's late heartbeat or deregistration cannot touch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseId(pub u64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Digit by digit: one is written with each answer to a registration.
        let digit = |at: u32| match (self.0 >> (60 - 4 * at)) as u8 & 15 {
            low @ 0..=9 => b'0' + low,
            high => b'a' + high - 10,
        };
        let mut digits = [0; 16];
        digits.iter_mut().zip(0..).for_each(|(to, at)| *to = digit(at));
        f.write_str(str::from_utf8(&digits).unwrap_or_default())
    }
}

impl FromStr for LeaseId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid =
            || Invalid::new("lease id", text, "the 16 hexadecimal digits that the registration answered");
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        u64::from_str_radix(text, 16).map(LeaseId).map_err(|_| invalid())
    }
}

/// Whether calls should go to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Registered, and not yet known to be healthy, or warming up: calls come key by key.
    Starting,
    /// Calls go here.
    Up,
    /// Calls in flight may end; new ones go elsewhere.
    Draining,
    /// Taken out by an operator.
    Maintenance,
    /// Its lease has lapsed or its checks fail.
    Down,
}

impl Status {
    /// Every status, in the order of an instance's life.
    pub const ALL: [Status; 5] =
        [Status::Starting, Status::Up, Status::Draining, Status::Maintenance, Status::Down];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Starting => "starting",
            Status::Up => "up",
            Status::Draining => "draining",
            Status::Maintenance => "maintenance",
            Status::Down => "down",
        }
    }

    /// Whether new calls may go to an instance of this status.
    pub fn may_take_calls(self) -> bool {
        matches!(self, Status::Starting | Status::Up)
    }
}

impl FromStr for Status {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Status::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| Invalid::new("status", text, "one of starting, up, draining, maintenance, down"))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A registered instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// What its owner says.
    pub registration: Registration,
    /// What is known of it, from which its status follows.
    pub condition: Known,
    /// Whether calls should go there.
    pub status: Status,
    /// Since when it has that status.
    pub since: Wall,
    /// The lease of the process that registered it last.
    pub lease: LeaseId,
    /// When it was registered first.
    pub registered_at: Wall,
    /// The revision of its last change.
    pub revision: u64,
}

impl Instance {
    /// Checks it as a whole, for one that was made elsewhere.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), Invalid> {
        self.registration.check()?;
        let (checks, verdicts) = (self.registration.checks.len(), self.condition.verdicts.len());
        if checks != verdicts {
            return Err(Invalid::new("checks", &verdicts.to_string(), "one verdict for each check"));
        }
        if let Some(weighed) = &self.condition.weighed {
            check_weight(weighed.weight)?;
        }
        self.condition.texts().try_for_each(|text| check_text("reason", text, TEXT_MAX))
    }

    /// Whether the same is said and known of both, whenever that was.
    pub(crate) fn is_as(&self, other: &Instance) -> bool {
        let drain = |of: &Instance| of.condition.drain.as_ref().map(|drain| drain.note.clone());
        let known = |of: &Instance| Condition { drain: None, ..Condition::clone(&of.condition) };
        self.registration == other.registration
            && self.lease == other.lease
            && drain(self) == drain(other)
            && known(self) == known(other)
    }

    /// Why it has its status. It follows from what is known, and is put into words where somebody asks.
    pub fn reason(&self) -> Cow<'static, str> {
        self.condition.status(&self.registration).1
    }

    /// Its share of the calls: an operator's word, or else what its owner says.
    pub fn weight(&self) -> u32 {
        self.condition.weighed.as_ref().map_or(self.registration.weight, |weighed| weighed.weight)
    }

    /// Whether new calls go there now, but for those that a warm-up lets through.
    pub(crate) fn takes_calls(&self) -> bool {
        self.status == Status::Up && self.weight() > 0
    }

    /// Draws the consequences of a changed condition: its status, and since when.
    pub(crate) fn settle(&mut self, at: Wall) {
        let (status, _) = self.condition.status(&self.registration);
        if status != self.status {
            (self.status, self.since) = (status, at);
        }
    }
}

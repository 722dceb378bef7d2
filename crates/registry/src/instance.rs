//! An instance: what its owner says of it, and what the registry adds.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use identity::{InstanceId, Invalid, Namespace, ServiceName, Wall};

use crate::Host;

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
        write!(f, "{:016x}", self.0)
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
    /// Registered, not yet known to be healthy.
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

/// What an owner says of its instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Where it listens.
    pub address: Host,
    /// The port, not zero.
    pub port: u16,
    /// The failure domain that it runs in.
    pub zone: Option<Box<str>>,
    /// The version that it runs.
    pub version: Option<Box<str>>,
    /// Its share of the calls relative to its siblings; 100 is a full share, 0 none.
    pub weight: u32,
    /// Anything else, for selection and for people.
    pub metadata: BTreeMap<Box<str>, Box<str>>,
    /// How long the lease holds without a heartbeat; without one the instance stays until deleted.
    pub ttl: Option<Duration>,
    /// How long after its lease lapsed an instance is forgotten.
    pub deregister_after: Option<Duration>,
}

/// A full share of calls.
pub const WEIGHT_DEFAULT: u32 = 100;
/// One instance takes at most this many full shares.
pub const WEIGHT_MAX: u32 = 10_000;
/// Metadata entries of an instance; with the bounds on each this is at most 72 KiB an instance.
pub const METADATA_MAX: usize = 64;
/// Bytes of a metadata key.
pub const METADATA_KEY_MAX: usize = 128;
/// Bytes of a metadata value, zone or version.
pub const TEXT_MAX: usize = 1024;
/// A shorter lease would lapse on an ordinary pause of a process.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// A longer one would say nothing.
pub const TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// Without a setting, a lapsed instance is forgotten after this many of its TTLs.
pub const DEREGISTER_AFTER_TTLS: u32 = 10;

impl Registration {
    /// A registration with nothing but an address and a port.
    pub fn new(address: Host, port: u16) -> Self {
        Self {
            address,
            port,
            zone: None,
            version: None,
            weight: WEIGHT_DEFAULT,
            metadata: BTreeMap::new(),
            ttl: None,
            deregister_after: None,
        }
    }

    /// Checks the bounds that hold for every registration, whichever dialect it came in.
    ///
    /// # Errors
    /// The first field that is out of bounds, with its rule.
    pub fn check(&self) -> Result<(), Invalid> {
        let text = |what, value: &Option<Box<str>>| match value {
            Some(value) => check_text(what, value, TEXT_MAX),
            None => Ok(()),
        };
        if self.port == 0 {
            return Err(Invalid::new("port", "0", "a number from 1 to 65535"));
        }
        text("zone", &self.zone)?;
        text("version", &self.version)?;
        if self.weight > WEIGHT_MAX {
            return Err(Invalid::new("weight", &self.weight.to_string(), "a number from 0 to 10000"));
        }
        if self.metadata.len() > METADATA_MAX {
            return Err(Invalid::new("metadata", &self.metadata.len().to_string(), "at most 64 entries"));
        }
        for (key, value) in &self.metadata {
            check_text("metadata key", key, METADATA_KEY_MAX)?;
            check_text("metadata value", value, TEXT_MAX)?;
        }
        let range = |what, value: Option<Duration>, max| match value {
            Some(value) if value < TTL_MIN || value > max => Err(Invalid::new(
                what,
                &identity::duration::format(value),
                "from 1s to 24h (deregister_after: 10d)",
            )),
            _ => Ok(()),
        };
        range("ttl", self.ttl, TTL_MAX)?;
        range("deregister_after", self.deregister_after, TTL_MAX * DEREGISTER_AFTER_TTLS)?;
        if self.deregister_after.is_some() && self.ttl.is_none() {
            return Err(Invalid::new("deregister_after", "", "only together with a ttl"));
        }
        Ok(())
    }

    /// How long after a lapse the instance is forgotten.
    pub fn forget_after(&self) -> Option<Duration> {
        self.deregister_after.or(self.ttl.map(|ttl| ttl * DEREGISTER_AFTER_TTLS))
    }
}

fn check_text(what: &'static str, value: &str, max: usize) -> Result<(), Invalid> {
    if value.len() > max {
        let rule = if max == TEXT_MAX { "at most 1024 bytes" } else { "at most 128 bytes" };
        Err(Invalid::new(what, value, rule))
    } else if value.chars().any(char::is_control) {
        Err(Invalid::new(what, value, "no control characters"))
    } else {
        Ok(())
    }
}

/// A registered instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// What its owner says.
    pub registration: Registration,
    /// Whether calls should go there.
    pub status: Status,
    /// Why it has that status.
    pub reason: Box<str>,
    /// Since when.
    pub since: Wall,
    /// The lease of the process that registered it last.
    pub lease: LeaseId,
    /// When it was registered first.
    pub registered_at: Wall,
    /// The revision of its last change.
    pub revision: u64,
}

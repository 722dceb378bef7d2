//! Who is there: services, their instances, the leases that keep them, and every change with its
//! revision.
//!
//! A [`Registry`] is a state machine. [`Draft::apply`] takes a moment and a [`Command`] and answers
//! with what would happen; the [`Change`]s of a draft are values, which the caller makes durable and
//! then hands to [`Registry::commit`]. Nobody can read what is not durable yet, because it is not in
//! the registry yet. Replaying the same changes gives the same registry: that is recovery.
//!
//! Heartbeats move deadlines and nothing else. They make no change, so they are never written; only
//! the transitions that follow from their absence are.
//!
//! **Absent on purpose:** no I/O, no clock, no randomness (a command brings its new lease id), no
//! encoding.
//!
//! ```
//! use std::time::Duration;
//! use identity::{Mono, Now, Wall};
//! use registry::{Command, Host, LeaseId, Registration, Registry, Status, Target};
//!
//! let mut registry = Registry::default();
//! let now = Now { mono: Mono(0), wall: Wall(1_700_000_000_000_000_000) };
//! let cart = Target { namespace: "default".parse()?, service: "cart".parse()?, instance: "cart-1".parse()? };
//! let mut registration = Registration::new(Host::parse("10.0.0.7")?, 8080);
//! registration.ttl = Some(Duration::from_secs(15).into());
//!
//! registry.apply(now, Command::register(cart.clone(), registration, LeaseId(1), "cart"))?;
//! assert_eq!(registry.instance(&cart).unwrap().status, Status::Up);
//!
//! // Fifteen seconds without a heartbeat: the lease lapses, and the instance is down.
//! let later = now.after(Duration::from_secs(15));
//! assert_eq!(registry.advance(later).len(), 1);
//! assert_eq!(registry.instance(&cart).unwrap().status, Status::Down);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod change;
mod check;
mod circle;
mod command;
mod condition;
mod digits;
mod draft;
mod facts;
mod host;
mod index;
mod instance;
mod log;
mod networks;
mod owner;
mod parts;
mod policies;
mod probes;
mod protection;
mod receipt;
mod registration;
mod roll;
mod timers;

pub use change::{Action, Actor, Cause, Change, Effect};
pub use check::{
    CHECK_INTERVAL, CHECK_INTERVAL_MAX, CHECK_INTERVAL_MIN, CHECK_TIMEOUT, CHECK_TIMEOUT_MAX,
    CHECK_TIMEOUT_MIN, Check, FAILURE_THRESHOLD, Probe, SUCCESS_THRESHOLD, THRESHOLD_MAX, Verdict, WHY_MAX,
};
pub use circle::{MadeRing, Plan};
pub use command::{Ask, Command, Error, Outcome};
pub use condition::{Condition, Drain, Known, Note, OVERRIDE_MAX, OVERRIDE_MIN, Override, Pinned, Weighed};
pub use digits::Digits;
pub use draft::{Batch, Draft};
pub use facts::{Fact, FactKind};
pub use hash_ring::Bound;
pub use host::{Forbidden, Host};
pub use instance::{Instance, LeaseId, Status, Target};
pub use log::{CHANGES_BYTES, CHANGES_KEPT, Scope, Since};
pub use networks::{NETWORKS_MAX, Network, Networks};
pub use owner::{Algorithm, Bounded, Lookup, Owner};
pub use parts::{Part, Parts};
pub use policies::{
    DELETED_POLICIES_KEPT, Expected, POLICIES_MAX, POLICY_BYTES_KEPT, POLICY_BYTES_MAX,
    POLICY_REVISIONS_KEPT, Policies, Policy, PolicyAction, PolicyAsk, PolicyChange, PolicyCommand,
    PolicyDocument, PolicyError, PolicyRevision,
};
pub use probes::{FIRST_WITHIN, Found, Job, NEW_MAX, ProbeStats, Probes, QUICK_MAX, SLOW, SLOW_MAX};
pub use protection::{Due, LAPSED_MIN, LATE_SHARE, Notice, PROTECTED_MAX, STALLED, Zone};
pub use receipt::{Conclusion, Drained, SILENCE, Standing, Subscriber, SubscriberKind, UNCOUNTED, conclude};
pub use registration::{
    CHECKS_MAX, DEREGISTER_AFTER_TTLS, METADATA_KEY_MAX, METADATA_MAX, Metadata, Period, Registration,
    TEXT_MAX, TTL_MAX, TTL_MIN, WARM_UP_MAX, WEIGHT_DEFAULT, WEIGHT_MAX, check_reason,
};
pub use roll::{Heartbeat, Registry, ServiceView, Snapshot};

#[cfg(test)]
mod tests;

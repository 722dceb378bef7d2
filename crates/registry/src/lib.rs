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
//! registration.ttl = Some(Duration::from_secs(15));
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
mod command;
mod draft;
mod host;
mod instance;
mod log;
mod roll;

pub use change::{Action, Cause, Change, Effect};
pub use command::{Command, Error, Outcome};
pub use draft::{Batch, Draft};
pub use host::{Forbidden, Host};
pub use instance::{
    DEREGISTER_AFTER_TTLS, Instance, LeaseId, METADATA_KEY_MAX, METADATA_MAX, Registration, Status, TEXT_MAX,
    TTL_MAX, TTL_MIN, Target, WEIGHT_DEFAULT, WEIGHT_MAX,
};
pub use log::{CHANGES_KEPT, Since};
pub use roll::{Owner, Registry, ServiceView, Snapshot};

#[cfg(test)]
mod tests;

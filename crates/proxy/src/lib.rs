//! The data plane: calls go in by a service's name and come out at one of its instances.
//!
//! **Absent on purpose:** no knowledge of the control plane but the two traits [`Directory`] and
//! [`Sink`], no configuration files, no arguments.

mod directory;
mod sink;

pub use directory::{Directory, Subscription, Unavailable};
pub use sink::{Sink, SinkError};

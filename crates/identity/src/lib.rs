//! What everything in Bellwether is called, and when things happen.
//!
//! Names and ids with their rules, the two clocks in one value, and durations and sizes as people
//! write them. Every other package may use this one; it uses none of them.
//!
//! **Absent on purpose:** no I/O, no clock (a [`Now`] is handed in), no randomness (ids are made
//! from numbers that the caller drew), no wire format beyond the textual form of each value.
//!
//! ```
//! use identity::{ServiceName, TraceId};
//!
//! let service: ServiceName = "payments".parse()?;
//! assert_eq!(service.as_str(), "payments");
//!
//! let refused = "Payments!".parse::<ServiceName>().unwrap_err();
//! assert!(refused.to_string().starts_with("service \"Payments!\" is not valid"));
//!
//! let trace: TraceId = "0af7651916cd43dd8448eb211c80319c".parse()?;
//! assert_eq!(trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
//! # Ok::<(), identity::Invalid>(())
//! ```

pub mod duration;
mod ids;
mod invalid;
mod names;
pub mod size;
mod time;

pub use ids::{SpanId, TraceId};
pub use invalid::Invalid;
pub use names::{InstanceId, Namespace, PolicyName, ProxyId, RouteName, ServiceName};
pub use time::{Mono, Now, Wall};

#[cfg(test)]
mod tests;

//! The data plane: calls go in by a service's name and come out at one of its instances.
//!
//! The story of a call is told by one function, `call`: route → permit → endpoint → attempt → outcome,
//! and each verb is a module. It runs on an immutable table of services ([`Directory`] keeps it fresh)
//! and ends in breaker, histogram and spans, which are handed over in reports ([`Sink`]).
//!
//! HTTP/1 is spoken by `http1`, on both sides.
//!
//! **Absent on purpose:** no knowledge of the control plane but these two traits, no configuration
//! files, no arguments, no TLS and no HTTP/2 yet.

mod access_log;
mod attempt;
mod balance;
mod call;
mod clock;
mod connect;
mod counts;
mod deviation;
mod directory;
mod doubts;
mod endpoint;
mod follow;
mod freshness;
mod gateway;
mod guard;
mod hash_key;
mod http1;
mod idle;
mod install;
mod kept;
mod latency;
mod limits;
mod listener;
mod meter;
mod outbound;
mod outbox;
mod outlier;
mod overrides;
mod owners;
mod pick;
mod policies;
mod policy;
mod pool;
mod random;
mod record;
mod refusal;
mod refusals;
mod reply;
mod report;
mod retry;
mod route;
mod routing;
mod running;
mod settings;
mod sink;
mod spans;
mod taps;
mod turns;
mod upgrade;
mod upstream;
mod warm_up;
mod watched;

pub use directory::{Directory, Subscription, Unavailable};
pub use kept::Keep;
pub use running::Proxy;
pub use settings::{Limits, Settings};
pub use sink::{Sink, SinkError};

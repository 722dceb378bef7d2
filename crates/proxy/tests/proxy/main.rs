//! The proxy over real sockets, between clients and endpoints that behave and that do not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access_log;
mod balancing;
mod bodies;
mod breaker;
mod calls;
mod changed;
mod drains;
mod faults;
mod limits;
mod networks;
mod others;
mod outage;
mod outliers;
mod overrides;
mod policies;
mod published;
mod refused;
mod reports;
mod restarts;
mod retries;
mod strict;
mod taps;
mod world;

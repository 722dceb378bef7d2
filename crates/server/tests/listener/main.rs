//! The control listener over real sockets: what it serves, and that each of its limits holds.
//!
//! Time limits are proved by waiting until they fire and never by waiting for a time.

#![expect(clippy::unwrap_used, reason = "what helps a test is a test")]

mod bodies;
mod harness;
mod heads;
mod http2;
mod panics;
mod stop;
mod tls;

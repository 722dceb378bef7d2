//! When not to call, and what to do instead.
//!
//! **Absent on purpose:** no I/O, no clock, no randomness of its own: time and random numbers are
//! arguments, so that the same breaker runs in a proxy, in a library, and in a simulation.

mod state;

pub use state::{Counts, State};

#[cfg(test)]
mod tests;

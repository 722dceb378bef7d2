//! What comes from outside, wrong on purpose.
//!
//! [`targets`] has a function for each decoder, which says what has to hold of any bytes: no panic, an account
//! that adds up, and what is written again is read again. [`seeds`] has bytes that each understands, and
//! [`mutation`] makes others of them. The suite runs every target on thousands of those; the program of this
//! package runs one for as long as wanted, and `libfuzzer/` runs it under libFuzzer, which sees which way the
//! decoder took.
//!
//! HTTP/1 heads are compared with what other implementations make of them in the tests of `proxy`, which keeps
//! its parser to itself.

pub mod mutation;
pub mod seeds;
pub mod targets;

pub use targets::{TARGETS, Target};

//! Who may send calls to an instance, and what they knew: from outside, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod hindsight;
mod receipts;
mod world;

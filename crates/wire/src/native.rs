//! The native API: its documents, its problems, and the channel between proxy and control plane.

pub mod api;
pub mod channel;
pub mod decode;
pub mod discovery;
pub mod problem;

pub use crate::nearest::nearest;

//! The control plane.

pub mod access;
pub mod clock;
pub mod listener;

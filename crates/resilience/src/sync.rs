//! What threads share, from the standard library; or from loom, which tries every order of their steps.
//!
//! `--cfg interleavings` chooses loom. It is this package's own word, since `--cfg loom` would change what
//! other packages are as well.

#[cfg(interleavings)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, fence},
};
#[cfg(not(interleavings))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, fence},
};

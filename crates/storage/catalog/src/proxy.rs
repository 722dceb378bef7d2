//! Proxies as they are kept: that they are there, and nothing of what they do.
//!
//! A proxy that cannot be reached may go on sending calls by what it knew. Who wants to know that none
//! are sent to an instance any more has to remember it, also across a restart.

use identity::{ProxyId, Wall};

/// A proxy that has been seen and has not left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownProxy {
    /// Its id.
    pub id: ProxyId,
    /// When it was seen first.
    pub since: Wall,
}

/// A proxy came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyChange {
    /// It was seen for the first time.
    Came(KnownProxy),
    /// It has left for good, or was forgotten.
    Left(ProxyId),
}

//! What the listener counts: how many came, how many are there, and who was refused for what.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// Why a connection was ended or a request refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason as a metric's label.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

reasons! {
    /// More connections than `max_connections`.
    Connections = "connections",
    /// The first bytes did not come in time.
    FirstBytes = "first_bytes",
    /// The TLS handshake failed.
    Handshake = "tls_handshake",
    /// The TLS handshake took too long.
    HandshakeTimeout = "tls_handshake_timeout",
    /// Plain HTTP where TLS is spoken.
    NotTls = "not_tls",
    /// The head of a request did not come in time.
    HeadTimeout = "head_timeout",
    /// The head of a request was too large or had too many headers.
    HeadTooLarge = "head_too_large",
    /// Path and query were too long.
    UriTooLong = "uri_too_long",
    /// What came is not HTTP, or ended in the middle.
    Malformed = "malformed",
    /// HTTP/2 whose rules were broken.
    Http2 = "http2",
    /// The body was larger than its route accepts.
    BodyTooLarge = "body_too_large",
    /// The body came too slowly.
    BodyTimeout = "body_timeout",
    /// The body ended too early or was badly framed.
    BodyMalformed = "body_malformed",
    /// The client did not take its response.
    WriteStall = "write_stall",
    /// A connection without requests was closed.
    Idle = "idle",
    /// The Host header names something else.
    Host = "host",
    /// A browser's change from another origin.
    Origin = "origin",
    /// A handler panicked.
    Panic = "panic",
    /// The operating system could not give us the next connection.
    Accept = "accept",
    /// Still there when the time for a graceful stop was over.
    CutOff = "cut_off",
}

/// Counters of one listener; cheap to read at any time.
#[derive(Debug)]
pub struct ListenerStats {
    accepted: AtomicU64,
    active: AtomicU64,
    requests: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

impl Default for ListenerStats {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::new(0),
            active: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            refused: [const { AtomicU64::new(0) }; Reason::ALL.len()],
        }
    }
}

impl ListenerStats {
    /// Connections since the start, those refused included.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Connections now.
    pub fn active(&self) -> u64 {
        self.active.load(Relaxed)
    }

    /// Requests since the start whose head was read.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// How often something was ended or refused for this reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.refused[reason as usize].load(Relaxed)
    }

    pub(super) fn accept(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn refuse(&self, reason: Reason) {
        self.refused[reason as usize].fetch_add(1, Relaxed);
    }

    /// Counts a connection as active for as long as the guard lives.
    pub(super) fn activate(self: &std::sync::Arc<Self>) -> Active {
        self.active.fetch_add(1, Relaxed);
        Active(self.clone())
    }
}

/// An active connection; dropping it, in whatever way the connection ends, counts it out.
pub(super) struct Active(std::sync::Arc<ListenerStats>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}

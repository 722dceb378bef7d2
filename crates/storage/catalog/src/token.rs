//! Bearer tokens as they are kept: a hash, and what its bearer may do.

use std::{fmt, str::FromStr};

use identity::{Invalid, Namespace, Wall};

/// What a bearer may do. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Look at everything in its namespaces.
    Read,
    /// Register, heartbeat, deregister, send telemetry.
    Write,
    /// Tokens, overrides, other owners' instances.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Write, Scope::Admin];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Scope::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| Invalid::new("scope", text, "one of read, write, admin"))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A token without its secret, which is not kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The public part of the token, by which it is found.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// SHA-256 of the secret part, which has 256 random bits and therefore needs no slow hash.
    pub hash: [u8; 32],
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Where; none stands for every namespace.
    pub namespaces: Vec<Namespace>,
    /// When it was made.
    pub created_at: Wall,
    /// From when on it is refused.
    pub expires_at: Option<Wall>,
}

impl fmt::Debug for Token {
    /// Leaves the hash out: logs are read by more people than data folders.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .field("namespaces", &self.namespaces)
            .finish_non_exhaustive()
    }
}

//! How a token is made and what it looks like: `bw_<id>_<secret>`, 8 and 32 random bytes in lower-case
//! hexadecimal.
//!
//! The prefix lets scanners of source code recognise a token that leaked; the id finds the record, so
//! that one hash is enough for a check. Hexadecimal has no character that a shell, a URL or a YAML
//! file would change.

use std::{fmt, time::Duration};

use identity::{Namespace, Wall};
use sha2::{Digest, Sha256};
use storage_catalog::{Scope, Token};
use subtle::ConstantTimeEq;
use wire::native::problem::{Code, Problem};

const PREFIX: &str = "bw_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;

/// Random bytes that making a token takes.
pub const RANDOM_BYTES: usize = ID_BYTES + SECRET_BYTES;

/// Characters of a token's name.
const NAME_CHARS: usize = 100;

/// Namespaces that one token may be bound to; each check walks through them.
const NAMESPACES: usize = 100;

/// A token that should be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSpec {
    /// Whose it is; not empty, at most 100 characters, no control characters.
    pub name: String,
    /// What it may do, at least one.
    pub scopes: Vec<Scope>,
    /// Where; none stands for every namespace.
    pub namespaces: Vec<Namespace>,
    /// For how long; without, until it is revoked.
    pub ttl: Option<Duration>,
}

impl TokenSpec {
    /// Makes the token from these random bytes: the record to keep, and the text to show once.
    pub fn mint(&self, random: [u8; RANDOM_BYTES], now: Wall) -> Result<(Token, String), Problem> {
        self.check()?;
        let (id, secret) = random.split_at(ID_BYTES);
        let (id, secret) = (hex(id), hex(secret));
        let (mut scopes, mut namespaces) = (self.scopes.clone(), self.namespaces.clone());
        scopes.sort();
        scopes.dedup();
        namespaces.sort();
        namespaces.dedup();
        let token = Token {
            id: id.clone(),
            name: self.name.clone(),
            hash: hash(secret.as_bytes()),
            scopes,
            namespaces,
            created_at: now,
            expires_at: self.ttl.map(|ttl| now + ttl),
        };
        Ok((token, format!("{PREFIX}{id}_{secret}")))
    }

    /// Checks name, scopes and bounds.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let refuse = |field: &str, detail: String| Err(Problem::new(Code::InvalidValue, detail).at(field));
        let length = self.name.chars().count();
        if !(1..=NAME_CHARS).contains(&length) || self.name.chars().any(char::is_control) {
            let rule =
                format!("a token's name has 1 to {NAME_CHARS} characters, none of them a control character");
            return refuse("/name", rule);
        }
        if self.scopes.is_empty() {
            return refuse("/scopes", "a token has at least one scope of read, write, admin".to_owned());
        }
        if self.namespaces.len() > NAMESPACES {
            return refuse("/namespaces", format!("a token is bound to at most {NAMESPACES} namespaces"));
        }
        if self.ttl == Some(Duration::ZERO) {
            return refuse("/ttl", "a token lives longer than 0s".to_owned());
        }
        Ok(())
    }
}

/// The token after `Bearer`, whose case does not matter; `None` for another scheme.
pub(super) fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = authorization.split_at_checked(b"bearer".len())?;
    let rest = rest.strip_prefix(b" ")?;
    scheme.eq_ignore_ascii_case(b"bearer").then(|| rest.trim_ascii())
}

/// A token as a request presents it, of the right form.
pub(super) struct Presented<'a> {
    id: &'a str,
    secret: &'a [u8],
}

impl<'a> Presented<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX.as_bytes())?;
        let (id, rest) = rest.split_at_checked(2 * ID_BYTES)?;
        let secret = rest.strip_prefix(b"_").filter(|secret| secret.len() == 2 * SECRET_BYTES)?;
        Some(Self { id: std::str::from_utf8(id).ok()?, secret })
    }

    pub(super) fn id(&self) -> &str {
        self.id
    }

    /// Whether the secret is that of `token`, in a time that does not depend on how much of it is.
    pub(super) fn is_secret_of(&self, token: &Token) -> bool {
        hash(self.secret).ct_eq(&token.hash).into()
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("id", &self.id).finish_non_exhaustive()
    }
}

fn hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

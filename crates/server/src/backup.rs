//! A backup: everything that the catalog holds, in one file that says what it is.
//!
//! The file is lines of JSON, so that people can look into it with what they have at hand and a later
//! version can read it for as long as it likes:
//!
//! | line | what |
//! |---|---|
//! | the first | `{"format":"bellwether-backup","version":3,"revision":…,"made_at":…,"server":…,"instances":N,"tokens":M,"proxies":P,"policies":Q}` |
//! | N | `{"instance":{…}}`: all that is known of it, with its lease, so that its owner keeps it |
//! | M | `{"token":{…}}`: with the hash of its secret and without the secret |
//! | P | `{"proxy":{…}}`: one that may send calls by what it knows, and that a drain has to hear |
//! | Q | `{"policy":{…}}`: what holds, without its history |
//! | the last | `{"sha256":"…"}` of all lines before it, so that a file that was cut anywhere is refused |
//!
//! It is taken of one revision while changes go on. What a restore does with it is in the restore's own
//! module.

use std::sync::Arc;

use identity::{Namespace, Wall};
use registry::{Instance, PolicyChange, Target};
use storage_catalog::{KnownProxy, Token};

mod read;
mod restore;
mod shapes;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use read::Reading;
pub(crate) use restore::{Restore, plan, restore};
pub(crate) use write::Writing;

/// The media type of a backup.
pub(crate) const CONTENT_TYPE: &str = "application/jsonl";
/// The largest file that a restore reads, which has room for the largest registry. What it holds is kept in
/// memory while it is restored, about as much again as it has bytes.
pub(crate) const FILE_BYTES: u64 = 2 << 30;
/// The longest line: the largest metadata, each of whose characters JSON writes as six.
const LINE_BYTES: usize = 1 << 20;
/// What the first line says that the file is.
const FORMAT: &str = "bellwether-backup";
/// The version of the format; version 1 knew no policies, and version 2 no weights of operators. A later one
/// is refused: what is not understood would be lost.
const VERSION: u32 = 3;

/// Everything that the catalog holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backup {
    /// The registry's revision.
    pub(crate) revision: u64,
    /// When it was made.
    pub(crate) made_at: Wall,
    /// Every instance.
    pub(crate) instances: Vec<(Target, Arc<Instance>)>,
    /// Every token.
    pub(crate) tokens: Vec<Token>,
    /// Every proxy that is known.
    pub(crate) proxies: Vec<KnownProxy>,
    /// Every policy that holds, as the change that made it so.
    pub(crate) policies: Vec<PolicyChange>,
}

/// The namespaces of a token as they are written.
fn names(namespaces: &[Namespace]) -> Vec<String> {
    namespaces.iter().map(ToString::to_string).collect()
}

//! What a restore has done.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a restore has done, or would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Restored {
    /// The revision that the backup was made of.
    pub of_revision: u64,
    /// When it was made.
    pub made_at: String,
    /// The registry's revision after the restore.
    pub revision: u64,
    /// Whether nothing was done, because only that was asked what would be.
    pub dry_run: bool,
    /// What became of the instances.
    pub instances: RestoredCounts,
    /// What became of the tokens.
    pub tokens: RestoredCounts,
    /// What became of the proxies that drains wait for.
    pub proxies: RestoredCounts,
    /// What became of the policies.
    #[serde(default)]
    pub policies: RestoredCounts,
}

/// How many of a kind there were of which sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoredCounts {
    /// They were missing and came back.
    pub restored: u64,
    /// They were there in another shape, and are as in the backup now.
    pub replaced: u64,
    /// They were there, and are as they were.
    pub unchanged: u64,
    /// They were not in the backup, and are gone.
    pub removed: u64,
}

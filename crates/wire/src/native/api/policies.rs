//! Policies, their history, and what holds for a service.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

/// A policy as it is, or as it would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `ServicePolicy` or `NamespaceDefaults`.
    pub kind: String,
    /// The service that it is for; none for all of the namespace.
    pub service: Option<String>,
    /// The revision that it was last changed with. `ETag` says the same, and `If-Match` takes it.
    pub revision: u64,
    /// How many revisions it has had.
    pub number: u64,
    /// When it was last changed.
    pub at: String,
    /// Who changed it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The document.
    #[schema(value_type = Object)]
    pub document: Json,
}

/// The policies of a namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Policies {
    /// The registry's revision.
    pub revision: u64,
    /// By name.
    pub policies: Vec<Policy>,
    /// The token of the next page; none on the last.
    pub next: Option<String>,
}

/// What became of a policy, the latest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyHistory {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Older revisions that are not kept any more: a hundred are, and 256 KiB of their documents.
    pub forgotten: u64,
    /// The revisions.
    pub revisions: Vec<PolicyRevision>,
}

/// A revision of a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyRevision {
    /// The registry's revision that it made.
    pub revision: u64,
    /// Counts the revisions of this policy from 1.
    pub number: u64,
    /// When.
    pub at: String,
    /// `created`, `updated`, `rolled_back`, `deleted` or `restored`.
    pub action: String,
    /// Who.
    pub actor: String,
    /// Where the request came from.
    pub from: String,
    /// Why.
    pub reason: String,
    /// What it says; none where it was deleted.
    #[schema(value_type = Option<Object>)]
    pub document: Option<Json>,
}

/// What a policy goes back to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackBody {
    /// The revision whose document holds again; without it, the last that said something else.
    #[serde(default)]
    pub to: Option<u64>,
}

/// What holds for the calls of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EffectivePolicy {
    /// The service's namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// The revision of the latest document that went into it; 0 where there is none.
    pub policy_revision: u64,
    /// Every section with every value, as in a document's `spec`; null for one that is off.
    #[schema(value_type = Object)]
    pub policy: Json,
    /// Where each section comes from.
    pub origins: BTreeMap<String, PolicyOrigin>,
}

/// Where a section of a policy comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyOrigin {
    /// `built_in`, `namespace` or `service`.
    pub from: String,
    /// The name of the policy; none where it is built in.
    pub policy: Option<String>,
    /// Its revision; none where it is built in.
    pub revision: Option<u64>,
}

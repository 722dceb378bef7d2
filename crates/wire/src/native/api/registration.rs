//! What owners say: registrations, heartbeats and what is answered to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an owner says of its instance. All but address and port may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistrationBody {
    /// An IP address or DNS name at which the instance listens.
    #[schema(example = "10.0.0.7")]
    pub address: String,
    /// The port.
    #[schema(example = 8080, minimum = 1, maximum = 65535)]
    pub port: u16,
    /// The failure domain that it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The version that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its share of the calls; 100 is a full share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 100, maximum = 10000)]
    pub weight: Option<u32>,
    /// Anything else: at most 64 entries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// How long the lease holds without a heartbeat. Without it the instance stays until it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "15s")]
    pub ttl: Option<String>,
    /// How long after its lease lapsed the instance is forgotten; ten TTLs where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "150s")]
    pub deregister_after: Option<String>,
    /// The lease that the caller holds already, to keep it. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<String>,
}

/// The answer to a registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Registered {
    /// To be sent with heartbeats and with the deregistration.
    pub lease_id: String,
    /// The registry's revision after it.
    pub revision: u64,
    /// Whether the instance was not there before.
    pub created: bool,
}

/// Carries the lease of a heartbeat or a deregistration, where `If-Match` does not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseBody {
    /// The lease that the registration answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<String>,
}

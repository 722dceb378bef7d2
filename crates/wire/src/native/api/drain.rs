//! Draining an instance, and the receipt.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks for a drain. All of it may be left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DrainBody {
    /// The lease that the registration answered. `If-Match` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_id: Option<String>,
    /// How long to wait until no call is at the instance any more, up to 1h; 30s where it is not given.
    /// The drain stays when the time is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "30s")]
    pub timeout: Option<String>,
    /// Drain it also where no other instance of its service takes calls.
    #[serde(default)]
    pub force: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "new kernel")]
    pub reason: Option<String>,
}

/// Whether a drained instance is safe to kill, and who stands in the way where it is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Receipt {
    /// The instance's namespace.
    pub namespace: String,
    /// Its service.
    pub service: String,
    /// Its id.
    pub instance: String,
    /// The revision since which no new call should go there.
    pub revision: u64,
    /// Whether no call is under way at the instance and none can begin. True only if that is proved.
    pub safe: bool,
    /// Why, in one sentence.
    pub reason: String,
    /// How long it was waited for.
    pub elapsed_ns: u64,
    /// Everybody who may send calls there.
    pub subscribers: Vec<Subscriber>,
}

/// Somebody who may send calls to an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Subscriber {
    /// A proxy's id; of a client its token's name and its address.
    pub subscriber: String,
    /// `proxy`, `watch` (a client that follows changes) or `poll` (one that asks now and then).
    pub kind: String,
    /// `quiesced` (it knows of the drain, and none of its calls is at the instance), `acked` (it knows;
    /// calls of it may be there), `unreachable` (it cannot be asked), or `unacknowledged` (it has not said
    /// that it knows).
    pub state: String,
    /// The revision that it acknowledged last; 0 for none.
    pub revision: u64,
    /// Its calls at the instance when it reported last. Only proxies count them.
    pub in_flight: u32,
    /// When it was heard last; none where it was not since the server started.
    pub heard_at: Option<String>,
}

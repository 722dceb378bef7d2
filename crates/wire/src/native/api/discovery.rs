//! Who is there: instances, services, owners of keys, and changes as watchers see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CheckState;

/// An instance as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    /// Its id within the service.
    pub id: String,
    /// Where it listens.
    pub address: String,
    /// The port.
    pub port: u16,
    /// `starting`, `up`, `draining`, `maintenance` or `down`.
    pub status: String,
    /// Why it has that status.
    pub reason: String,
    /// Since when.
    pub since: String,
    /// What its checks say: `passing`, `pending`, `failing`, or `unchecked` where it has none.
    pub health: String,
    /// Its checks, and what each has found out.
    pub checks: Vec<CheckState>,
    /// Its failure domain.
    pub zone: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its share of the calls, as proxies and rings use it: an operator's word, or else what it registered.
    pub weight: u32,
    /// Anything else.
    pub metadata: BTreeMap<String, String>,
    /// How long its lease holds without a heartbeat.
    pub ttl: Option<String>,
    /// How long after its lease lapsed it is forgotten.
    pub deregister_after: Option<String>,
    /// How long it takes from its first call to its full share of them.
    pub warm_up: Option<String>,
    /// Who drains it, and why; nothing where nobody does.
    pub drain: Option<Note>,
    /// What an operator says that it is; nothing where nobody does.
    #[serde(rename = "override")]
    pub overridden: Option<Override>,
    /// What an operator says that its weight is; nothing where nobody does.
    pub weighed: Option<Weighed>,
    /// Whether its lease is overdue and holds only because so many of its zone are.
    pub protected: bool,
    /// When it was registered first.
    pub registered_at: String,
    /// The revision of its last change.
    pub revision: u64,
}

/// Who wanted something, when and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Note {
    /// Who.
    pub by: String,
    /// When.
    pub at: String,
    /// Why.
    pub reason: String,
}

/// A status by an operator's word, which holds whatever else is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Override {
    /// `up`, `down` or `maintenance`.
    pub status: String,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: String,
    /// Why.
    pub reason: String,
    /// Until when; nothing where it holds until it is released.
    pub until: Option<String>,
}

/// A share of the calls by an operator's word, which stands above the registration's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Weighed {
    /// The share that holds; 100 is a full one, 0 none.
    pub weight: u32,
    /// What the instance registered, which holds once the word is taken back.
    pub registered: u32,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: String,
    /// Why.
    pub reason: String,
}

/// A service with its instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// The revision of its last change.
    pub revision: u64,
    /// Its instances, by id.
    pub instances: Vec<Instance>,
}

/// The namespaces in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Namespaces {
    /// Their names.
    pub namespaces: Vec<String>,
}

/// The services of a namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Services {
    /// The registry's revision.
    pub revision: u64,
    /// One entry each, by name.
    pub services: Vec<ServiceEntry>,
    /// The token of the next page; none on the last one.
    pub next: Option<String>,
}

/// A service in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceEntry {
    /// Its name.
    pub service: String,
    /// The revision of its last change.
    pub revision: u64,
    /// How many instances it has, by status.
    pub instances: InstanceCounts,
}

/// Instances by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceCounts {
    /// All of them.
    pub total: u32,
    /// Taking calls.
    pub up: u32,
    /// Not yet known to be healthy.
    pub starting: u32,
    /// Finishing their calls.
    pub draining: u32,
    /// Taken out by an operator.
    pub maintenance: u32,
    /// Lapsed or failing.
    pub down: u32,
}

/// Who owns a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Owner {
    /// The key that was asked for.
    pub key: String,
    /// How its home was found: `ring`, `maglev` or `nearest`.
    pub algorithm: String,
    /// The instance that takes the key's calls now; none where no instance takes calls.
    pub instance: Option<Instance>,
    /// The instance that the key's hash names.
    pub home: Instance,
    /// Why the one is not the other; empty where it is.
    pub reason: String,
    /// Whether it depends on the calls in flight, so that each proxy may see it a little differently.
    pub approximate: bool,
    /// The calls in flight that were looked at, by instance; nothing where there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<BTreeMap<String, u32>>,
}

/// How the keys of a service are shared out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ring {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// The revision of its last change.
    pub revision: u64,
    /// How a key's home is found: `ring`, `maglev` or `nearest`.
    pub algorithm: String,
    /// The points on the circle, or the slots of the table.
    pub points: u64,
    /// Every instance, by id.
    pub members: Vec<RingMember>,
}

/// What an instance has of the keys of its service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RingMember {
    /// Its id.
    pub id: String,
    /// Its status: while it takes no calls, its keys go to others.
    pub status: String,
    /// Its share of the calls relative to its siblings.
    pub weight: u32,
    /// Its points or slots; none where its weight is 0.
    pub points: u64,
    /// Its part of all keys, from 0 to 1, whatever its status.
    pub share: f64,
}

/// Scrape targets with what is known of them, in the format of Prometheus' `http_sd_configs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetGroup {
    /// `host:port` each.
    #[schema(example = json!(["10.0.0.7:8080"]))]
    pub targets: Vec<String>,
    /// Labels of all of them; those that begin with `__` are for relabelling.
    pub labels: BTreeMap<String, String>,
}

/// One change, as a watcher sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// The revision that it made.
    pub revision: u64,
    /// When.
    pub at: String,
    /// The service.
    pub service: String,
    /// The instance's id.
    pub instance_id: String,
    /// What happened, such as `registered`, `lapsed` or `draining`.
    pub action: String,
    /// Who did it: a token's name, or `registry` where time did.
    pub actor: String,
    /// Where from: the dialect and the address; empty where it came by none.
    pub from: String,
    /// Why.
    pub reason: String,
    /// The instance as it is now; none where it is gone.
    pub instance: Option<Instance>,
}

/// Everything that a watcher follows, at a revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WatchSnapshot {
    /// The registry's revision.
    pub revision: u64,
    /// The services with their instances.
    pub services: Vec<Service>,
}

//! The records of the journal, in protobuf, format version 1.
//!
//! Fields are added, never renumbered. A kind or an event kind that is not known comes from a later
//! version and keeps the store from opening.
//!
//! Batches and events are written by [`crate::encoding`], byte by byte as these messages would be.

use std::fmt::Display;

use identity::{TraceId, Wall};
pub(crate) use storage_intake::record::BATCH;
use storage_intake::record::OriginRecord;

use crate::{Event, Kind};

/// A [`RemovedRecord`].
pub(crate) const REMOVED: u8 = 2;

/// Written before segments are removed: what must outlive them.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RemovedRecord {
    /// All segments below this number are gone, or are to be removed.
    #[prost(uint64, tag = "1")]
    pub(crate) before: u64,
    /// The last batches of all sources, least recent first.
    #[prost(message, repeated, tag = "2")]
    pub(crate) sources: Vec<OriginRecord>,
    /// Events removed since the store began, with these.
    #[prost(uint64, tag = "3")]
    pub(crate) expired: u64,
    /// The last revision that was given.
    #[prost(uint64, tag = "4")]
    pub(crate) revision: u64,
}

/// See [`Event`]; its revision follows from its place in the batch.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EventRecord {
    /// Nanoseconds since the Unix epoch.
    #[prost(fixed64, tag = "1")]
    pub(crate) at: u64,
    /// 1 instance, 2 breaker, 3 policy, 4 token, 5 proxy, 6 server.
    #[prost(uint32, tag = "2")]
    pub(crate) kind: u32,
    #[prost(string, tag = "3")]
    pub(crate) action: String,
    #[prost(string, optional, tag = "4")]
    pub(crate) namespace: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub(crate) service: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub(crate) instance: Option<String>,
    #[prost(string, tag = "7")]
    pub(crate) actor: String,
    #[prost(string, tag = "8")]
    pub(crate) reason: String,
    #[prost(btree_map = "string, string", tag = "9")]
    pub(crate) details: std::collections::BTreeMap<String, String>,
    /// Sixteen bytes each, most significant first.
    #[prost(bytes = "vec", repeated, tag = "10")]
    pub(crate) exemplar_trace_ids: Vec<Vec<u8>>,
}

impl EventRecord {
    /// The error says which field is not what it should be.
    pub(crate) fn into_event(self, revision: u64) -> Result<Event, String> {
        let not = |field: &'static str| move |error: &dyn Display| format!("{field}: {error}");
        let (namespace, service, instance) = (not("namespace"), not("service"), not("instance"));
        let exemplar = |bytes: Vec<u8>| {
            TraceId::from_bytes(&bytes).ok_or_else(|| "exemplar_trace_ids: not sixteen bytes".to_owned())
        };
        Ok(Event {
            revision,
            at: Wall(self.at),
            kind: kind(self.kind).ok_or_else(|| format!("kind: {} is unknown", self.kind))?,
            action: self.action,
            namespace: self
                .namespace
                .map(|name| name.parse())
                .transpose()
                .map_err(|error| namespace(&error))?,
            service: self.service.map(|name| name.parse()).transpose().map_err(|error| service(&error))?,
            instance: self.instance.map(|name| name.parse()).transpose().map_err(|error| instance(&error))?,
            actor: self.actor,
            reason: self.reason,
            details: self.details,
            exemplar_trace_ids: self
                .exemplar_trace_ids
                .into_iter()
                .map(exemplar)
                .collect::<Result<_, _>>()?,
        })
    }
}

pub(crate) fn kind_number(kind: Kind) -> u32 {
    match kind {
        Kind::Instance => 1,
        Kind::Breaker => 2,
        Kind::Policy => 3,
        Kind::Token => 4,
        Kind::Proxy => 5,
        Kind::Server => 6,
    }
}

fn kind(number: u32) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind_number(*kind) == number)
}

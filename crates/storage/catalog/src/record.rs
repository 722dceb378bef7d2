//! The records of the catalog's journal, byte by byte.
//!
//! Each record is a Protocol Buffers message of its kind; the tags below are the format and are never
//! used again for something else. Unknown fields are ignored, an unknown kind refuses the journal (it
//! was written by a newer version, and leaving it out would be wrong data).
//!
//! | kind | message | stands in |
//! |---|---|---|
//! | 1 | [`ChangeRecord`] | the journal |
//! | 2 | [`TokenRecord`] | journal and snapshot |
//! | 3 | [`TokenRevoked`] | the journal |
//! | 4 | [`SnapshotHead`] | the snapshot, first |
//! | 5 | [`InstanceRecord`] | the snapshot, one for each instance |

use std::time::Duration;

use identity::Wall;
use prost::Message;
use registry::{Action, Cause, Change, Effect, Host, Instance, LeaseId, Registration, Status, Target};

use crate::{Scope, Token};

pub(crate) const CHANGE: u8 = 1;
pub(crate) const TOKEN: u8 = 2;
pub(crate) const TOKEN_REVOKED: u8 = 3;
pub(crate) const SNAPSHOT_HEAD: u8 = 4;
pub(crate) const INSTANCE: u8 = 5;

/// The registry's revision at the snapshot.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotHead {
    #[prost(uint64, tag = "1")]
    pub(crate) revision: u64,
}

/// One change of one instance.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ChangeRecord {
    #[prost(uint64, tag = "1")]
    revision: u64,
    #[prost(fixed64, tag = "2")]
    at_unix_ns: u64,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(string, tag = "4")]
    service: String,
    #[prost(string, tag = "5")]
    instance: String,
    /// The word of [`Action::as_str`].
    #[prost(string, tag = "6")]
    action: String,
    #[prost(string, tag = "7")]
    actor: String,
    #[prost(string, tag = "8")]
    reason: String,
    /// What it is now; absent with `lease` for a removal.
    #[prost(message, optional, tag = "9")]
    put: Option<InstanceBody>,
    /// The new lease of unchanged content.
    #[prost(fixed64, optional, tag = "10")]
    lease: Option<u64>,
}

/// An instance in a snapshot.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct InstanceRecord {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(string, tag = "2")]
    service: String,
    #[prost(string, tag = "3")]
    instance: String,
    #[prost(message, optional, tag = "4")]
    body: Option<InstanceBody>,
}

/// All that is known of an instance.
#[derive(Clone, PartialEq, Message)]
struct InstanceBody {
    #[prost(string, tag = "1")]
    address: String,
    #[prost(uint32, tag = "2")]
    port: u32,
    #[prost(string, optional, tag = "3")]
    zone: Option<String>,
    #[prost(string, optional, tag = "4")]
    version: Option<String>,
    #[prost(uint32, tag = "5")]
    weight: u32,
    #[prost(btree_map = "string, string", tag = "6")]
    metadata: std::collections::BTreeMap<String, String>,
    #[prost(uint64, optional, tag = "7")]
    ttl_ns: Option<u64>,
    #[prost(uint64, optional, tag = "8")]
    deregister_after_ns: Option<u64>,
    /// The word of [`Status::as_str`].
    #[prost(string, tag = "9")]
    status: String,
    #[prost(string, tag = "10")]
    reason: String,
    #[prost(fixed64, tag = "11")]
    since_unix_ns: u64,
    #[prost(fixed64, tag = "12")]
    lease: u64,
    #[prost(fixed64, tag = "13")]
    registered_at_unix_ns: u64,
    #[prost(uint64, tag = "14")]
    revision: u64,
}

/// A token without its secret.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TokenRecord {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    name: String,
    /// SHA-256, 32 bytes.
    #[prost(bytes = "vec", tag = "3")]
    hash: Vec<u8>,
    /// The words of [`Scope::as_str`].
    #[prost(string, repeated, tag = "4")]
    scopes: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    namespaces: Vec<String>,
    #[prost(fixed64, tag = "6")]
    created_at_unix_ns: u64,
    #[prost(fixed64, optional, tag = "7")]
    expires_at_unix_ns: Option<u64>,
}

/// The end of a token.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TokenRevoked {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}

/// Why a record cannot be read: the journal's checksum held, so it was written by another version.
type Unreadable = String;

fn text(error: impl ToString) -> Unreadable {
    error.to_string()
}

impl From<&Change> for ChangeRecord {
    fn from(change: &Change) -> Self {
        let (put, lease) = match &change.effect {
            Effect::Put(instance) => (Some(InstanceBody::from(instance)), None),
            Effect::Removed => (None, None),
            Effect::Leased(lease) => (None, Some(lease.0)),
        };
        ChangeRecord {
            revision: change.revision,
            at_unix_ns: change.at.0,
            namespace: change.target.namespace.to_string(),
            service: change.target.service.to_string(),
            instance: change.target.instance.to_string(),
            action: change.cause.action.as_str().to_owned(),
            actor: change.cause.actor.to_string(),
            reason: change.cause.reason.to_string(),
            put,
            lease,
        }
    }
}

impl TryFrom<ChangeRecord> for Change {
    type Error = Unreadable;

    fn try_from(record: ChangeRecord) -> Result<Self, Unreadable> {
        let action = Action::ALL.into_iter().find(|action| action.as_str() == record.action);
        let effect = match (record.put, record.lease) {
            (Some(body), _) => Effect::Put(body.try_into()?),
            (None, Some(lease)) => Effect::Leased(LeaseId(lease)),
            (None, None) => Effect::Removed,
        };
        Ok(Change {
            revision: record.revision,
            at: Wall(record.at_unix_ns),
            target: target(&record.namespace, &record.service, &record.instance)?,
            effect,
            cause: Cause {
                action: action.ok_or_else(|| format!("unknown action {:?}", record.action))?,
                actor: record.actor.into(),
                reason: record.reason.into(),
            },
        })
    }
}

impl InstanceRecord {
    pub(crate) fn new(target: &Target, instance: &Instance) -> Self {
        InstanceRecord {
            namespace: target.namespace.to_string(),
            service: target.service.to_string(),
            instance: target.instance.to_string(),
            body: Some(instance.into()),
        }
    }

    pub(crate) fn read(self) -> Result<(Target, Instance), Unreadable> {
        let body = self.body.ok_or("an instance without a body")?;
        Ok((target(&self.namespace, &self.service, &self.instance)?, body.try_into()?))
    }
}

fn target(namespace: &str, service: &str, instance: &str) -> Result<Target, Unreadable> {
    Ok(Target {
        namespace: namespace.parse().map_err(text)?,
        service: service.parse().map_err(text)?,
        instance: instance.parse().map_err(text)?,
    })
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl From<&Instance> for InstanceBody {
    fn from(instance: &Instance) -> Self {
        let registration = &instance.registration;
        InstanceBody {
            address: registration.address.to_string(),
            port: registration.port.into(),
            zone: registration.zone.as_deref().map(str::to_owned),
            version: registration.version.as_deref().map(str::to_owned),
            weight: registration.weight,
            metadata: registration.metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            ttl_ns: registration.ttl.map(nanos),
            deregister_after_ns: registration.deregister_after.map(nanos),
            status: instance.status.as_str().to_owned(),
            reason: instance.reason.to_string(),
            since_unix_ns: instance.since.0,
            lease: instance.lease.0,
            registered_at_unix_ns: instance.registered_at.0,
            revision: instance.revision,
        }
    }
}

impl TryFrom<InstanceBody> for Instance {
    type Error = Unreadable;

    fn try_from(body: InstanceBody) -> Result<Self, Unreadable> {
        let registration = Registration {
            address: Host::parse(&body.address).map_err(text)?,
            port: u16::try_from(body.port).map_err(text)?,
            zone: body.zone.map(Into::into),
            version: body.version.map(Into::into),
            weight: body.weight,
            metadata: body.metadata.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
            ttl: body.ttl_ns.map(Duration::from_nanos),
            deregister_after: body.deregister_after_ns.map(Duration::from_nanos),
        };
        Ok(Instance {
            registration,
            status: body.status.parse::<Status>().map_err(text)?,
            reason: body.reason.into(),
            since: Wall(body.since_unix_ns),
            lease: LeaseId(body.lease),
            registered_at: Wall(body.registered_at_unix_ns),
            revision: body.revision,
        })
    }
}

impl From<&Token> for TokenRecord {
    fn from(token: &Token) -> Self {
        TokenRecord {
            id: token.id.clone(),
            name: token.name.clone(),
            hash: token.hash.to_vec(),
            scopes: token.scopes.iter().map(ToString::to_string).collect(),
            namespaces: token.namespaces.iter().map(ToString::to_string).collect(),
            created_at_unix_ns: token.created_at.0,
            expires_at_unix_ns: token.expires_at.map(|at| at.0),
        }
    }
}

impl TryFrom<TokenRecord> for Token {
    type Error = Unreadable;

    fn try_from(record: TokenRecord) -> Result<Self, Unreadable> {
        let scopes = record.scopes.iter().map(|scope| scope.parse::<Scope>().map_err(text));
        let namespaces = record.namespaces.iter().map(|namespace| namespace.parse().map_err(text));
        Ok(Token {
            id: record.id,
            name: record.name,
            hash: record.hash.try_into().map_err(|_| "a token's hash has 32 bytes")?,
            scopes: scopes.collect::<Result<_, _>>()?,
            namespaces: namespaces.collect::<Result<_, _>>()?,
            created_at: Wall(record.created_at_unix_ns),
            expires_at: record.expires_at_unix_ns.map(Wall),
        })
    }
}

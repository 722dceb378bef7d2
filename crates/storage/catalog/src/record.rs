//! The records of the catalog's journal, byte by byte.
//!
//! Each record is a Protocol Buffers message of its kind; the tags below are the format and are never
//! used again for something else. Unknown fields are ignored, an unknown kind refuses the journal (it
//! was written by a newer version, and leaving it out would be wrong data). What the registry has is
//! written by [`encode`], without a detour by these messages.
//!
//! | kind | message | stands in |
//! |---|---|---|
//! | 1 | [`ChangeRecord`] | the journal |
//! | 2 | [`TokenRecord`] | journal and snapshot |
//! | 3 | [`TokenRevoked`] | the journal |
//! | 4 | [`SnapshotHead`] | the snapshot, first |
//! | 5 | [`InstanceRecord`] | the snapshot, one for each instance |
//! | 6 | [`ProxyRecord`] | journal and snapshot |
//! | 7 | [`ProxyGone`] | the journal |
//! | 8 | [`RemovalsRecord`](crate::removals::RemovalsRecord) | the journal |
//! | 9 | [`PolicyRecord`](crate::policy::PolicyRecord) | journal and snapshot |

use std::time::Duration;

use identity::Wall;
use prost::Message;
use registry::{
    Action, Actor, Cause, Change, Check, Condition, Drain, Effect, Host, Instance, LeaseId, Note, Override,
    Period, Probe, Registration, Status, Target, Verdict, Weighed,
};

use crate::{KnownProxy, Scope, Token};

pub(crate) mod encode;

pub(crate) const CHANGE: u8 = 1;
pub(crate) const TOKEN: u8 = 2;
pub(crate) const TOKEN_REVOKED: u8 = 3;
pub(crate) const SNAPSHOT_HEAD: u8 = 4;
pub(crate) const INSTANCE: u8 = 5;
pub(crate) const PROXY: u8 = 6;
pub(crate) const PROXY_GONE: u8 = 7;
pub(crate) const REMOVALS: u8 = 8;
pub(crate) const POLICY: u8 = 9;

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
    /// Where the actor's request came from.
    #[prost(string, tag = "11")]
    from: String,
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
    #[prost(message, repeated, tag = "15")]
    checks: Vec<CheckBody>,
    #[prost(uint64, optional, tag = "16")]
    warm_up_ns: Option<u64>,
    #[prost(fixed64, optional, tag = "17")]
    lapsed_unix_ns: Option<u64>,
    #[prost(bool, tag = "18")]
    is_cold: bool,
    #[prost(message, optional, tag = "19")]
    drain: Option<NoteBody>,
    #[prost(message, optional, tag = "20")]
    pinned: Option<OverrideBody>,
    /// Since which revision no new call should go there, with `drain`.
    #[prost(uint64, tag = "21")]
    drain_revision: u64,
    #[prost(message, optional, tag = "22")]
    weighed: Option<WeighedBody>,
}

/// A check, and what it has found out.
#[derive(Clone, PartialEq, Message)]
struct CheckBody {
    /// `http`, `tcp` or `grpc`.
    #[prost(string, tag = "1")]
    probe: String,
    /// The path of `http`, the service of `grpc`.
    #[prost(string, tag = "2")]
    asks: String,
    #[prost(uint32, optional, tag = "3")]
    port: Option<u32>,
    #[prost(uint64, tag = "4")]
    interval_ns: u64,
    #[prost(uint64, tag = "5")]
    timeout_ns: u64,
    #[prost(uint32, tag = "6")]
    success_threshold: u32,
    #[prost(uint32, tag = "7")]
    failure_threshold: u32,
    /// The word of [`Verdict::as_str`].
    #[prost(string, tag = "8")]
    verdict: String,
    /// Why it fails.
    #[prost(string, tag = "9")]
    why: String,
}

/// Who wanted something, when and why.
#[derive(Clone, PartialEq, Message)]
struct NoteBody {
    #[prost(string, tag = "1")]
    by: String,
    #[prost(fixed64, tag = "2")]
    at_unix_ns: u64,
    #[prost(string, tag = "3")]
    reason: String,
}

/// An operator's word.
#[derive(Clone, PartialEq, Message)]
struct OverrideBody {
    /// The word of [`Status::as_str`].
    #[prost(string, tag = "1")]
    status: String,
    #[prost(message, optional, tag = "2")]
    note: Option<NoteBody>,
    #[prost(fixed64, optional, tag = "3")]
    until_unix_ns: Option<u64>,
}

/// A share of the calls by an operator's word.
#[derive(Clone, PartialEq, Message)]
struct WeighedBody {
    #[prost(uint32, tag = "1")]
    weight: u32,
    #[prost(message, optional, tag = "2")]
    note: Option<NoteBody>,
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

/// A proxy that has been seen for the first time.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ProxyRecord {
    #[prost(string, tag = "1")]
    proxy: String,
    #[prost(fixed64, tag = "2")]
    since_unix_ns: u64,
}

/// A proxy that has left, or was forgotten.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ProxyGone {
    #[prost(string, tag = "1")]
    pub(crate) proxy: String,
}

/// Why a record cannot be read: the journal's checksum held, so it was written by another version.
pub(crate) type Unreadable = String;

fn text(error: impl ToString) -> Unreadable {
    error.to_string()
}

impl TryFrom<ChangeRecord> for Change {
    type Error = Unreadable;

    fn try_from(record: ChangeRecord) -> Result<Self, Unreadable> {
        let action = Action::ALL.iter().copied().find(|action| action.as_str() == record.action);
        let effect = match (record.put, record.lease) {
            (Some(body), _) => Effect::Put(Instance::try_from(body)?.into()),
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
                actor: Actor { name: record.actor.into(), from: record.from.into() },
                reason: record.reason.into(),
            },
        })
    }
}

impl InstanceRecord {
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

fn period(nanos: u64) -> Period {
    Duration::from_nanos(nanos).into()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl TryFrom<InstanceBody> for Instance {
    type Error = Unreadable;

    fn try_from(body: InstanceBody) -> Result<Self, Unreadable> {
        let read = body.checks.into_iter().map(CheckBody::read).collect::<Result<Vec<_>, _>>()?;
        let (checks, verdicts): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        let (checks, verdicts) = (Box::<[Check]>::from(checks), verdicts.into());
        // Before there were checks and overrides, an instance was down for one reason only.
        let is_down_unsaid = body.status == "down" && checks.is_empty() && body.pinned.is_none();
        let lapsed_unsaid = is_down_unsaid.then_some(body.since_unix_ns);
        let registration = Registration {
            address: Host::parse(&body.address).map_err(text)?,
            port: u16::try_from(body.port).map_err(text)?,
            zone: body.zone.map(Into::into),
            version: body.version.map(Into::into),
            weight: body.weight,
            metadata: body.metadata.into_iter().collect(),
            ttl: body.ttl_ns.map(period),
            deregister_after: body.deregister_after_ns.map(period),
            checks,
            warm_up: body.warm_up_ns.map(period),
        };
        let condition = Condition {
            lapsed: body.lapsed_unix_ns.or(lapsed_unsaid).map(Wall),
            verdicts,
            is_cold: body.is_cold,
            drain: body.drain.map(|note| {
                // Where it was not written, the last change is certainly not too early.
                let known = Some(body.drain_revision).filter(|revision| *revision > 0);
                Box::new(Drain { note: note.into(), revision: known.unwrap_or(body.revision) })
            }),
            pinned: body.pinned.map(Override::try_from).transpose()?.map(Box::new),
            weighed: body.weighed.map(Weighed::try_from).transpose()?.map(Box::new),
        };
        Ok(Instance {
            registration,
            condition: condition.into(),
            status: body.status.parse::<Status>().map_err(text)?,
            since: Wall(body.since_unix_ns),
            lease: LeaseId(body.lease),
            registered_at: Wall(body.registered_at_unix_ns),
            revision: body.revision,
        })
    }
}

impl CheckBody {
    fn read(self) -> Result<(Check, Verdict), Unreadable> {
        let asks = self.asks.into();
        let probe = match self.probe.as_str() {
            "http" => Probe::Http { path: asks },
            "tcp" => Probe::Tcp,
            "grpc" => Probe::Grpc { service: asks },
            other => return Err(format!("unknown check {other:?}")),
        };
        let verdict = match self.verdict.as_str() {
            "pending" => Verdict::Pending,
            "passing" => Verdict::Passing,
            "failing" => Verdict::Failing(self.why.into()),
            other => return Err(format!("unknown verdict {other:?}")),
        };
        let check = Check {
            probe,
            port: self.port.map(u16::try_from).transpose().map_err(text)?,
            interval: Duration::from_nanos(self.interval_ns),
            timeout: Duration::from_nanos(self.timeout_ns),
            success_threshold: self.success_threshold,
            failure_threshold: self.failure_threshold,
        };
        Ok((check, verdict))
    }
}

impl From<NoteBody> for Note {
    fn from(body: NoteBody) -> Self {
        Note { by: body.by.into(), at: Wall(body.at_unix_ns), reason: body.reason.into() }
    }
}

impl TryFrom<OverrideBody> for Override {
    type Error = Unreadable;

    fn try_from(body: OverrideBody) -> Result<Self, Unreadable> {
        Ok(Override {
            status: body.status.parse().map_err(text)?,
            note: body.note.ok_or("an override without a note")?.into(),
            until: body.until_unix_ns.map(Wall),
        })
    }
}

impl TryFrom<WeighedBody> for Weighed {
    type Error = Unreadable;

    fn try_from(body: WeighedBody) -> Result<Self, Unreadable> {
        let note = body.note.ok_or("a weight of an operator's without a note")?.into();
        Ok(Weighed { weight: body.weight, note })
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

impl From<&KnownProxy> for ProxyRecord {
    fn from(known: &KnownProxy) -> Self {
        ProxyRecord { proxy: known.id.to_string(), since_unix_ns: known.since.0 }
    }
}

impl TryFrom<ProxyRecord> for KnownProxy {
    type Error = Unreadable;

    fn try_from(record: ProxyRecord) -> Result<Self, Unreadable> {
        Ok(KnownProxy { id: record.proxy.parse().map_err(text)?, since: Wall(record.since_unix_ns) })
    }
}

//! The lines of a backup, and what they mean. Members are added with another version of the format only.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use identity::{InstanceId, Namespace, PolicyName, ProxyId, ServiceName, Wall};
use registry::{
    Actor, Check, Condition, Drain, Host, Instance, LeaseId, Note, Override, Period, PolicyAction,
    PolicyChange, PolicyDocument, PolicyRevision, Probe, Registration, Status, Target, Verdict, Weighed,
};
use serde::{Deserialize, Serialize};
use storage_catalog::{KnownProxy, Scope, Token};

use super::names;
use crate::access::TokenSpec;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) revision: u64,
    pub(super) made_at: Wall,
    /// The version of the server that wrote it.
    pub(super) server: String,
    pub(super) instances: u64,
    pub(super) tokens: u64,
    pub(super) proxies: u64,
    /// Version 1 knew none.
    #[serde(default)]
    pub(super) policies: u64,
}

/// What is looked at first, before it is known that the rest is understood.
#[derive(Debug, Deserialize)]
pub(super) struct Kind {
    pub(super) format: String,
    pub(super) version: u32,
}

/// Every other line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    Instance(Box<InstanceLine>),
    Token(TokenLine),
    Proxy(ProxyLine),
    Policy(Box<PolicyLine>),
    Sha256(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InstanceLine {
    namespace: Namespace,
    service: ServiceName,
    id: InstanceId,
    address: String,
    port: u16,
    zone: Option<String>,
    version: Option<String>,
    weight: u32,
    metadata: BTreeMap<String, String>,
    ttl_ns: Option<u64>,
    deregister_after_ns: Option<u64>,
    checks: Vec<CheckLine>,
    warm_up_ns: Option<u64>,
    status: String,
    reason: String,
    since: Wall,
    lease_id: String,
    registered_at: Wall,
    revision: u64,
    lapsed: Option<Wall>,
    is_cold: bool,
    drain: Option<NoteLine>,
    #[serde(rename = "override")]
    pinned: Option<OverrideLine>,
    /// Versions 1 and 2 knew none.
    #[serde(default)]
    weighed: Option<WeighedLine>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckLine {
    /// `http`, `tcp` or `grpc`.
    probe: String,
    /// The path of `http`, the service of `grpc`.
    asks: String,
    port: Option<u16>,
    interval_ns: u64,
    timeout_ns: u64,
    success_threshold: u32,
    failure_threshold: u32,
    verdict: String,
    /// Why it fails.
    why: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoteLine {
    by: String,
    at: Wall,
    reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OverrideLine {
    status: String,
    by: String,
    at: Wall,
    reason: String,
    until: Option<Wall>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WeighedLine {
    weight: u32,
    by: String,
    at: Wall,
    reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenLine {
    id: String,
    name: String,
    /// SHA-256 of the secret, 64 hexadecimal digits.
    hash: String,
    scopes: Vec<String>,
    namespaces: Vec<String>,
    created_at: Wall,
    expires_at: Option<Wall>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProxyLine {
    id: ProxyId,
    since: Wall,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyLine {
    namespace: Namespace,
    name: PolicyName,
    revision: u64,
    number: u64,
    at: Wall,
    action: String,
    actor: String,
    from: String,
    reason: String,
    service: Option<ServiceName>,
    /// The document, as a text in JSON.
    document: String,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn period(nanos: u64) -> Period {
    Duration::from_nanos(nanos).into()
}

fn period_nanos(period: Period) -> u64 {
    nanos(period.into())
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

impl From<(&Target, &Instance)> for InstanceLine {
    fn from((target, instance): (&Target, &Instance)) -> Self {
        let (registration, condition) = (&instance.registration, &instance.condition);
        InstanceLine {
            namespace: target.namespace.clone(),
            service: target.service.clone(),
            id: target.instance.clone(),
            address: registration.address.to_string(),
            port: registration.port,
            zone: registration.zone.as_deref().map(str::to_owned),
            version: registration.version.as_deref().map(str::to_owned),
            weight: registration.weight,
            metadata: registration.metadata.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            ttl_ns: registration.ttl.map(period_nanos),
            deregister_after_ns: registration.deregister_after.map(period_nanos),
            checks: registration.checks.iter().zip(&condition.verdicts).map(CheckLine::from).collect(),
            warm_up_ns: registration.warm_up.map(period_nanos),
            status: instance.status.to_string(),
            reason: instance.reason().into_owned(),
            since: instance.since,
            lease_id: instance.lease.to_string(),
            registered_at: instance.registered_at,
            revision: instance.revision,
            lapsed: condition.lapsed,
            is_cold: condition.is_cold,
            drain: condition.drain.as_deref().map(|drain| NoteLine::from(&drain.note)),
            pinned: condition.pinned.as_deref().map(OverrideLine::from),
            weighed: condition.weighed.as_deref().map(WeighedLine::from),
        }
    }
}

impl InstanceLine {
    /// What it means, checked like a registration.
    pub(super) fn read(self) -> Result<(Target, Instance), String> {
        let target = Target { namespace: self.namespace, service: self.service, instance: self.id };
        let read = self.checks.into_iter().map(CheckLine::read).collect::<Result<Vec<_>, _>>()?;
        let (checks, verdicts): (Vec<Check>, Vec<Verdict>) = read.into_iter().unzip();
        let registration = Registration {
            address: Host::parse(&self.address).map_err(text)?,
            port: self.port,
            zone: self.zone.map(Into::into),
            version: self.version.map(Into::into),
            weight: self.weight,
            metadata: self.metadata.into_iter().collect(),
            ttl: self.ttl_ns.map(period),
            deregister_after: self.deregister_after_ns.map(period),
            checks: checks.into(),
            warm_up: self.warm_up_ns.map(period),
        };
        let drain = self.drain.map(|note| Box::new(Drain { note: note.into(), revision: self.revision }));
        let condition = Condition {
            lapsed: self.lapsed,
            verdicts: verdicts.into(),
            is_cold: self.is_cold,
            drain,
            pinned: self.pinned.map(OverrideLine::read).transpose()?.map(Box::new),
            weighed: self.weighed.map(|line| Box::new(line.read())),
        };
        let instance = Instance {
            registration,
            condition: condition.into(),
            status: self.status.parse::<Status>().map_err(text)?,
            since: self.since,
            lease: self.lease_id.parse::<LeaseId>().map_err(text)?,
            registered_at: self.registered_at,
            revision: self.revision,
        };
        instance.check().map_err(text)?;
        Ok((target, instance))
    }
}

impl From<(&Check, &Verdict)> for CheckLine {
    fn from((check, verdict): (&Check, &Verdict)) -> Self {
        let (probe, asks) = match &check.probe {
            Probe::Http { path } => ("http", &**path),
            Probe::Tcp => ("tcp", ""),
            Probe::Grpc { service } => ("grpc", &**service),
        };
        let why = match verdict {
            Verdict::Failing(why) => why.to_string(),
            Verdict::Pending | Verdict::Passing => String::new(),
        };
        CheckLine {
            probe: probe.to_owned(),
            asks: asks.to_owned(),
            port: check.port,
            interval_ns: nanos(check.interval),
            timeout_ns: nanos(check.timeout),
            success_threshold: check.success_threshold,
            failure_threshold: check.failure_threshold,
            verdict: verdict.as_str().to_owned(),
            why,
        }
    }
}

impl CheckLine {
    fn read(self) -> Result<(Check, Verdict), String> {
        let asks = self.asks.into();
        let probe = match self.probe.as_str() {
            "http" => Probe::Http { path: asks },
            "tcp" => Probe::Tcp,
            "grpc" => Probe::Grpc { service: asks },
            other => return Err(format!("probe {other:?} is not valid: one of http, tcp, grpc")),
        };
        let verdict = match self.verdict.as_str() {
            "pending" => Verdict::Pending,
            "passing" => Verdict::Passing,
            "failing" => Verdict::Failing(self.why.into()),
            other => return Err(format!("verdict {other:?} is not valid: one of pending, passing, failing")),
        };
        let check = Check {
            probe,
            port: self.port,
            interval: Duration::from_nanos(self.interval_ns),
            timeout: Duration::from_nanos(self.timeout_ns),
            success_threshold: self.success_threshold,
            failure_threshold: self.failure_threshold,
        };
        Ok((check, verdict))
    }
}

impl From<&Note> for NoteLine {
    fn from(note: &Note) -> Self {
        NoteLine { by: note.by.to_string(), at: note.at, reason: note.reason.to_string() }
    }
}

impl From<NoteLine> for Note {
    fn from(line: NoteLine) -> Self {
        Note { by: line.by.into(), at: line.at, reason: line.reason.into() }
    }
}

impl From<&Override> for OverrideLine {
    fn from(pinned: &Override) -> Self {
        let NoteLine { by, at, reason } = (&pinned.note).into();
        OverrideLine { status: Status::from(pinned.status).to_string(), by, at, reason, until: pinned.until }
    }
}

impl OverrideLine {
    fn read(self) -> Result<Override, String> {
        let OverrideLine { status, by, at, reason, until } = self;
        Ok(Override {
            status: status.parse().map_err(text)?,
            note: NoteLine { by, at, reason }.into(),
            until,
        })
    }
}

impl From<&Weighed> for WeighedLine {
    fn from(weighed: &Weighed) -> Self {
        let NoteLine { by, at, reason } = (&weighed.note).into();
        WeighedLine { weight: weighed.weight, by, at, reason }
    }
}

impl WeighedLine {
    fn read(self) -> Weighed {
        let WeighedLine { weight, by, at, reason } = self;
        Weighed { weight, note: NoteLine { by, at, reason }.into() }
    }
}

impl From<&Token> for TokenLine {
    fn from(token: &Token) -> Self {
        TokenLine {
            id: token.id.clone(),
            name: token.name.clone(),
            hash: hex(&token.hash),
            scopes: token.scopes.iter().map(ToString::to_string).collect(),
            namespaces: names(&token.namespaces),
            created_at: token.created_at,
            expires_at: token.expires_at,
        }
    }
}

impl TokenLine {
    /// What it means, checked like one that is made.
    pub(super) fn read(self) -> Result<Token, String> {
        let hash = unhex(&self.hash).ok_or("a token's hash is not valid: 64 hexadecimal digits")?;
        let scopes = self.scopes.iter().map(|scope| scope.parse::<Scope>().map_err(text));
        let namespaces = self.namespaces.iter().map(|name| name.parse::<Namespace>().map_err(text));
        let spec = TokenSpec {
            name: self.name,
            scopes: scopes.collect::<Result<_, _>>()?,
            namespaces: namespaces.collect::<Result<_, _>>()?,
            ttl: None,
        };
        spec.check().map_err(|problem| problem.detail().to_owned())?;
        if self.id.len() != 16 || !self.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("a token's id is not valid: 16 hexadecimal digits".to_owned());
        }
        let TokenSpec { name, scopes, namespaces, .. } = spec;
        Ok(Token {
            id: self.id,
            name,
            hash,
            scopes,
            namespaces,
            created_at: self.created_at,
            expires_at: self.expires_at,
        })
    }
}

impl From<&KnownProxy> for ProxyLine {
    fn from(known: &KnownProxy) -> Self {
        ProxyLine { id: known.id.clone(), since: known.since }
    }
}

impl From<ProxyLine> for KnownProxy {
    fn from(line: ProxyLine) -> Self {
        KnownProxy { id: line.id, since: line.since }
    }
}

impl PolicyLine {
    /// The line of a policy; `None` where it is gone.
    pub(super) fn new(change: &PolicyChange) -> Option<Self> {
        let made = &change.made;
        let document = made.document.as_ref()?;
        Some(PolicyLine {
            namespace: change.namespace.clone(),
            name: change.name.clone(),
            revision: made.revision,
            number: made.number,
            at: made.at,
            action: made.action.as_str().to_owned(),
            actor: made.actor.name.to_string(),
            from: made.actor.from.to_string(),
            reason: made.reason.to_string(),
            service: document.service.clone(),
            document: document.text.to_string(),
        })
    }

    pub(super) fn read(self) -> Result<PolicyChange, String> {
        let action = PolicyAction::ALL.into_iter().find(|action| action.as_str() == self.action);
        let says = wire::policy::read(&self.document).map_err(text)?;
        if says.service != self.service {
            return Err("its document is for another service".to_owned());
        }
        let made = PolicyRevision {
            revision: self.revision,
            number: self.number,
            at: self.at,
            action: action.ok_or_else(|| format!("unknown action {:?}", self.action))?,
            actor: Actor { name: self.actor.into(), from: self.from.into() },
            reason: self.reason.into(),
            document: Some(PolicyDocument { service: self.service, text: self.document.into() }),
        };
        Ok(PolicyChange { namespace: self.namespace, name: self.name, made: Arc::new(made) })
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

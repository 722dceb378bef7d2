//! Policies as they are kept: each revision is a record, in the journal and in the snapshot alike.

use std::sync::Arc;

use identity::Wall;
use prost::Message;
use registry::{Actor, PolicyAction, PolicyChange, PolicyDocument, PolicyRevision};

/// One revision of one policy.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PolicyRecord {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(uint64, tag = "3")]
    revision: u64,
    #[prost(uint64, tag = "4")]
    number: u64,
    #[prost(fixed64, tag = "5")]
    at_unix_ns: u64,
    /// The word of [`PolicyAction::as_str`].
    #[prost(string, tag = "6")]
    action: String,
    #[prost(string, tag = "7")]
    actor: String,
    /// Where the actor's request came from.
    #[prost(string, tag = "8")]
    from: String,
    #[prost(string, tag = "9")]
    reason: String,
    /// What it says; absent where it is gone.
    #[prost(string, optional, tag = "10")]
    text: Option<String>,
    /// The service that it is for; absent for all of the namespace.
    #[prost(string, optional, tag = "11")]
    service: Option<String>,
}

impl From<&PolicyChange> for PolicyRecord {
    fn from(change: &PolicyChange) -> Self {
        let PolicyChange { namespace, name, made } = change;
        let document = made.document.as_ref();
        PolicyRecord {
            namespace: namespace.to_string(),
            name: name.to_string(),
            revision: made.revision,
            number: made.number,
            at_unix_ns: made.at.0,
            action: made.action.as_str().to_owned(),
            actor: made.actor.name.to_string(),
            from: made.actor.from.to_string(),
            reason: made.reason.to_string(),
            text: document.map(|document| document.text.to_string()),
            service: document.and_then(|document| document.service.as_ref()).map(ToString::to_string),
        }
    }
}

impl TryFrom<PolicyRecord> for PolicyChange {
    type Error = String;

    fn try_from(record: PolicyRecord) -> Result<Self, String> {
        let action = PolicyAction::ALL.into_iter().find(|action| action.as_str() == record.action);
        let service = record.service.map(|service| service.parse()).transpose();
        let service = service.map_err(|error: identity::Invalid| error.to_string())?;
        let document = record.text.map(|text| PolicyDocument { service, text: text.into() });
        let made = PolicyRevision {
            revision: record.revision,
            number: record.number,
            at: Wall(record.at_unix_ns),
            action: action.ok_or_else(|| format!("unknown action {:?} of a policy", record.action))?,
            actor: Actor { name: record.actor.into(), from: record.from.into() },
            reason: record.reason.into(),
            document,
        };
        Ok(PolicyChange {
            namespace: record.namespace.parse().map_err(|error: identity::Invalid| error.to_string())?,
            name: record.name.parse().map_err(|error: identity::Invalid| error.to_string())?,
            made: Arc::new(made),
        })
    }
}

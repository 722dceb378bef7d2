//! Following services over gRPC, to and from `bellwether.v1` (see `proto/bellwether/v1/discovery.proto`).

use identity::{InstanceId, Namespace, ServiceName};
use registry::Effect;

use super::channel::{Malformed, proto};

/// Services that one stream may name.
pub const SERVICES_MAX: usize = 64;
/// Bytes of what a client calls itself.
const SUBSCRIBER_MAX: usize = 128;

/// What a client wants to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// What it calls itself.
    pub subscriber: String,
    /// Where.
    pub namespace: Namespace,
    /// Which services; none stands for all.
    pub services: Vec<ServiceName>,
    /// The revision that it has already.
    pub since: Option<u64>,
}

/// What a client wants to follow, from a message.
///
/// # Errors
/// The field that breaks its rule.
pub fn subscribe_from_proto(message: proto::Subscribe) -> Result<Subscribe, Malformed> {
    let proto::Subscribe { subscriber, namespace, services, since } = message;
    if !(1..=SUBSCRIBER_MAX).contains(&subscriber.len()) || subscriber.chars().any(char::is_control) {
        return Err(Malformed::new("subscriber", "1 to 128 bytes without control characters"));
    }
    let namespace = match namespace.as_str() {
        "" => Namespace::default(),
        name => name.parse().map_err(|error| Malformed::new("namespace", error))?,
    };
    if services.len() > SERVICES_MAX {
        return Err(Malformed::new("services", format!("at most {SERVICES_MAX}; open another stream")));
    }
    let services = services.iter().map(|name| name.parse()).collect::<Result<Vec<ServiceName>, _>>();
    let services = services.map_err(|error| Malformed::new("services", error))?;
    Ok(Subscribe { subscriber, namespace, services, since })
}

/// Bytes of a message.
pub fn size(message: &impl prost::Message) -> usize {
    message.encoded_len()
}

/// An instance as a message.
pub fn instance_to_proto(id: &InstanceId, instance: &registry::Instance) -> proto::Instance {
    let registration = &instance.registration;
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
    let metadata = registration.metadata.iter();
    proto::Instance {
        id: id.to_string(),
        address: registration.address.to_string(),
        port: registration.port.into(),
        status: instance.status.to_string(),
        reason: instance.reason().into_owned(),
        since_unix_ns: instance.since.0,
        health: instance.condition.health().to_owned(),
        zone: text(&registration.zone),
        version: text(&registration.version),
        weight: instance.weight(),
        metadata: metadata.map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
        revision: instance.revision,
    }
}

/// A change as a message.
pub fn change_to_proto(change: &registry::Change) -> proto::Change {
    let registry::Change { target, cause, .. } = change;
    let left = match &change.effect {
        Effect::Put(put) => Some(instance_to_proto(&target.instance, put)),
        Effect::Removed | Effect::Leased(_) => None,
    };
    proto::Change {
        revision: change.revision,
        at_unix_ns: change.at.0,
        service: target.service.to_string(),
        instance_id: target.instance.to_string(),
        action: cause.action.as_str().to_owned(),
        actor: cause.actor.name.to_string(),
        from: cause.actor.from.to_string(),
        reason: cause.reason.to_string(),
        instance: left,
    }
}

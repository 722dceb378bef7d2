//! Hello and update, to and from `bellwether.v1`.

use std::time::Duration;

use registry::Host;
use resilience::{Force, State};

use super::policy::{policy_update_from_proto, policy_update_to_proto};
use super::tap::{tap_from_proto, tap_to_proto};
use super::{Endpoint, Hello, Malformed, Override, ServiceUpdate, Update, WarmUp, proto};

/// A hello as a message.
pub fn hello_to_proto(hello: &Hello) -> proto::Hello {
    proto::Hello {
        proxy: hello.proxy.to_string(),
        epoch: hello.epoch,
        version: hello.version.clone(),
        since: hello.since,
    }
}

/// A hello from a message.
///
/// # Errors
/// The field that breaks its rule.
pub fn hello_from_proto(hello: proto::Hello) -> Result<Hello, Malformed> {
    let proto::Hello { proxy, epoch, version, since } = hello;
    let proxy = proxy.parse().map_err(|e| Malformed::new("proxy", e))?;
    if version.len() > 128 || version.chars().any(char::is_control) {
        return Err(Malformed::new("version", "at most 128 bytes without control characters"));
    }
    Ok(Hello { proxy, epoch, version, since })
}

/// An update as a message.
pub fn update_to_proto(update: &Update) -> proto::WatchResponse {
    let endpoint = |endpoint: &Endpoint| proto::Endpoint {
        instance: endpoint.instance.to_string(),
        address: endpoint.host.to_string(),
        port: endpoint.port.into(),
        status: endpoint.status.to_string(),
        weight: endpoint.weight,
        zone: text(endpoint.zone.as_deref()),
        version: text(endpoint.version.as_deref()),
        warm_up: endpoint.warm_up.map(|WarmUp { elapsed, over }| proto::WarmUp {
            elapsed_ns: nanos(elapsed),
            over_ns: nanos(over),
        }),
    };
    let service = |service: &ServiceUpdate| proto::Service {
        namespace: service.namespace.to_string(),
        service: service.service.to_string(),
        endpoints: service.endpoints.iter().map(endpoint).collect(),
    };
    proto::WatchResponse {
        revision: update.revision,
        snapshot: update.snapshot,
        services: update.services.iter().map(service).collect(),
        policies: update.policies.iter().map(policy_update_to_proto).collect(),
        overrides: update.overrides.iter().map(override_to_proto).collect(),
        taps: update.taps.as_ref().map(|taps| proto::Taps { taps: taps.iter().map(tap_to_proto).collect() }),
    }
}

/// An update from a message.
///
/// # Errors
/// The field that breaks its rule. An update is taken whole or not at all.
pub fn update_from_proto(update: proto::WatchResponse) -> Result<Update, Malformed> {
    let services = update.services.into_iter().map(service_from_proto).collect::<Result<_, _>>()?;
    let policies = update.policies.into_iter().map(policy_update_from_proto).collect::<Result<_, _>>()?;
    let overrides = update.overrides.into_iter().map(override_from_proto).collect::<Result<_, _>>()?;
    let taps = |taps: proto::Taps| taps.taps.into_iter().map(tap_from_proto).collect::<Result<_, _>>();
    let taps = update.taps.map(taps).transpose()?;
    Ok(Update { revision: update.revision, snapshot: update.snapshot, services, policies, overrides, taps })
}

/// An update as bytes that are kept: the message of the gRPC channel, which later versions go on reading.
pub fn update_to_bytes(update: &Update) -> Vec<u8> {
    prost::Message::encode_to_vec(&update_to_proto(update))
}

/// An update from bytes that were kept.
///
/// # Errors
/// The field that breaks its rule, or `update` where the bytes are no message.
pub fn update_from_bytes(bytes: &[u8]) -> Result<Update, Malformed> {
    let message: proto::WatchResponse =
        prost::Message::decode(bytes).map_err(|error| Malformed::new("update", error))?;
    update_from_proto(message)
}

/// The states to which a breaker is forced by these words; `closed` is the end of all force.
const FORCES: [(State, Force); 3] = [
    (State::ForcedOpen, Force::Open),
    (State::ForcedClosed, Force::Closed),
    (State::Disabled, Force::Disabled),
];

fn override_to_proto(of: &Override) -> proto::Override {
    let state = FORCES.iter().find(|(_, force)| Some(*force) == of.force);
    proto::Override {
        namespace: of.namespace.to_string(),
        service: of.service.to_string(),
        number: of.number,
        state: state.map_or(State::Closed, |(state, _)| *state).to_string(),
        left_ns: nanos(of.left),
        note: of.note.clone(),
    }
}

fn override_from_proto(of: proto::Override) -> Result<Override, Malformed> {
    let state: State = of.state.parse().map_err(|e| Malformed::new("state", e))?;
    let force = match FORCES.iter().find(|(forced, _)| *forced == state) {
        Some((_, force)) => Some(*force),
        None if state == State::Closed => None,
        None => return Err(Malformed::new("state", "forced_open, forced_closed, disabled or closed")),
    };
    Ok(Override {
        namespace: of.namespace.parse().map_err(|e| Malformed::new("namespace", e))?,
        service: of.service.parse().map_err(|e| Malformed::new("service", e))?,
        number: of.number,
        force,
        left: Duration::from_nanos(of.left_ns),
        note: of.note,
    })
}

fn service_from_proto(service: proto::Service) -> Result<ServiceUpdate, Malformed> {
    Ok(ServiceUpdate {
        namespace: service.namespace.parse().map_err(|e| Malformed::new("namespace", e))?,
        service: service.service.parse().map_err(|e| Malformed::new("service", e))?,
        endpoints: service.endpoints.into_iter().map(endpoint_from_proto).collect::<Result<_, _>>()?,
    })
}

fn endpoint_from_proto(endpoint: proto::Endpoint) -> Result<Endpoint, Malformed> {
    let port = u16::try_from(endpoint.port).ok().filter(|port| *port != 0);
    Ok(Endpoint {
        instance: endpoint.instance.parse().map_err(|e| Malformed::new("instance", e))?,
        host: Host::parse(&endpoint.address).map_err(|e| Malformed::new("address", e))?,
        port: port.ok_or_else(|| Malformed::new("port", "a number from 1 to 65535"))?,
        status: endpoint.status.parse().map_err(|e| Malformed::new("status", e))?,
        weight: endpoint.weight,
        zone: some(endpoint.zone),
        version: some(endpoint.version),
        warm_up: endpoint.warm_up.map(warm_up_from_proto).transpose()?,
    })
}

fn warm_up_from_proto(warm_up: proto::WarmUp) -> Result<WarmUp, Malformed> {
    let proto::WarmUp { elapsed_ns, over_ns } = warm_up;
    if over_ns == 0 || elapsed_ns > over_ns {
        return Err(Malformed::new("warm_up", "elapsed at most over, and over more than nothing"));
    }
    Ok(WarmUp { elapsed: Duration::from_nanos(elapsed_ns), over: Duration::from_nanos(over_ns) })
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

/// Proto3 writes nothing as an empty text.
fn some(text: String) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}

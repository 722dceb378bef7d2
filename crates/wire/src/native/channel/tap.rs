//! Calls as they go by: who wants to see which (down), and what went by (up), to and from `bellwether.v1`.
//!
//! Unlike a report none of it is kept. What is decided where the calls are, is which of them match and how
//! many of them travel.

use std::{fmt, str::FromStr};

use identity::{InstanceId, Namespace, ProxyId, ServiceName, TraceId, Wall};
use monitoring::Outcome;

use super::{Malformed, proto, up::outcome};

/// Somebody who wants to see the calls of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// Tells it from others.
    pub number: u64,
    /// The namespace.
    pub namespace: Namespace,
    /// The service.
    pub service: ServiceName,
    /// Only calls whose clients were told this; `None`: all.
    pub status: Option<StatusFilter>,
    /// How many calls a second each proxy tells at most. Beyond it they are counted.
    pub per_second: u32,
}

/// Which statuses are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusFilter {
    /// A class by its first digit, such as 5 for `5xx`.
    Class(u8),
    /// One status.
    Code(u16),
}

impl StatusFilter {
    /// Whether a status is meant. A call without one has the status 0, and is never.
    pub fn covers(self, status: u16) -> bool {
        match self {
            Self::Class(class) => status / 100 == u16::from(class),
            Self::Code(code) => status == code,
        }
    }
}

impl fmt::Display for StatusFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(class) => write!(f, "{class}xx"),
            Self::Code(code) => write!(f, "{code}"),
        }
    }
}

/// A text that means no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not valid: a class such as 5xx, or a status such as 503")]
pub struct NoStatus(String);

impl FromStr for StatusFilter {
    type Err = NoStatus;

    fn from_str(text: &str) -> Result<Self, NoStatus> {
        let no_status = || NoStatus(text.to_owned());
        match text.as_bytes() {
            [digit @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => Ok(Self::Class(digit - b'0')),
            [b'1'..=b'5', _, _] => text.parse().map(Self::Code).map_err(|_| no_status()),
            _ => Err(no_status()),
        }
    }
}

/// Calls that went by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tapped {
    /// In which proxy.
    pub proxy: ProxyId,
    /// The calls, each with the tap that asked for it.
    pub calls: Vec<TappedCall>,
    /// Calls that were asked for and are not among them, by tap.
    pub left_out: Vec<(u64, u64)>,
}

/// A call that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TappedCall {
    /// The number of the tap that asked for it.
    pub tap: u64,
    /// When it began.
    pub at: Wall,
    /// Who called.
    pub caller: ServiceName,
    /// The method.
    pub method: Box<str>,
    /// The path without its query, in which people put secrets.
    pub path: Box<str>,
    /// What the client was told; 0 where it had gone.
    pub status: u16,
    /// How it is counted.
    pub outcome: Outcome,
    /// How long it took.
    pub duration_ns: u64,
    /// The instance that was tried last, and its address; `None` where none was.
    pub endpoint: Option<(InstanceId, Box<str>)>,
    /// How many attempts were made.
    pub attempts: u32,
    /// Why the proxy answered by itself; empty where the service did.
    pub refused: Box<str>,
    /// The same at length.
    pub detail: Box<str>,
    /// Its trace, which may not have been kept.
    pub trace_id: TraceId,
}

pub(super) fn tap_to_proto(tap: &Tap) -> proto::Tap {
    proto::Tap {
        number: tap.number,
        namespace: tap.namespace.to_string(),
        service: tap.service.to_string(),
        status: tap.status.map(|status| status.to_string()).unwrap_or_default(),
        per_second: tap.per_second,
    }
}

pub(super) fn tap_from_proto(tap: proto::Tap) -> Result<Tap, Malformed> {
    let status = (!tap.status.is_empty()).then(|| tap.status.parse()).transpose();
    Ok(Tap {
        number: tap.number,
        namespace: tap.namespace.parse().map_err(|e| Malformed::new("namespace", e))?,
        service: tap.service.parse().map_err(|e| Malformed::new("service", e))?,
        status: status.map_err(|e| Malformed::new("status", e))?,
        per_second: tap.per_second,
    })
}

/// Calls as a message.
pub fn tapped_to_proto(tapped: &Tapped) -> proto::TappedRequest {
    proto::TappedRequest {
        proxy: tapped.proxy.to_string(),
        calls: tapped.calls.iter().map(call_to_proto).collect(),
        left_out: tapped.left_out.iter().copied().collect(),
    }
}

/// Calls from a message.
///
/// # Errors
/// The field that breaks its rule.
pub fn tapped_from_proto(tapped: proto::TappedRequest) -> Result<Tapped, Malformed> {
    let mut left_out: Vec<_> = tapped.left_out.into_iter().collect();
    left_out.sort_unstable();
    Ok(Tapped {
        proxy: tapped.proxy.parse().map_err(|e| Malformed::new("proxy", e))?,
        calls: tapped.calls.into_iter().map(call_from_proto).collect::<Result<_, _>>()?,
        left_out,
    })
}

fn call_to_proto(call: &TappedCall) -> proto::TappedCall {
    let (instance, address) = match &call.endpoint {
        Some((instance, address)) => (instance.to_string(), address.to_string()),
        None => Default::default(),
    };
    proto::TappedCall {
        tap: call.tap,
        at_unix_ns: call.at.0,
        caller: call.caller.to_string(),
        method: call.method.to_string(),
        path: call.path.to_string(),
        status: call.status.into(),
        outcome: call.outcome.as_str().to_owned(),
        duration_ns: call.duration_ns,
        instance,
        address,
        attempts: call.attempts,
        refused: call.refused.to_string(),
        detail: call.detail.to_string(),
        trace_id: call.trace_id.to_bytes().to_vec(),
    }
}

fn call_from_proto(call: proto::TappedCall) -> Result<TappedCall, Malformed> {
    let instance = (!call.instance.is_empty()).then(|| call.instance.parse()).transpose();
    let instance = instance.map_err(|e| Malformed::new("instance", e))?;
    let trace_id = TraceId::from_bytes(&call.trace_id);
    Ok(TappedCall {
        tap: call.tap,
        at: Wall(call.at_unix_ns),
        caller: call.caller.parse().map_err(|e| Malformed::new("caller", e))?,
        method: call.method.into(),
        path: call.path.into(),
        status: u16::try_from(call.status).map_err(|e| Malformed::new("status", e))?,
        outcome: outcome(&call.outcome)?,
        duration_ns: call.duration_ns,
        endpoint: instance.map(|instance| (instance, call.address.into())),
        attempts: call.attempts,
        refused: call.refused.into(),
        detail: call.detail.into(),
        trace_id: trace_id.ok_or_else(|| Malformed::new("trace_id", "16 bytes, not all zero"))?,
    })
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_status_is_a_class_or_a_code_and_says_so_again() {
        for text in ["5xx", "404", "1xx", "599"] {
            assert_eq!(text.parse::<StatusFilter>().unwrap().to_string(), text);
        }
        assert_eq!("4XX".parse(), Ok(StatusFilter::Class(4)));
        for bad in ["", "6xx", "099", "600", "5x", "ok", "5xxx", "äx"] {
            assert!(bad.parse::<StatusFilter>().is_err(), "{bad}");
        }
        assert!(StatusFilter::Class(5).covers(503) && !StatusFilter::Class(5).covers(404));
        assert!(StatusFilter::Code(404).covers(404) && !StatusFilter::Class(1).covers(0));
    }

    #[test]
    fn tapped_calls_mean_the_same_over_grpc_as_in_process() {
        let call = TappedCall {
            tap: 3,
            at: Wall(1_000),
            caller: "gateway".parse().unwrap(),
            method: "GET".into(),
            path: "/items/7".into(),
            status: 503,
            outcome: Outcome::Refused,
            duration_ns: 55,
            endpoint: Some(("cart-1".parse().unwrap(), "10.0.0.7:80".into())),
            attempts: 2,
            refused: "breaker_open".into(),
            detail: "the circuit breaker is open".into(),
            trace_id: TraceId::new(7).unwrap(),
        };
        let alone = TappedCall { endpoint: None, attempts: 0, ..call.clone() };
        let proxy = "gateway-1".parse().unwrap();
        let tapped = Tapped { proxy, calls: vec![call, alone], left_out: vec![(3, 12), (4, 1)] };
        let bytes = tapped_to_proto(&tapped).encode_to_vec();
        let message = proto::TappedRequest::decode(bytes.as_slice()).unwrap();
        assert_eq!(tapped_from_proto(message), Ok(tapped));
    }
}

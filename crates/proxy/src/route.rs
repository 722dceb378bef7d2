//! Which service a call is for.
//!
//! Any service by its name: `payments`, or `payments.production` with its namespace. A port is ignored,
//! because clients add the proxy's own.

use std::{borrow::Cow, net::Ipv4Addr, sync::Arc};

use http::{HeaderMap, Method, Uri, header, request::Parts, uri::PathAndQuery};
use identity::Namespace;
use wire::native::nearest;

use crate::{
    refusal::{Reason, Refusal},
    routing::{Routing, Service},
};

/// RFC 1035 has no longer names.
const HOST_BYTES: usize = 255;

/// The service that a request names.
pub(crate) fn find(routing: &Routing, default: &Namespace, request: &Parts) -> Result<Arc<Service>, Refusal> {
    if request.method == Method::CONNECT {
        return Err(Refusal::new(Reason::MethodNotAllowed, "CONNECT asks for a tunnel to any address")
            .next("call the service by its name instead"));
    }
    let target = request.uri.path_and_query().map_or("", PathAndQuery::as_str);
    if !target.is_ascii() {
        return Err(Refusal::new(Reason::Malformed, "the request's target is not ASCII")
            .next("write other characters as %XX (RFC 3986)"));
    }
    let host = host(&request.uri, &request.headers)?;
    if is_address(&host) {
        let detail = format!("the call is for the address {host:?}, which is no service's name");
        return Err(Refusal::new(Reason::HostMissing, detail));
    }
    let (service, namespace) = split(&host, default.as_str());
    if let Some(service) = routing.find(namespace, service) {
        return Ok(service.clone());
    }
    if routing.revision.is_none() {
        return Err(Refusal::new(Reason::NoSnapshot, "this proxy has not heard from its control plane yet"));
    }
    let refusal = Refusal::new(
        Reason::NoRoute,
        format!("no service {service:?} is registered in namespace {namespace:?}"),
    );
    Err(match nearest(service, routing.names(namespace)) {
        Some(near) => refusal.next(format!("did you mean {near:?}?")),
        None => refusal,
    })
}

/// The host of a request, lower-case, without port.
pub(crate) fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Cow<'a, str>, Refusal> {
    let missing = || Refusal::new(Reason::HostMissing, "the request has no Host header");
    let host = match uri.host() {
        // RFC 9112, section 3.2.2: an absolute target stands above the header.
        Some(host) => host,
        None => {
            let mut hosts = headers.get_all(header::HOST).iter();
            let host = hosts.next().ok_or_else(missing)?;
            if hosts.next().is_some() {
                return Err(Refusal::new(Reason::Malformed, "the request has more than one Host header"));
            }
            host.to_str().map_err(|_| Refusal::new(Reason::Malformed, "the Host header is not ASCII"))?
        }
    };
    let host = without_port(host);
    match host {
        "" => Err(missing()),
        host if host.len() > HOST_BYTES => {
            let detail = format!("the Host header is longer than the {HOST_BYTES} bytes of any name");
            Err(Refusal::new(Reason::Malformed, detail))
        }
        host if host.bytes().any(|b| b.is_ascii_uppercase()) => Ok(Cow::Owned(host.to_ascii_lowercase())),
        host => Ok(Cow::Borrowed(host)),
    }
}

/// Whether a host is an address, as clients send it that were given no name: then it names no service,
/// and `127` of namespace `0.0.1` is nobody's meaning.
fn is_address(host: &str) -> bool {
    let may_be = host.ends_with(|last: char| last.is_ascii_digit());
    host.starts_with('[') || may_be && host.parse::<Ipv4Addr>().is_ok()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Service and namespace of a host.
fn split<'a>(host: &'a str, default: &'a str) -> (&'a str, &'a str) {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.split_once('.').unwrap_or((host, default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_service_with_or_without_namespace_and_its_port_is_ignored() {
        let check = |value: &str, expected: (&str, &str)| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, value.parse().unwrap());
            let uri = Uri::from_static("/");
            let host = host(&uri, &headers).unwrap_or_else(|refusal| panic!("{value}: {refusal:?}"));
            assert_eq!(split(&host, "default"), expected, "{value}");
        };
        check("payments", ("payments", "default"));
        check("payments:8000", ("payments", "default"));
        check("Payments.Production:80", ("payments", "production"));
        check("payments.production.", ("payments", "production"));
        check("payments.", ("payments", "default"));
        check("a.b.c", ("a", "b.c"));
    }

    #[test]
    fn no_host_or_two_hosts_are_refused() {
        let mut headers = HeaderMap::new();
        let uri = Uri::from_static("/");
        let reason = |headers: &HeaderMap| host(&uri, headers).expect_err("a refusal").reason;
        assert_eq!(reason(&headers), Reason::HostMissing);
        headers.insert(header::HOST, ":80".parse().unwrap());
        assert_eq!(reason(&headers), Reason::HostMissing);
        headers.append(header::HOST, "cart".parse().unwrap());
        assert_eq!(reason(&headers), Reason::Malformed);
    }
}

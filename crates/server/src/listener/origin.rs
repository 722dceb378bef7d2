//! Who a request says it is meant for, and which page sent it.
//!
//! A web page can reach loopback under a name of its own whose address it changes (DNS rebinding):
//! the browser then takes both for the same site. What it cannot change is the Host header, so on
//! loopback only loopback's own names are answered. And it can send simple requests to other sites
//! without asking them first; so a change that a browser sends must come from our own pages. Clients
//! that are not browsers send neither `Origin` nor `Sec-Fetch-Site` and notice nothing of this.

use std::{net::IpAddr, sync::OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header, uri::Authority};
use wire::native::problem::{Code, Problem};

use super::{Reason, bind::is_loopback};

/// Which names a listener answers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Any: for a listener that other machines reach, under names that we do not know.
    Any,
    /// `localhost`, names below it, loopback addresses, and these.
    Loopback(Vec<String>),
}

impl Hosts {
    /// The rule for a listener on this address; `names` are those that the operator adds.
    pub fn for_address(ip: IpAddr, names: Vec<String>) -> Self {
        if is_loopback(ip) { Self::Loopback(names) } else { Self::Any }
    }

    fn allow(&self, host: &str) -> bool {
        let Self::Loopback(names) = self else { return true };
        let host = host.trim_end_matches('.');
        if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            return is_loopback(ip) || names.iter().any(|name| name == host);
        }
        let localhost = host.len().checked_sub("localhost".len()).and_then(|at| {
            let (below, last) = (host.get(..at)?, host.get(at..)?);
            Some(last.eq_ignore_ascii_case("localhost") && (below.is_empty() || below.ends_with('.')))
        });
        localhost == Some(true) || names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The first host of a connection's requests that was found to be ours. Nearly every request repeats it, and
/// the same bytes need not be taken apart again.
#[derive(Debug, Default)]
pub(super) struct Known(OnceLock<HeaderValue>);

impl Known {
    /// Whether the request repeats it and says nothing else that has to be looked at.
    fn covers<B>(&self, request: &Request<B>) -> bool {
        let headers = request.headers();
        let mut values = headers.get_all(header::HOST).iter();
        let host = values.next();
        host.is_some()
            && host == self.0.get()
            && values.next().is_none()
            && request.uri().authority().is_none()
            && !headers.contains_key(header::ORIGIN)
            && !headers.contains_key(SEC_FETCH_SITE)
    }

    /// The request's host is ours.
    fn learn<B>(&self, request: &Request<B>) {
        if request.uri().authority().is_none()
            && self.0.get().is_none()
            && let Some(host) = request.headers().get(header::HOST)
        {
            // Another request of the same connection may have been quicker.
            let _ = self.0.set(host.clone());
        }
    }
}

/// Checks host and origin of a request's head. `known` is its connection's.
pub(super) fn check<B>(hosts: &Hosts, known: &Known, request: &Request<B>) -> Result<(), (Reason, Problem)> {
    if known.covers(request) {
        return Ok(());
    }
    check_anew(hosts, request)?;
    known.learn(request);
    Ok(())
}

fn check_anew<B>(hosts: &Hosts, request: &Request<B>) -> Result<(), (Reason, Problem)> {
    let authority = authority(request).map_err(|problem| (Reason::Malformed, problem))?;
    if let Some(authority) = &authority
        && !hosts.allow(authority.host())
    {
        let detail = format!("the request is for host \"{}\"", authority.host());
        return Err((Reason::Host, Problem::new(Code::HostNotAllowed, detail).at("host")));
    }
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !safe && let Some(from) = foreign_page(request.headers(), authority.as_ref()) {
        let detail = format!("a page of {from} wants to {} {}", request.method(), request.uri().path());
        return Err((Reason::Origin, Problem::new(Code::CrossOrigin, detail).at("origin")));
    }
    Ok(())
}

/// Host and port that the request is for: from the request's target, or the one Host header.
fn authority<B>(request: &Request<B>) -> Result<Option<Authority>, Problem> {
    let malformed = |detail: &str| Problem::new(Code::MalformedRequest, detail).at("host");
    let mut values = request.headers().get_all(header::HOST).iter();
    let host = values.next();
    if values.next().is_some() {
        return Err(malformed("the request has more than one Host header"));
    }
    let host = match host {
        // An empty one is allowed (RFC 9110, section 7.2) and names nobody.
        Some(value) if value.is_empty() => return Err(malformed("the Host header is empty")),
        Some(value) => {
            let authority = Authority::try_from(value.as_bytes());
            Some(authority.map_err(|_| malformed("the Host header is no host name"))?)
        }
        None => None,
    };
    let authority = request.uri().authority().cloned().or(host);
    if authority.as_ref().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(malformed("the request's host has a user name"));
    }
    // Only HTTP/1.0 may go without, and no browser speaks it.
    if authority.is_none() && request.version() != Version::HTTP_10 {
        return Err(malformed("the request has no Host header"));
    }
    Ok(authority)
}

/// The page that a browser sent this request for, if that is not one of ours.
fn foreign_page(headers: &HeaderMap, authority: Option<&Authority>) -> Option<String> {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    if let Some(origin) = text(header::ORIGIN)
        && !authority.is_some_and(|authority| is_origin_of(&origin, authority))
    {
        return Some(format!("\"{}\"", origin.escape_debug()));
    }
    let site = text(SEC_FETCH_SITE)?;
    (site != "same-origin" && site != "none").then(|| "another site".to_owned())
}

/// Whether `origin` (`scheme://host[:port]`) is where `authority` is served. The scheme only gives
/// the port that is meant where none is written: behind a proxy that ends TLS ours is another one.
fn is_origin_of(origin: &str, authority: &Authority) -> bool {
    let (default_port, rest) = match origin.split_once("://") {
        Some(("http", rest)) => (80, rest),
        Some(("https", rest)) => (443, rest),
        _ => return false,
    };
    rest.parse::<Authority>().is_ok_and(|origin| {
        origin.host().eq_ignore_ascii_case(authority.host())
            && origin.port_u16().unwrap_or(default_port) == authority.port_u16().unwrap_or(default_port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(hosts: &Hosts, method: &str, headers: &[(&str, &str)]) -> Option<Reason> {
        let mut request = Request::builder().method(method).uri("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let known = Known::default();
        let reason = || check(hosts, &known, &request).err().map(|(reason, _)| reason);
        let first = reason();
        assert_eq!(reason(), first, "the same again on the same connection: {headers:?}");
        first
    }

    #[test]
    fn a_host_that_is_known_vouches_for_nothing_else() {
        let hosts = Hosts::Loopback(Vec::new());
        let known = Known::default();
        let refused = |method: &str, uri: &str, headers: &[(&str, &str)]| {
            let request = headers
                .iter()
                .fold(Request::builder().method(method).uri(uri), |request, (name, value)| {
                    request.header(*name, *value)
                })
                .body(())
                .unwrap();
            check(&hosts, &known, &request).err().map(|(reason, _)| reason)
        };
        let own = ("host", "localhost:2355");
        assert_eq!(refused("POST", "/x", &[("host", "evil.test")]), Some(Reason::Host));
        assert_eq!(refused("POST", "/x", &[own]), None);
        assert!(known.0.get().is_some_and(|host| host == own.1));
        assert_eq!(refused("POST", "/x", &[own]), None);
        assert_eq!(refused("POST", "/x", &[("host", "evil.test")]), Some(Reason::Host));
        assert_eq!(refused("POST", "http://evil.test/x", &[own]), Some(Reason::Host));
        assert_eq!(refused("POST", "/x", &[own, own]), Some(Reason::Malformed));
        assert_eq!(refused("POST", "/x", &[own, ("origin", "http://evil.test")]), Some(Reason::Origin));
        assert_eq!(refused("POST", "/x", &[own, ("sec-fetch-site", "cross-site")]), Some(Reason::Origin));
        assert_eq!(refused("POST", "/x", &[]), Some(Reason::Malformed));
    }

    #[test]
    fn loopback_answers_to_its_own_names_only() {
        let hosts = Hosts::Loopback(vec!["bellwether.test".to_owned()]);
        let own =
            ["localhost", "LOCALHOST:2355", "localhost.", "console.localhost", "127.0.0.1:1", "127.8.8.8"];
        for host in own.into_iter().chain(["[::1]:2355", "[::ffff:127.0.0.1]", "Bellwether.test"]) {
            assert_eq!(refused(&hosts, "GET", &[("host", host)]), None, "{host}");
        }
        let other =
            ["evil.test", "notlocalhost", "localhost.evil.test", "192.168.1.1", "[fe80::1]", "0.0.0.0"];
        for host in other.into_iter().chain(["127.0.0.1.evil.test", "2130706433"]) {
            assert_eq!(refused(&hosts, "GET", &[("host", host)]), Some(Reason::Host), "{host}");
            assert_eq!(refused(&Hosts::Any, "GET", &[("host", host)]), None, "{host}");
        }
    }

    #[test]
    fn a_host_that_is_missing_doubled_or_has_a_user_is_malformed() {
        for headers in [
            &[][..],
            &[("host", "")],
            &[("host", "a b")],
            &[("host", "localhost@evil.test")],
            &[("host", "localhost"), ("host", "localhost")],
        ] {
            assert_eq!(refused(&Hosts::Any, "GET", headers), Some(Reason::Malformed), "{headers:?}");
        }
    }

    #[test]
    fn a_browser_may_change_things_from_our_own_pages_only() {
        let with = |name, value| refused(&Hosts::Any, "POST", &[("host", "localhost:2355"), (name, value)]);
        for origin in ["http://localhost:2355", "https://localhost:2355", "http://LOCALHOST:2355"] {
            assert_eq!(with("origin", origin), None, "{origin}");
        }
        for origin in ["http://localhost", "http://localhost:3000", "http://evil.test:2355", "null", ""] {
            assert_eq!(with("origin", origin), Some(Reason::Origin), "{origin}");
        }
        assert_eq!(with("sec-fetch-site", "same-origin"), None);
        assert_eq!(with("sec-fetch-site", "none"), None);
        assert_eq!(with("sec-fetch-site", "same-site"), Some(Reason::Origin));
        assert_eq!(with("sec-fetch-site", "cross-site"), Some(Reason::Origin));
        assert_eq!(with("user-agent", "curl"), None);
    }

    #[test]
    fn reading_is_not_asked_for_its_origin_and_default_ports_are_understood() {
        let headers = [("host", "localhost"), ("origin", "http://evil.test")];
        assert_eq!(refused(&Hosts::Any, "GET", &headers), None);
        let headers = [("host", "console.example"), ("origin", "https://console.example")];
        assert_eq!(refused(&Hosts::Any, "DELETE", &headers), None);
        let headers = [("host", "console.example:443"), ("origin", "https://console.example")];
        assert_eq!(refused(&Hosts::Any, "DELETE", &headers), None);
    }
}

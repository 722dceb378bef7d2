//! What calls have in common that shall go to the same endpoint, or that share a limit.
//!
//! A key is taken from the request as it came, byte by byte: what is written differently is a different
//! key. What has no key, or an empty one, has nothing in common with anything.

use std::{borrow::Cow, net::IpAddr};

use http::{header, request::Parts};
use resilience::HashKey;

/// The key of a request; `None` where it has none.
pub(crate) fn of<'a>(key: &HashKey, parts: &'a Parts, peer: IpAddr) -> Option<Cow<'a, [u8]>> {
    let found = match key {
        HashKey::Header(name) => parts.headers.get(&**name).map(|value| Cow::Borrowed(value.as_bytes())),
        HashKey::Cookie(name) => cookie(parts, name).map(Cow::Borrowed),
        HashKey::Query(name) => parameter(parts.uri.query()?, name).map(Cow::Borrowed),
        HashKey::Path => Some(Cow::Borrowed(parts.uri.path().as_bytes())),
        HashKey::Source => Some(Cow::Owned(match peer.to_canonical() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        })),
    };
    found.filter(|key| !key.is_empty())
}

/// The value of the first cookie of this name (RFC 6265, section 5.4).
fn cookie<'a>(parts: &'a Parts, name: &str) -> Option<&'a [u8]> {
    let values = parts.headers.get_all(header::COOKIE).iter().map(|value| value.as_bytes());
    let mut pairs = values.flat_map(|value| value.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    pairs.find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The value of the first parameter of this name, as it is written.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a [u8]> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::Request;

    use super::*;

    #[test]
    fn a_key_is_found_where_the_policy_says_and_nowhere_else() {
        let request = Request::get("/cart/7?user=ab%20c&item=&user=x")
            .header("x-user-id", "42")
            .header("cookie", "a=1; session=s-1")
            .header("cookie", "session=s-2; empty=");
        let parts = request.body(()).unwrap().into_parts().0;
        let peer = Ipv4Addr::new(10, 0, 0, 7).to_ipv6_mapped().into();
        let check = |key: HashKey, expected: Option<&[u8]>| {
            assert_eq!(of(&key, &parts, peer).as_deref(), expected, "{key:?}");
        };
        check(HashKey::Header("x-user-id".into()), Some(b"42"));
        check(HashKey::Header("x-user".into()), None);
        check(HashKey::Cookie("session".into()), Some(b"s-1"));
        check(HashKey::Cookie("empty".into()), None);
        check(HashKey::Cookie("sess".into()), None);
        check(HashKey::Query("user".into()), Some(b"ab%20c"));
        check(HashKey::Query("item".into()), None);
        check(HashKey::Path, Some(b"/cart/7"));
        check(HashKey::Source, Some(&[10, 0, 0, 7]));
    }
}

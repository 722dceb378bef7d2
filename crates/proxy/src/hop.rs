//! What concerns a single connection and must not travel on (RFC 9110, section 7.6.1).

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers of one connection, whether `Connection` names them or not.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
];

/// Headers that begin like this are ours; nobody else's are believed or passed on.
const OUR_PREFIX: &str = "bellwether-";

/// How a body is wrapped for its way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    None,
    Chunked,
    /// Compressed for the way. Unwrapping only the chunks of such a body would deliver rubbish.
    Other,
}

pub(crate) fn coding(headers: &HeaderMap) -> Coding {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Coding::None,
        (Some(one), None) if one.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
        _ => Coding::Other,
    }
}

/// The protocol that a message wants to change to, or changes to.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<&HeaderValue> {
    let protocol = headers.get(header::UPGRADE)?;
    tokens(headers, &header::CONNECTION)
        .any(|token| token.eq_ignore_ascii_case("upgrade"))
        .then_some(protocol)
}

/// Removes what concerned only the connection that a message came by.
pub(crate) fn strip(headers: &mut HeaderMap) {
    // Most messages have none, and looking at each name once costs less than looking for each of ours.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    let trailers = tokens(headers, &header::TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    if headers.contains_key(header::CONNECTION) {
        // A client may not have its Host or its body's length removed by calling them its connection's.
        let named: Vec<HeaderName> = tokens(headers, &header::CONNECTION)
            .filter_map(|token| token.parse().ok())
            .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    if trailers {
        // The one coding that can be offered on, since trailers are passed through.
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Removes what claims to come from one of us.
pub(crate) fn strip_ours(headers: &mut HeaderMap) {
    let ours = |name: &&HeaderName| name.as_str().starts_with(OUR_PREFIX);
    if headers.keys().any(|name| ours(&name)) {
        let named: Vec<HeaderName> = headers.keys().filter(ours).cloned().collect();
        for name in named {
            headers.remove(name);
        }
    }
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(line) {
            headers.append(name, value);
        }
        headers
    }

    fn left(mut headers: HeaderMap) -> Vec<String> {
        strip(&mut headers);
        strip_ours(&mut headers);
        let mut names: Vec<_> = headers.keys().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_connection_names_goes_and_what_routes_or_frames_stays() {
        let given = headers(&[
            ("connection", "close, X-Secret"),
            ("connection", "host, content-length"),
            ("x-secret", "1"),
            ("host", "cart"),
            ("content-length", "3"),
            ("keep-alive", "5"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("x-kept", "1"),
            ("bellwether-caller", "root"),
        ]);
        assert_eq!(left(given), ["content-length", "host", "x-kept"]);
        assert_eq!(left(headers(&[("te", "gzip, Trailers")])), ["connection", "te"]);
    }

    #[test]
    fn only_chunked_alone_is_a_coding_that_can_be_passed_on() {
        assert_eq!(coding(&headers(&[])), Coding::None);
        assert_eq!(coding(&headers(&[("transfer-encoding", " Chunked ")])), Coding::Chunked);
        for bad in ["gzip, chunked", "identity", "chunked, chunked", "xchunked"] {
            assert_eq!(coding(&headers(&[("transfer-encoding", bad)])), Coding::Other, "{bad}");
        }
    }

    #[test]
    fn an_upgrade_counts_only_where_connection_names_it() {
        assert!(upgrade(&headers(&[("upgrade", "websocket")])).is_none());
        let asked = headers(&[("upgrade", "websocket"), ("connection", "keep-alive, Upgrade")]);
        assert_eq!(upgrade(&asked).unwrap(), "websocket");
    }
}

//! The instances that are registered: as many as one likes, each with the same amount to say.
//!
//! Requests are made before their time is taken, byte by byte, so that the load costs little and the
//! server's figures are the server's.

use std::fmt::Write;

/// Services over which the instances are spread evenly.
pub(super) const SERVICES: usize = 1_000;
/// The body of a registration, as for etcd's value.
pub(super) const REGISTRATION_BYTES: usize = 300;
/// A lease that outlives every measurement, so that nobody lapses meanwhile.
const TTL: &str = "12h";
/// The namespace of all of them.
const ROOT: &str = "/bellwether/v1/namespaces/default";

/// The service of the nth instance.
pub(super) fn service(nth: usize) -> String {
    format!("service-{:04}", nth % SERVICES)
}

/// The id of the nth instance.
pub(super) fn id(nth: usize) -> String {
    format!("instance-{nth:07}")
}

/// What the nth instance says of itself, [`REGISTRATION_BYTES`] long. `mark` can be found again in what
/// watchers hear.
pub(super) fn registration(nth: usize, mark: &str) -> String {
    let mut text = format!(
        r#"{{"address":"10.{}.{}.{}","port":8080,"zone":"zone-{}","version":"1.4.2","weight":100,"ttl":"{TTL}","metadata":{{"mark":"{mark}","team":"storefront","revision":"a9c1f0e2b7d4","image":""#,
        nth >> 16 & 0xff,
        nth >> 8 & 0xff,
        nth & 0xff,
        nth % 3,
    );
    let end = "\"}}";
    let digit = |at: usize| char::from(b'a' + ((nth.wrapping_mul(31) + at) % 26) as u8);
    let missing = REGISTRATION_BYTES.saturating_sub(text.len() + end.len());
    text.extend((0..missing).map(digit));
    text.push_str(end);
    text
}

/// The request that registers the nth instance.
pub(super) fn put(nth: usize, mark: &str) -> Vec<u8> {
    let path = format!("{ROOT}/services/{}/instances/{}", service(nth), id(nth));
    request("PUT", &path, &registration(nth, mark))
}

/// The request that registers these instances at once.
pub(super) fn bulk(instances: impl Iterator<Item = usize>) -> Vec<u8> {
    let mut body = String::from(r#"{"instances":["#);
    for (at, nth) in instances.enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let registration = registration(nth, "first");
        // The names stand in the same object as what is said under them.
        let rest = registration.strip_prefix('{').unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(body, r#"{comma}{{"service":"{}","id":"{}",{rest}"#, service(nth), id(nth));
    }
    body.push_str("]}");
    request("POST", &format!("{ROOT}/instances"), &body)
}

/// The request that keeps the leases of these instances.
pub(super) fn heartbeats<'a>(instances: impl Iterator<Item = (usize, &'a str)>) -> Vec<u8> {
    let mut body = String::from(r#"{"heartbeats":["#);
    for (at, (nth, lease)) in instances.enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let (service, id) = (service(nth), id(nth));
        let _ = write!(body, r#"{comma}{{"service":"{service}","id":"{id}","lease_id":"{lease}"}}"#);
    }
    body.push_str("]}");
    request("POST", &format!("{ROOT}/heartbeats"), &body)
}

/// The request that follows the service of the nth instance.
pub(super) fn watch(nth: usize) -> Vec<u8> {
    request("GET", &format!("{ROOT}/watch?service={}", service(nth)), "")
}

/// A request of HTTP/1.1 that keeps its connection.
pub(super) fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_registration_has_the_same_size_and_is_json() {
        for nth in [0, 7, 99_999, 999_999] {
            let text = registration(nth, "mark-000001");
            assert_eq!(text.len(), REGISTRATION_BYTES);
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
    }

    #[test]
    fn a_batch_is_json_with_the_names_inside() {
        let bytes = bulk(3..5);
        let body = bytes.split(|byte| *byte == b'\n').next_back().unwrap();
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(body["instances"][1]["id"], "instance-0000004");
        assert_eq!(body["instances"][1]["port"], 8080);
    }
}

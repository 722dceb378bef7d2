//! Side by side with other people's programs that promise the same.
//!
//! Addresses of IPv6 are left out: nginx hashes a server as it is written, with brackets, as we do, and
//! pingora without.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use hash_ring::{Ring, Scheme};
use pingora_ketama::{Bucket, Continuum};

/// What pingora's ring says, which is nginx's `hash … consistent`, and what ours does.
fn check(servers: &[(String, u32)]) {
    let buckets: Vec<Bucket> =
        servers.iter().map(|(server, weight)| Bucket::new(server.parse().unwrap(), *weight)).collect();
    let theirs = Continuum::new(&buckets);
    let ours = Ring::with_scheme(Scheme::Nginx, servers.iter().map(|(server, weight)| (server, *weight)));
    for key in (0..20_000).map(|n| format!("/shops/{n}/carts?page={}", n % 7)) {
        let wanted = theirs.node(key.as_bytes()).map(|server| server.to_string());
        assert_eq!(ours.owner(key.as_bytes()), wanted.as_deref(), "{key}");
    }
    for key in ["", "a", "/favicon.ico"] {
        let mut wanted: Vec<String> = Vec::new();
        for server in theirs.node_iter(key.as_bytes()).take(ours.points()).map(|server| server.to_string()) {
            if !wanted.contains(&server) {
                wanted.push(server);
            }
        }
        let walked: Vec<&str> = ours.walk(key.as_bytes()).collect();
        assert_eq!(walked, wanted, "{key}");
    }
}

#[test]
fn nginx_rings_of_pingora_and_ours_agree_on_every_owner() {
    check(&(0..10).map(|n| (format!("10.0.0.{n}:8080"), 1)).collect::<Vec<_>>());
    check(&(0..100).map(|n| (format!("10.0.1.{n}:443"), 1)).collect::<Vec<_>>());
}

#[test]
fn nginx_rings_of_pingora_and_ours_agree_with_weights() {
    check(&(1..12).map(|n| (format!("192.168.7.{n}:{}", 8_000 + n), n)).collect::<Vec<_>>());
    check(&[("127.0.0.1:1".to_owned(), 40), ("255.255.255.255:65535".to_owned(), 3)]);
}

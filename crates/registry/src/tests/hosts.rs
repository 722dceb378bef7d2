//! Where an instance may listen.

use super::*;

#[test]
fn metadata_services_and_broken_addresses_are_refused_in_every_spelling() {
    for bad in [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "2852039166",
        "0xa9fea9fe",
        "169.254.43518",
        "10.0.0.256",
        "",
        "a..b",
        "-a",
        "a/b",
        "a b",
        "user@host",
        "http://a",
        &"x".repeat(254),
    ] {
        assert!(Host::parse(bad).is_err(), "{bad:?} must be refused");
    }
    for good in ["127.0.0.1", "::1", "[::1]", "cart.internal", "CART", "my_container", "x1.example."] {
        assert!(Host::parse(good).is_ok(), "{good:?}");
    }
}

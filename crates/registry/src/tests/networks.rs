//! Where an installation lets its instances be.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn networks(text: &str) -> Networks {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_address_outside_of_all_networks_is_refused_and_ipv4_is_judged_in_every_spelling() {
    let some = networks("10.0.0.0/8, 192.168.7.0/24,fd00:1::/32,127.0.0.1");
    for allowed in
        ["10.0.0.0", "10.255.255.255", "192.168.7.9", "fd00:1:ffff::1", "127.0.0.1", "::ffff:10.1.2.3"]
    {
        assert_eq!(some.check(ip(allowed)), None, "{allowed}");
    }
    for outside in
        ["11.0.0.0", "9.255.255.255", "192.168.8.0", "fd00:2::", "127.0.0.2", "::1", "::ffff:8.8.8.8"]
    {
        assert_eq!(some.check(ip(outside)), Some(Forbidden::Outside), "{outside}");
    }
    assert_eq!(networks("::ffff:10.0.0.0/104").check(ip("10.1.2.3")), None);
}

#[test]
fn what_is_never_dialled_stays_so_whatever_the_list_says() {
    for all in
        [Networks::default(), networks("0.0.0.0/0,::/0"), networks("169.254.0.0/16,fe80::/10,fd00::/8")]
    {
        assert_eq!(all.check(ip("169.254.169.254")), Some(Forbidden::LinkLocal));
        assert_eq!(all.check(ip("64:ff9b::a9fe:a9fe")), Some(Forbidden::LinkLocal));
        assert_eq!(all.check(ip("fe80::1")), Some(Forbidden::LinkLocal));
        assert_eq!(all.check(ip("fd00:ec2::254")), Some(Forbidden::Metadata));
    }
    assert_eq!(Networks::default(), networks("0.0.0.0/0,::/0"));
    assert_eq!(Networks::default().check(ip("8.8.8.8")), None);
}

#[test]
fn a_network_that_is_not_one_is_refused_with_the_rule() {
    let rule = |text: &str| text.parse::<Networks>().unwrap_err().rule();
    for bad in
        ["10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "/8", "10.0.0.0/+8", "10.0.0.0/-1", "cart", "any"]
    {
        assert_eq!(rule(bad), "a network such as 10.0.0.0/8 or fd00::/8, or an address", "{bad}");
    }
    assert!(rule("10.0.0.7/8").contains("without bits behind its prefix"));
    assert!(rule("fd00::1/64").contains("without bits behind its prefix"));
    assert!(rule("").contains("from 1 to 256"));
    assert!(rule(&"10.0.0.1,".repeat(NETWORKS_MAX + 1)).contains("from 1 to 256"));
}

#[test]
fn an_instance_outside_of_the_networks_is_not_registered_and_one_from_before_stays() {
    let mut registry = Registry::default();
    registry.apply(start(), register("before", 1, 1, None)).unwrap();
    registry.confine(networks("192.168.0.0/16"));
    let refused = registry.apply(start(), register("after", 1, 2, None)).unwrap_err();
    let expected = "address \"10.0.0.1\" is not valid: addresses outside of the allowed networks (dial_networks) \
                    are never dialled";
    assert_eq!(refused.to_string(), expected);
    assert_eq!((status(&registry, "before"), status(&registry, "after")), (Some(Status::Up), None));
    assert!(registry.apply(start(), register("before", 1, 3, Some(1))).is_err(), "nor is it said anew");
    // What a name leads to is looked at when it is dialled.
    let named = Registration::new(Host::parse("cart.internal").unwrap(), 80);
    registry.apply(start(), Command::register(target("cart", "named"), named, LeaseId(4), "test")).unwrap();
}

proptest! {
    #[test]
    fn a_network_holds_exactly_the_addresses_that_begin_like_it(
        bits in any::<u32>(), prefix in 0_u8..=32, other in any::<u32>(), near in any::<bool>(),
    ) {
        let first = if prefix == 0 { 0 } else { bits & (u32::MAX << (32 - prefix)) };
        let other = if near { first ^ (other >> prefix.min(31)) } else { other };
        let inside = prefix == 0 || first >> (32 - prefix) == other >> (32 - prefix);
        let address = IpAddr::from(Ipv4Addr::from_bits(other));
        prop_assume!(Forbidden::check(address).is_none());
        let network = networks(&format!("{}/{prefix}", Ipv4Addr::from_bits(first)));
        prop_assert_eq!(network.check(address).is_none(), inside);
    }

    #[test]
    fn the_same_holds_for_ipv6(
        bits in any::<u128>(), prefix in 0_u8..=128, other in any::<u128>(), near in any::<bool>(),
    ) {
        let first = if prefix == 0 { 0 } else { bits & (u128::MAX << (128 - prefix)) };
        let other = if near { first ^ (other >> prefix.min(127)) } else { other };
        let inside = prefix == 0 || first >> (128 - prefix) == other >> (128 - prefix);
        let [first, address] = [first, other].map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits)));
        prop_assume!(Forbidden::check(address).is_none());
        prop_assume!([first, address].iter().all(|ip| crate::host::reached(*ip) == *ip));
        let network = networks(&format!("{first}/{prefix}"));
        prop_assert_eq!(network.check(address).is_none(), inside);
    }

    #[test]
    fn networks_are_shown_as_they_are_read(text in "[0-9a-f.:/, ]{0,40}") {
        if let Ok(read) = text.parse::<Networks>() {
            prop_assert_eq!(networks(&read.to_string()), read);
        }
    }
}

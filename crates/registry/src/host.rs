//! Where an instance listens, and where nobody is ever dialled.
//!
//! A registration is written by whoever may write, and a proxy connects to what it says. Without a
//! rule, a registered address turns the proxy into a way into networks that the writer cannot reach
//! himself; the classic target is the metadata service of a cloud, which hands out credentials. So
//! link-local and metadata addresses are refused at registration, and again after a name was resolved.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

use identity::Invalid;

/// An IP address or a DNS name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An address that can be dialled as it is.
    Ip(IpAddr),
    /// A name that is resolved when it is dialled, lower case.
    Name(Box<str>),
}

const RULE: &str = "an IP address or a DNS name of at most 253 characters";

impl Host {
    /// Reads an address or name. IPv6 addresses may stand in brackets.
    ///
    /// # Errors
    /// What is neither, and addresses that nobody may dial (see [`Forbidden`]).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return match Forbidden::check(ip) {
                Some(forbidden) => Err(Invalid::new("address", text, forbidden.rule())),
                None => Ok(Host::Ip(ip)),
            };
        }
        // A name whose last label is all digits is a broken IPv4 address to every resolver; some turn
        // such forms into addresses that were never meant (0177.1, 2130706433).
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let last_is_number = name
            .rsplit('.')
            .next()
            .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()) || label.starts_with("0x"));
        if name.len() <= 253 && !last_is_number && name.split('.').all(is_label) {
            Ok(Host::Name(name.into()))
        } else {
            Err(Invalid::new("address", text, RULE))
        }
    }
}

/// A label of a host name. Underscores are no host names' letters, but container tools use them.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Ip(ip) => fmt::Display::fmt(ip, f),
            Host::Name(name) => f.pad(name),
        }
    }
}

/// Why an address may never be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forbidden {
    /// 169.254.0.0/16 and fe80::/10, where cloud metadata services live.
    LinkLocal,
    /// A metadata address outside the link-local range (`fd00:ec2::254`, `100.100.100.200`, `168.63.129.16`).
    Metadata,
    /// 0.0.0.0 and ::, which mean "here" to connect() and are therefore misleading.
    Unspecified,
    /// Multicast and broadcast, which no TCP connection can reach.
    Multicast,
    /// Outside of the networks that the installation allows ([`crate::Networks`]).
    Outside,
}

impl Forbidden {
    /// What forbids this address, if anything does. IPv4 inside IPv6 is judged as the IPv4 that it is.
    pub fn check(ip: IpAddr) -> Option<Forbidden> {
        match reached(ip) {
            IpAddr::V4(ip) => Self::check_v4(ip),
            IpAddr::V6(ip) => Self::check_v6(ip),
        }
    }

    fn check_v4(ip: Ipv4Addr) -> Option<Forbidden> {
        const METADATA: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
        if ip.is_link_local() {
            Some(Forbidden::LinkLocal)
        } else if METADATA.contains(&ip) {
            Some(Forbidden::Metadata)
        } else if ip.octets()[0] == 0 {
            Some(Forbidden::Unspecified)
        } else if ip.is_multicast() || ip.is_broadcast() {
            Some(Forbidden::Multicast)
        } else {
            None
        }
    }

    fn check_v6(ip: Ipv6Addr) -> Option<Forbidden> {
        const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254);
        if ip.is_unicast_link_local() {
            Some(Forbidden::LinkLocal)
        } else if ip == METADATA {
            Some(Forbidden::Metadata)
        } else if ip.is_unspecified() {
            Some(Forbidden::Unspecified)
        } else if ip.is_multicast() {
            Some(Forbidden::Multicast)
        } else {
            None
        }
    }

    /// The rule in words.
    pub fn rule(self) -> &'static str {
        match self {
            Forbidden::LinkLocal => "link-local addresses are never dialled (cloud metadata lives there)",
            Forbidden::Metadata => "addresses of cloud metadata services are never dialled",
            Forbidden::Unspecified => {
                "an unspecified address cannot be dialled; give the one that others reach"
            }
            Forbidden::Multicast => "multicast and broadcast addresses cannot be dialled",
            Forbidden::Outside => {
                "addresses outside of the allowed networks (dial_networks) are never dialled"
            }
        }
    }
}

/// The address at which a connection ends: the IPv4 address within mapped (`::ffff:a.b.c.d`), NAT64
/// (`64:ff9b::a.b.c.d`) and 6to4 forms, else the address itself.
pub(crate) fn reached(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let (high, low) = match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        [0x2002, high, low, ..] => (high, low),
        _ => return ip,
    };
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into()
}

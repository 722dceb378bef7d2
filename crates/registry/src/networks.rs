//! The networks in which instances may be.
//!
//! Whoever may register an instance decides where the gateway connects to. An installation that knows its
//! networks can say so, and takes away from that power all that is elsewhere: the office, the internet, the
//! loopback of the machine itself. It is a list of what is allowed rather than of what is not, because
//! what was forgotten in it is noticed at the first registration, and not by an attacker.
//!
//! It narrows and never widens: what [`Forbidden`] names is not dialled whatever the list says.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use identity::Invalid;

use crate::{Forbidden, host::reached};

/// Networks of an installation. Each address that is dialled is compared with all of them.
pub const NETWORKS_MAX: usize = 256;

const RULE: &str = "a network such as 10.0.0.0/8 or fd00::/8, or an address";
const RULE_BEHIND: &str =
    "a network without bits behind its prefix, such as 10.0.0.0/8 rather than 10.0.0.7/8";
const RULE_COUNT: &str = "from 1 to 256 networks, separated by commas";

/// A block of addresses: those that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether it holds this address.
    fn holds(&self, ip: IpAddr) -> bool {
        match (self.first, ip) {
            (IpAddr::V4(first), IpAddr::V4(ip)) => {
                is_same(first.to_bits().into(), ip.to_bits().into(), 32 - u32::from(self.prefix))
            }
            (IpAddr::V6(first), IpAddr::V6(ip)) => {
                is_same(first.to_bits(), ip.to_bits(), 128 - u32::from(self.prefix))
            }
            _ => false,
        }
    }
}

/// Whether two numbers are the same but for their last `free` bits.
fn is_same(a: u128, b: u128, free: u32) -> bool {
    (a ^ b).checked_shr(free).unwrap_or(0) == 0
}

impl FromStr for Network {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let malformed = || Invalid::new("network", text, RULE);
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| malformed())?;
        let bits = if first.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            // A sign would be read as well.
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= bits).ok_or_else(malformed)?
            }
            Some(_) => return Err(malformed()),
            None => bits,
        };
        let low = match first {
            IpAddr::V4(first) => first.to_bits().checked_shl(prefix.into()).unwrap_or(0) != 0,
            IpAddr::V6(first) => first.to_bits().checked_shl(prefix.into()).unwrap_or(0) != 0,
        };
        if low {
            return Err(Invalid::new("network", text, RULE_BEHIND));
        }
        // Addresses are judged as the IPv4 that they reach, so that a network has to be one of these, too.
        match (first, reached(first)) {
            (IpAddr::V6(v6), IpAddr::V4(v4)) if prefix >= 96 && v6.to_ipv4_mapped().is_some() => {
                Ok(Self { first: v4.into(), prefix: prefix - 96 })
            }
            _ => Ok(Self { first, prefix }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// The networks in which instances may be: by default all there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks(Box<[Network]>);

impl Default for Networks {
    fn default() -> Self {
        let first: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        Self(first.map(|first| Network { first, prefix: 0 }).into())
    }
}

impl Networks {
    /// What forbids that this address is dialled, if anything does. IPv4 inside IPv6 is judged as the IPv4
    /// that it reaches.
    pub fn check(&self, ip: IpAddr) -> Option<Forbidden> {
        let outside = || {
            let ip = reached(ip);
            (!self.0.iter().any(|network| network.holds(ip))).then_some(Forbidden::Outside)
        };
        Forbidden::check(ip).or_else(outside)
    }
}

impl FromStr for Networks {
    type Err = Invalid;

    /// Reads networks that are separated by commas.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let networks = text.split(',').map(str::trim).filter(|text| !text.is_empty());
        let networks = networks.map(str::parse).collect::<Result<Box<[Network]>, _>>()?;
        if networks.is_empty() || networks.len() > NETWORKS_MAX {
            return Err(Invalid::new("networks", text, RULE_COUNT));
        }
        Ok(Self(networks))
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(at, network)| {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{network}")
        })
    }
}

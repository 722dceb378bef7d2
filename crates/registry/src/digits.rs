//! Numbers and IPv4 addresses as text, without a formatter.
//!
//! Each registration has its address, its revision and its caller written out some five times, in the catalog,
//! in its event and in its answer. `format!` spends a thousand instructions on an address; this spends a tenth
//! of that and allocates nothing.

use core::net::Ipv4Addr;
use std::{fmt, ops::Deref};

/// The digits of the largest number; an IPv4 address has 15 at most.
const LONGEST: usize = 20;

/// A number or an IPv4 address as `Display` writes it, where it is.
#[derive(Clone, Copy)]
pub struct Digits {
    /// They are written from the back.
    bytes: [u8; LONGEST],
    begin: usize,
}

impl Digits {
    const NONE: Self = Self { bytes: [0; LONGEST], begin: LONGEST };

    fn before(mut self, byte: u8) -> Self {
        // It never goes below: see `LONGEST`.
        self.begin = self.begin.saturating_sub(1);
        self.bytes[self.begin] = byte;
        self
    }

    fn number_before(mut self, mut number: u64) -> Self {
        loop {
            self = self.before(b'0' + (number % 10) as u8);
            number /= 10;
            if number == 0 {
                return self;
            }
        }
    }
}

impl From<u64> for Digits {
    fn from(number: u64) -> Self {
        Self::NONE.number_before(number)
    }
}

impl From<Ipv4Addr> for Digits {
    fn from(address: Ipv4Addr) -> Self {
        let [first, second, third, last] = address.octets().map(u64::from);
        let digits = Self::NONE.number_before(last).before(b'.').number_before(third);
        digits.before(b'.').number_before(second).before(b'.').number_before(first)
    }
}

impl Deref for Digits {
    type Target = str;

    fn deref(&self) -> &str {
        // They are ASCII.
        str::from_utf8(&self.bytes[self.begin..]).unwrap_or_default()
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_least_and_the_largest_are_written() {
        for number in [0, 9, 10, 99, 100, u64::MAX] {
            assert_eq!(&*Digits::from(number), number.to_string());
        }
        for address in [Ipv4Addr::from_bits(0), Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 0, 109, 7)] {
            assert_eq!(&*Digits::from(address), address.to_string());
        }
    }

    proptest! {
        #[test]
        fn digits_are_those_that_display_writes(number: u64, shift in 0_u32..64, bits: u32) {
            let number = number >> shift;
            prop_assert_eq!(&*Digits::from(number), number.to_string());
            let address = Ipv4Addr::from_bits(bits);
            prop_assert_eq!(&*Digits::from(address), address.to_string());
        }
    }
}

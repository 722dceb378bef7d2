//! Trace and span ids as the W3C Trace Context recommendation has them: 128 and 64 bits, written as
//! 32 and 16 lower-case hexadecimal digits with their leading zeros, never zero.

use std::{fmt, num::NonZero, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Invalid;

const HEX: &[u8; 16] = b"0123456789abcdef";

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $int:ty, $digits:literal, $what:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZero<$int>);

        impl $name {
            /// The id with this number, or `None` for zero, which is no id.
            pub const fn new(number: $int) -> Option<Self> {
                match NonZero::new(number) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }

            /// The id as a number.
            pub const fn get(self) -> $int {
                self.0.get()
            }

            /// The id as big-endian bytes, the form of OTLP.
            pub const fn to_bytes(self) -> [u8; $digits / 2] {
                self.0.get().to_be_bytes()
            }

            /// The id's digits, as it is written.
            pub fn to_hex(self) -> [u8; $digits] {
                let mut digits = [0; $digits];
                for (two, byte) in digits.chunks_exact_mut(2).zip(self.to_bytes()) {
                    two[0] = HEX[usize::from(byte >> 4)];
                    two[1] = HEX[usize::from(byte & 0xf)];
                }
                digits
            }

            /// The id in these big-endian bytes, or `None` where the length is wrong or all are zero.
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Self::new(<$int>::from_be_bytes(bytes.try_into().ok()?))
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            /// Reads hexadecimal digits of either case. Fewer digits than the full width stand for
            /// leading zeros, as Jaeger and Zipkin shorten them.
            fn from_str(text: &str) -> Result<Self, Invalid> {
                let invalid = || Invalid::new($what, text, $rule);
                if text.is_empty() || text.len() > $digits || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(invalid());
                }
                let number = <$int>::from_str_radix(text, 16).map_err(|_| invalid())?;
                Self::new(number).ok_or_else(invalid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(str::from_utf8(&self.to_hex()).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

id! {
    /// The id of a trace, 128 bits.
    TraceId, u128, 32, "trace id", "up to 32 hexadecimal digits, not all zero"
}

id! {
    /// The id of a span within its trace, 64 bits.
    SpanId, u64, 16, "span id", "up to 16 hexadecimal digits, not all zero"
}

//! Sizes in bytes as people write them: `64MiB`, `1.5GB`, `4096`.
//!
//! Decimal units (`kB`, `MB`, `GB`, `TB`) are powers of 1,000, binary ones (`KiB` …) of 1,024, as IEC
//! 80000-13 has them; a bare number and `B` are bytes.

use crate::{Invalid, duration::decimal};

const RULE: &str = "a number with a unit, such as 64MiB, 1.5GB or 4096 (B kB MB GB TB KiB MiB GiB TiB)";

/// Binary units first and from large to small: the order in which [`format`] tries them.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads a size in bytes.
///
/// ```
/// assert_eq!(identity::size::parse("64MiB")?, 64 * 1024 * 1024);
/// # Ok::<(), identity::Invalid>(())
/// ```
pub fn parse(text: &str) -> Result<u64, Invalid> {
    bytes(text).ok_or_else(|| Invalid::new("size", text, RULE))
}

fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = if unit.is_empty() { "B" } else { unit };
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
    decimal(number, *scale)
}

/// Writes a size with the largest unit that leaves no fraction.
///
/// ```
/// assert_eq!(identity::size::format(96 * 1024 * 1024), "96MiB");
/// ```
pub fn format(bytes: u64) -> String {
    let fits = |(_, scale): &&(&str, u64)| bytes >= *scale && bytes.is_multiple_of(*scale);
    let (unit, scale) = UNITS.iter().find(fits).unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / scale)
}

/// For `#[serde(with = "identity::size::text")]` on a number of bytes.
pub mod text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes the text form.
    pub fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format(*bytes))
    }

    /// Reads the text form.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        super::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

//! Durations as people write them: `250ms`, `1h30m`, `1.5s`.
//!
//! A sequence of numbers with units (`ns`, `us` or `µs`, `ms`, `s`, `m`, `h`, `d`, `w`), from large to
//! small, each unit at most once. The written form is the shortest of that kind; reading it gives the
//! same nanoseconds back.

use std::time::Duration;

use crate::Invalid;

const RULE: &str =
    "numbers with units from large to small, such as 250ms, 1.5s or 1h30m (ns us ms s m h d w)";

/// From large to small, so that a position in this list says which units may still follow.
const UNITS: [(&str, u64); 8] = [
    ("w", 7 * 86_400_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a duration. A bare `0` needs no unit.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(identity::duration::parse("1m30s")?, Duration::from_secs(90));
/// # Ok::<(), identity::Invalid>(())
/// ```
pub fn parse(text: &str) -> Result<Duration, Invalid> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    nanoseconds(text).map(Duration::from_nanos).ok_or_else(|| Invalid::new("duration", text, RULE))
}

fn nanoseconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut units = UNITS.as_slice();
    let mut total: u64 = 0;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit = if unit == "µs" { "us" } else { unit };
        let at = units.iter().position(|(name, _)| *name == unit)?;
        total = total.checked_add(decimal(number, units[at].1)?)?;
        units = &units[at + 1..];
        rest = tail;
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// `number`, which may have a fraction, times `scale`; `None` where it overflows or is finer than 1.
pub(crate) fn decimal(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().ok()?;
    if fraction.is_empty() || fraction.len() > 18 {
        return None;
    }
    let numerator: u128 = u128::from(fraction.parse::<u64>().ok()?) * u128::from(scale);
    let denominator = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    if !numerator.is_multiple_of(denominator) {
        return None;
    }
    whole.checked_mul(scale)?.checked_add(u64::try_from(numerator / denominator).ok()?)
}

/// Writes a duration in the form that [`parse`] reads. Beyond 584 years it stops at the largest.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(identity::duration::format(Duration::from_millis(1_500)), "1s500ms");
/// ```
pub fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, nanos) in UNITS {
        if rest >= nanos {
            text.push_str(&(rest / nanos).to_string());
            text.push_str(unit);
            rest %= nanos;
        }
    }
    text
}

/// For `#[serde(with = "identity::duration::text")]` on a [`Duration`].
pub mod text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes the text form.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format(*duration))
    }

    /// Reads the text form.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        super::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

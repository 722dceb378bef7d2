//! Ids of traces as people and programs spell them: in either case, with or without leading zeros, in 16
//! digits where a sender has only 64 bits, in more than 32 where something filled them up, and with the
//! dashes of a UUID.

use identity::{Invalid, TraceId};

/// Longer texts are no id, however many zeros they begin with.
const LONGEST: usize = 128;

/// The id that this text spells.
pub fn trace_id(text: &str) -> Result<TraceId, Invalid> {
    let invalid = || Invalid::new("trace id", text, "up to 32 hexadecimal digits, not all zero");
    if text.len() > LONGEST || text.starts_with('-') || text.ends_with('-') || text.contains("--") {
        return Err(invalid());
    }
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    digits.trim_start_matches('0').parse().map_err(|_| invalid())
}

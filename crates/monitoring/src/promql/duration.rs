//! Durations as PromQL writes them: `1h30m`, the larger units first, each at most once.

/// The units from the largest to the smallest, in milliseconds. A year has 365 days.
const UNITS: [(&str, i64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The longest duration: what fits into 64 bits of nanoseconds, which is 292 years.
const LONGEST: i64 = i64::MAX / 1_000_000;

/// Reads a duration; in milliseconds.
///
/// # Errors
///
/// The reason, for a text that is none.
pub fn parse_duration(text: &str) -> Result<i64, &'static str> {
    let (mut rest, mut total, mut next) = (text, 0_i64, 0);
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err("a duration is a number and a unit, such as 5m");
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest.bytes().skip(digits).take_while(u8::is_ascii_alphabetic).count();
        let (number, after) = rest.split_at(digits);
        let (unit, after) = after.split_at(letters);
        let Some(place) = UNITS.iter().position(|(name, _)| *name == unit).filter(|_| digits > 0) else {
            return Err("a duration is numbers with the units y, w, d, h, m, s or ms, such as 1h30m");
        };
        if place < next {
            return Err("the units of a duration go from large to small, each once, such as 1h30m");
        }
        next = place + 1;
        let each = UNITS.get(place).map_or(1, |(_, each)| *each);
        let part = number.parse::<i64>().ok().and_then(|number| number.checked_mul(each));
        let sum = part.and_then(|part| total.checked_add(part)).filter(|&sum| sum <= LONGEST);
        total = sum.ok_or("a duration is at most 292 years")?;
        rest = after;
    }
    Ok(total)
}

/// Writes a duration of milliseconds in the shortest exact way; a negative one with a minus before it.
#[must_use]
pub fn format_duration(milliseconds: i64) -> String {
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    let mut written = if milliseconds < 0 { "-".to_owned() } else { String::new() };
    let mut rest = milliseconds.unsigned_abs();
    for (unit, each) in UNITS {
        let each = each.unsigned_abs();
        // Years and weeks only where nothing is left over: 366d reads better than 1y1d.
        if matches!(unit, "y" | "w") && !rest.is_multiple_of(each) {
            continue;
        }
        if rest >= each {
            written.push_str(&format!("{}{unit}", rest / each));
            rest %= each;
        }
    }
    written
}

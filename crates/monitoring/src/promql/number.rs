//! Numbers as PromQL reads and writes them.

/// Reads a number of a query: decimal, hexadecimal (`0x1f`), octal where it begins with a zero and has only
/// octal digits, `Inf` and `NaN` in any case.
#[must_use]
pub(super) fn parse_number(text: &str) -> Option<f64> {
    #[allow(clippy::cast_precision_loss, reason = "a number of a query is a double")]
    let whole = |digits: &str, radix| i64::from_str_radix(digits, radix).ok().map(|whole| whole as f64);
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return whole(digits, 16);
    }
    let octal =
        text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    if octal { whole(text, 8) } else { parse_float(text) }
}

/// Reads a double as labels and exposition formats write it: decimal with an exponent, `+Inf`, `NaN`.
#[must_use]
pub fn parse_float(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    // What is too large for a double is no number, unlike what says that it is infinite.
    let says_infinite =
        text.trim_start_matches(['+', '-']).get(..3).is_some_and(|head| head.eq_ignore_ascii_case("inf"));
    (!value.is_infinite() || says_infinite).then_some(value)
}

/// Writes a double in the fewest digits that give it back, with an exponent where its size is below `small` or
/// not below `large`.
#[must_use]
pub fn format_float(value: f64, small: f64, large: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let size = value.abs();
    if size == 0.0 || (size >= small && size < large) {
        return format!("{value}");
    }
    // At least two digits of exponent, and its sign always.
    let written = format!("{value:e}");
    let (digits, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

//! Figures as people read them.

use wire::native::api::{Quantile, Red};

/// Nanoseconds with three digits and a unit.
pub(super) fn nanos(nanos: u64) -> String {
    let (scale, unit) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (1e3, "µs"),
        1_000_000..1_000_000_000 => (1e6, "ms"),
        1_000_000_000..60_000_000_000 => (1e9, "s"),
        _ => return identity::duration::format(std::time::Duration::from_secs(nanos / 1_000_000_000)),
    };
    let value = nanos as f64 / scale;
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// The same of a difference.
pub(super) fn signed_nanos(difference: i64) -> String {
    format!("{}{}", if difference < 0 { '-' } else { '+' }, nanos(difference.unsigned_abs()))
}

/// A quantile, or nothing.
pub(super) fn quantile(quantile: Option<Quantile>) -> String {
    quantile.map(|quantile| nanos(quantile.estimate)).unwrap_or_default()
}

/// Calls per second.
pub(super) fn rate(red: &Red) -> String {
    format!("{:.2}/s", red.rate_per_second)
}

/// Errors per call.
pub(super) fn percent(ratio: f64) -> String {
    format!("{:.1} %", ratio * 100.0)
}

/// For how many one stands: a whole number where it is near one.
pub(super) fn one_in(count: f64) -> String {
    let digits = usize::from((count - count.round()).abs() > 0.05);
    format!("{count:.digits$}")
}

/// A timestamp to the millisecond; as it is where it is none.
pub(super) fn time(at: &str) -> String {
    match at.parse::<identity::Wall>() {
        Ok(_) => match at.split_once('.') {
            Some((seconds, fraction)) => {
                let fraction = fraction.trim_end_matches('Z');
                format!("{seconds}.{}Z", fraction.get(..3).unwrap_or(fraction))
            }
            None => at.to_owned(),
        },
        Err(_) => at.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn three_digits_are_shown_and_the_unit_fits() {
        let shown = [7, 1_500, 12_345_678, 999_000_000, 1_234_000_000, 90_000_000_000].map(super::nanos);
        assert_eq!(shown, ["7 ns", "1.50 µs", "12.3 ms", "999 ms", "1.23 s", "1m30s"]);
    }

    #[test]
    fn one_in_how_many_is_a_whole_number_where_it_is_near_one() {
        assert_eq!([1.5, 99.999999, 1e6].map(super::one_in), ["1.5", "100", "1000000"]);
    }
}

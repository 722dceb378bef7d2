//! Parts of dates, in UTC, of seconds since 1970.

use crate::promql::FunctionId as F;

const DAY: i64 = 86_400;

/// Whether a function gives a part of a date.
pub(super) fn is_part(id: F) -> bool {
    matches!(
        id,
        F::DayOfMonth
            | F::DayOfWeek
            | F::DayOfYear
            | F::DaysInMonth
            | F::Hour
            | F::Minute
            | F::Month
            | F::Year
    )
}

/// The part of a date that a function asks for.
#[allow(
    clippy::cast_possible_truncation,
    reason = "a date is of whole seconds, and what is too large is far away"
)]
#[allow(clippy::cast_precision_loss, reason = "parts of dates are small")]
pub(super) fn part(id: F, seconds: f64) -> f64 {
    // What is no number is as far away as can be, and so is the date; beyond these years days overflow.
    let seconds = if seconds.is_nan() { i64::MIN } else { seconds as i64 };
    let (day, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, of_month) = date(day);
    let whole = match id {
        F::Minute => second / 60 % 60,
        F::Hour => second / 3600,
        F::DayOfWeek => (day + 4).rem_euclid(7),
        F::DayOfMonth => of_month,
        F::DayOfYear => day - first_of(year, 1) + 1,
        F::DaysInMonth if month == 12 => 31,
        F::DaysInMonth => first_of(year, month + 1) - first_of(year, month),
        F::Month => month,
        _ => year,
    };
    whole as f64
}

/// Year, month and day of a number of days since 1970.
///
/// Years are counted from March, so that the day that some of them have more comes last, and in eras of 400 years,
/// which all have the same days.
fn date(day: i64) -> (i64, i64, i64) {
    let since = day + 719_468;
    let (era, in_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let of_era = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let of_year = in_era - (365 * of_era + of_era / 4 - of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (of_era + era * 400 + i64::from(month <= 2), month, of_month)
}

/// The first day of a month, in days since 1970.
fn first_of(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

//! The date of an answer, which is the same for all of a second.

use std::{
    cell::Cell,
    time::{Duration, UNIX_EPOCH},
};

use identity::Wall;

/// As `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
type Text = [u8; 29];

/// The date at this time.
pub(super) fn of(now: Wall) -> Text {
    thread_local! {
        static LAST: Cell<(u64, Text)> = const { Cell::new((u64::MAX, [0; 29])) };
    }
    let second = now.0 / 1_000_000_000;
    let (last, text) = LAST.get();
    if last == second {
        return text;
    }
    let written = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
    let mut text = [b' '; 29];
    for (to, from) in text.iter_mut().zip(written.bytes()) {
        *to = from;
    }
    LAST.set((second, text));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_http_wants_it_and_goes_on() {
        for (second, text) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_778, "Sun, 06 Nov 1994 08:49:38 GMT"),
        ] {
            assert_eq!(of(Wall(second * 1_000_000_000 + 5)), text.as_bytes());
        }
    }
}

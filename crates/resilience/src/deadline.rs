//! How much time is left, hop by hop.
//!
//! A caller that waits two seconds has no use for an answer after three. Whoever passes a call on says
//! how much of the time is left (how much, not until when: clocks of two machines do not agree), and
//! whoever gets it takes the smaller of that and its own time-out.

use std::time::Duration;

use identity::Mono;

/// The header that carries the time left over HTTP, as text such as `1500ms`.
pub const TIMEOUT_HEADER: &str = "x-bellwether-timeout";
/// The header that carries it over gRPC, in the form of [`grpc_timeout`].
pub const GRPC_TIMEOUT_HEADER: &str = "grpc-timeout";

/// When a call has to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    at: Mono,
    is_inherited: bool,
}

impl Deadline {
    /// The deadline of a call that comes now: our own time-out, or what its caller has left, if that
    /// is less.
    ///
    /// ```
    /// use std::time::Duration;
    /// use identity::Mono;
    /// use resilience::Deadline;
    ///
    /// let second = Duration::from_secs(1);
    /// let deadline = Deadline::new(Mono(0), 15 * second, Some(2 * second));
    /// assert!(deadline.is_inherited());
    /// assert_eq!(deadline.left(Mono(500_000_000)), Duration::from_millis(1_500));
    /// ```
    pub fn new(now: Mono, own: Duration, left: Option<Duration>) -> Self {
        match left.filter(|left| *left < own) {
            Some(left) => Self { at: now + left, is_inherited: true },
            None => Self { at: now + own, is_inherited: false },
        }
    }

    /// When it is.
    pub fn at(self) -> Mono {
        self.at
    }

    /// Whether the caller's patience is shorter than ours. A call that ends by it says less about the
    /// callee than about the caller.
    pub fn is_inherited(self) -> bool {
        self.is_inherited
    }

    /// What is left of it, and is to be passed on.
    pub fn left(self, now: Mono) -> Duration {
        self.at.since(now)
    }
}

/// Reads `grpc-timeout`: one to eight digits and a unit, `H`, `M`, `S`, `m`, `u` or `n` (gRPC over
/// HTTP/2). `None` for anything else, which the protocol has treated as if it were not there.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(resilience::grpc_timeout("250m"), Some(Duration::from_millis(250)));
/// assert_eq!(resilience::grpc_timeout("123456789S"), None, "at most eight digits");
/// ```
pub fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

/// Writes `grpc-timeout` in the finest unit that eight digits hold; never longer than it is.
pub fn format_grpc_timeout(left: Duration) -> String {
    const EIGHT_DIGITS: u128 = 99_999_999;
    let nanos = left.as_nanos();
    let units = [(1, "n"), (1_000, "u"), (1_000_000, "m"), (1_000_000_000, "S"), (60_000_000_000, "M")];
    for (unit, name) in units {
        if nanos / unit <= EIGHT_DIGITS {
            return format!("{}{name}", nanos / unit);
        }
    }
    format!("{}H", (nanos / 3_600_000_000_000).min(EIGHT_DIGITS))
}

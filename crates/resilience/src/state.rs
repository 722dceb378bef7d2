//! The states of a breaker, and what it counts.

use std::{fmt, str::FromStr};

use identity::Invalid;

/// What a breaker does with the calls that ask it for a permit.
///
/// One word, one meaning: `open` refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum State {
    /// Calls pass and their outcomes are counted.
    #[default]
    Closed,
    /// Calls are refused until `open_for` has passed.
    Open,
    /// A few probes pass; their outcomes decide.
    HalfOpen,
    /// Calls pass in a growing share after closing.
    Ramp,
    /// An operator keeps it open.
    ForcedOpen,
    /// An operator keeps it closed.
    ForcedClosed,
    /// It neither counts nor refuses.
    Disabled,
    /// It counts and says what it would do, and always permits.
    Shadow,
}

impl State {
    /// Every state, in the order of their declaration.
    pub const ALL: [State; 8] = [
        State::Closed,
        State::Open,
        State::HalfOpen,
        State::Ramp,
        State::ForcedOpen,
        State::ForcedClosed,
        State::Disabled,
        State::Shadow,
    ];

    /// Whether it is an operator's word, whatever the calls and the policy say.
    pub const fn is_forced(self) -> bool {
        matches!(self, State::ForcedOpen | State::ForcedClosed | State::Disabled)
    }

    /// The state's name on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half_open",
            State::Ramp => "ramp",
            State::ForcedOpen => "forced_open",
            State::ForcedClosed => "forced_closed",
            State::Disabled => "disabled",
            State::Shadow => "shadow",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        State::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            Invalid::new(
                "breaker state",
                text,
                "one of closed, open, half_open, ramp, forced_open, forced_closed, disabled, shadow",
            )
        })
    }
}

/// What a breaker has seen.
///
/// All but the last only grow; [`consecutive_failures`](Counts::consecutive_failures) begins anew with
/// every success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Permits that ended as a success.
    pub successes: u64,
    /// Permits that ended as a failure.
    pub failures: u64,
    /// Permits that ended later than the slow threshold, whatever else they were.
    pub slow: u64,
    /// Calls that got no permit.
    pub refused: u64,
    /// Failures since the last success.
    pub consecutive_failures: u64,
}

//! The one error of this package: a value that breaks a rule.

use std::fmt;

/// A value from outside that breaks the rule for what it was meant to be.
///
/// The message names the thing, shows the value (escaped and shortened, so that hostile input cannot
/// write into a terminal or a log) and states the rule that would have been kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {} is not valid: {rule}", Shown(.value))]
pub struct Invalid {
    what: &'static str,
    value: String,
    rule: &'static str,
}

/// How many characters of a refused value are repeated in the message.
const SHOWN_CHARS: usize = 64;

impl Invalid {
    /// A refusal of `value` as a `what`, because it breaks `rule`.
    pub fn new(what: &'static str, value: &str, rule: &'static str) -> Self {
        // One character more than is shown, so that the display knows that it has to shorten.
        let value = value.chars().take(SHOWN_CHARS + 1).collect();
        Self { what, value, rule }
    }

    /// What the value was meant to be, such as `service`.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// The rule that it breaks.
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(SHOWN_CHARS).collect();
        let more = if self.0.chars().nth(SHOWN_CHARS).is_some() { "…" } else { "" };
        write!(f, "\"{}{more}\"", shown.escape_debug())
    }
}

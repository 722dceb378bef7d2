use std::fmt;

use regex::{Regex, RegexBuilder};

use super::Labels;

/// How much memory a compiled regular expression may take. It bounds the work as well: matching takes
/// time in proportion to the text, whatever the expression is.
pub const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// How long the text of a regular expression may be.
pub const MAX_REGEX_BYTES: usize = 16 << 10;

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, the whole value
    Matches,
    /// `!~`, the whole value
    NotMatches,
}

impl MatchOp {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::NotMatches => "!~",
        }
    }
}

/// Why a matcher cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// The text is no regular expression, or too large a one.
    #[error("invalid regular expression: {0}")]
    Regex(String),
    /// The text of the regular expression is longer than it may be.
    #[error("a regular expression of {0} bytes is longer than {MAX_REGEX_BYTES}")]
    Length(usize),
}

/// A condition on one label. A label that is not there counts as an empty one.
#[derive(Debug, Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    regex: Option<Regex>,
}

impl Matcher {
    /// Compiles the regular expression where there is one.
    ///
    /// # Errors
    ///
    /// For an expression that is none or too large.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Self, MatcherError> {
        let value = value.into();
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Matches | MatchOp::NotMatches => Some(anchored(&value)?),
        };
        Ok(Self { name: name.into(), op, value, regex })
    }

    /// The label that is looked at.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is compared.
    #[must_use]
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// What with.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a value of the label is meant.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let found = match &self.regex {
            Some(regex) => regex.is_match(value),
            None => self.value == value,
        };
        found == matches!(self.op, MatchOp::Equal | MatchOp::Matches)
    }

    /// Whether the label of a series is meant.
    #[must_use]
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = crate::promql::quoted(&self.value);
        if super::is_label_name(&self.name) {
            return write!(f, "{}{}{quoted}", self.name, self.op.as_str());
        }
        write!(f, "{}{}{quoted}", crate::promql::quoted(&self.name), self.op.as_str())
    }
}

/// A regular expression that has to match the whole of a text.
///
/// # Errors
///
/// For a text that is no regular expression, or too large a one.
pub fn anchored(text: &str) -> Result<Regex, MatcherError> {
    if text.len() > MAX_REGEX_BYTES {
        return Err(MatcherError::Length(text.len()));
    }
    // By itself first, so that a stray parenthesis cannot close the group that anchors it.
    let build = |text: &str| RegexBuilder::new(text).size_limit(REGEX_SIZE_LIMIT).build();
    let whole = build(text).and_then(|_| build(&format!("^(?:{text})$")));
    // The last line of the message says why; the others repeat the expression.
    whole.map_err(|error| {
        let message = error.to_string();
        let last = message.lines().last().unwrap_or_default();
        MatcherError::Regex(last.strip_prefix("error: ").unwrap_or(last).to_owned())
    })
}

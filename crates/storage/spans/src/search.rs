//! What is asked of the traces, and what is answered.

use std::{fmt, str::FromStr};

use identity::{Invalid, TraceId, Wall};
use traces::{Summary, Value};

pub(crate) use find::search;

mod conditions;
mod find;
mod sources;
mod summary;

/// Which traces are asked for: those that fulfil every condition that is given.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    /// A span of this namespace, or a proxy's span of a call to it. The conditions up to `operation` have
    /// to be fulfilled by one and the same span.
    pub namespace: Option<Box<str>>,
    /// A span of this service, or a proxy's span of a call to it.
    pub service: Option<Box<str>>,
    /// A span of this name.
    pub operation: Option<Box<str>>,
    /// The whole trace took at least so long, in nanoseconds.
    pub min_duration_ns: Option<u64>,
    /// The whole trace took at most so long, in nanoseconds.
    pub max_duration_ns: Option<u64>,
    /// At least one span failed.
    pub errors_only: bool,
    /// The trace began at this time or later.
    pub start: Option<Wall>,
    /// The trace began before this time.
    pub end: Option<Wall>,
    /// A span whose service, name, status message, values of attributes or names of events contain this
    /// text. Case matters.
    pub text: Option<Box<str>>,
    /// Attributes that spans have, not necessarily all of them the same span.
    pub attributes: Vec<AttributeCondition>,
    /// How many traces to answer with: [`Query::DEFAULT_LIMIT`] for zero, at most [`Query::MAX_LIMIT`].
    pub limit: usize,
    /// Where to go on: the token of the page before.
    pub page: Option<PageToken>,
}

impl Query {
    /// Traces on a page of which nobody said how many.
    pub const DEFAULT_LIMIT: usize = 20;
    /// Traces on the largest page.
    pub const MAX_LIMIT: usize = 1_000;
    /// Spans of the blocks whose columns are looked at for one page. A page that ends here has fewer traces
    /// than asked for, and a token to go on: some seconds of one core.
    pub const MAX_EXAMINED: u64 = 50_000_000;
    /// Attributes that are asked for; those beyond are not looked at.
    pub const MAX_ATTRIBUTES: usize = 16;
}

/// An attribute that a span has.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributeCondition {
    /// Its key.
    pub key: Box<str>,
    /// Its value, of this type; any where none is given.
    pub value: Option<Value>,
}

/// Traces, newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// What a list shows of each.
    pub traces: Vec<Summary>,
    /// Blocks that could not be read, so that traces may be missing.
    pub unreadable: usize,
    /// The token of the next page, `None` where this was the last.
    pub next: Option<PageToken>,
}

/// A place in the order of traces. Its text is opaque to whoever it is given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageToken(Wall, TraceId);

impl PageToken {
    /// The place of this trace: what follows begins with the next one.
    pub fn after(trace: &Summary) -> Self {
        Self(trace.start, trace.trace_id)
    }
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{}", self.0.0, self.1)
    }
}

impl FromStr for PageToken {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("page token", text, "a token that the page before ended with");
        if text.len() != 48 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let start = u64::from_str_radix(&text[..16], 16).map_err(|_| invalid())?;
        Ok(Self(Wall(start), text[16..].parse().map_err(|_| invalid())?))
    }
}

//! What to look for among spans, as a text: `service=shop AND (duration>250ms OR error=true) AND NOT exists(retry)`.
//!
//! | written | holds of a span |
//! |---|---|
//! | `declined`, `"card declined"` | with this text in its service, name, status message, values of attributes or names of events |
//! | `key=value`, `!=`, `<`, `<=`, `>`, `>=` | with a value of the key that compares so |
//! | `key=~"GET .*"`, `!~` | with a value that the whole regular expression matches, or does not |
//! | `exists(key)`, `key exists` | with a value of the key at all |
//! | `a AND b`, `a b`, `a OR b`, `NOT a`, `(a)` | as they say; AND binds closer than OR; small letters mean the same |
//!
//! Keys are `service`, `namespace`, `operation`, `kind`, `status`, `status_message`, `duration`, `error`, `event`,
//! or the name of an attribute: of the span, else of its resource, or of one of them with `span.` or
//! `resource.` before it, or of the library that recorded the span, with `scope.`. A value in quotes is text and nothing else. Without quotes `643` is also the number, and
//! equals 643.0. Every comparison needs a value to compare with: `key!=a` holds of no span without the key,
//! `NOT key=a` of all of them. The whole expression has to hold of one and the same span.
//!
//! Whoever keeps spans in a form of their own evaluates by [`Facts`], and may skip what cannot hold by
//! [`Expression::necessary`].

mod complete;
mod facts;
mod parse;
mod tokens;

use std::fmt;

use regex::Regex;

use crate::borrowed::ValueRef;

pub use complete::{Typing, typing};
pub use facts::Borrowed;

/// Bytes of the longest query.
pub const MAX_BYTES: usize = 4_096;
/// Terms of the largest query.
pub const MAX_TERMS: usize = 64;
/// How deep parentheses and NOT may be nested.
pub const MAX_DEPTH: usize = 32;
/// Memory of a compiled regular expression.
pub const MAX_REGEX_BYTES: usize = 1 << 18;

/// A query that cannot be understood, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    at: usize,
    rule: String,
}

impl QueryError {
    fn new(at: usize, rule: impl Into<String>) -> Self {
        Self { at, rule: rule.into() }
    }

    /// Which character is meant, counted from 1.
    pub fn character(&self) -> usize {
        self.at + 1
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "q is not valid at character {}: {}", self.character(), self.rule)
    }
}

impl std::error::Error for QueryError {}

/// What has to hold of a span.
#[derive(Debug, Clone)]
pub enum Expression {
    /// Each of them.
    All(Vec<Expression>),
    /// One of them.
    Any(Vec<Expression>),
    /// Not this.
    Not(Box<Expression>),
    /// This text stands somewhere.
    Text(Box<str>),
    /// This holds of a key.
    Term(Term),
}

/// What has to hold of a key's value.
#[derive(Debug, Clone)]
pub struct Term {
    /// The key.
    pub key: Key,
    /// What has to hold.
    pub test: Test,
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// The service, its own or the one that a proxy called.
    Service,
    /// The namespace, likewise.
    Namespace,
    /// The span's name.
    Operation,
    /// The kind, in small letters.
    Kind,
    /// The status: `unset`, `ok` or `error`.
    Status,
    /// The status' message.
    StatusMessage,
    /// The duration, in nanoseconds.
    Duration,
    /// Whether the span failed.
    Error,
    /// The names of its events.
    Event,
    /// An attribute.
    Attribute {
        /// Whose.
        of: Owner,
        /// Its name.
        name: Box<str>,
    },
}

/// Whose attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The span's, or its resource's where the span has none of that name.
    Either,
    /// The span's.
    Span,
    /// Its resource's.
    Resource,
    /// That of the library which recorded it.
    Scope,
}

impl Key {
    /// The keys that every span has a value of, with their names.
    pub const INTRINSIC: [(&'static str, Key); 9] = [
        ("service", Key::Service),
        ("namespace", Key::Namespace),
        ("operation", Key::Operation),
        ("kind", Key::Kind),
        ("status", Key::Status),
        ("status_message", Key::StatusMessage),
        ("duration", Key::Duration),
        ("error", Key::Error),
        ("event", Key::Event),
    ];

    /// The key of this name.
    pub fn named(name: &str) -> Self {
        if let Some((_, key)) = Self::INTRINSIC.iter().find(|(known, _)| *known == name) {
            return key.clone();
        }
        let attribute = |of, name: &str| Self::Attribute { of, name: name.into() };
        let owners = [("span.", Owner::Span), ("resource.", Owner::Resource), ("scope.", Owner::Scope)];
        let owned = owners.into_iter().find_map(|(prefix, owner)| Some((owner, name.strip_prefix(prefix)?)));
        match owned.filter(|(_, name)| !name.is_empty()) {
            Some((owner, name)) => attribute(owner, name),
            None => attribute(Owner::Either, name),
        }
    }
}

/// What has to hold of a value.
#[derive(Debug, Clone)]
pub enum Test {
    /// There is one.
    Exists,
    /// It compares so.
    Compare(Comparison, Literal),
    /// The whole expression matches its text, or, with `false`, does not.
    Matches(Regex, bool),
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// They are equal.
    Equal,
    /// They are not.
    NotEqual,
    /// The span's is less.
    Less,
    /// … or equal.
    LessOrEqual,
    /// The span's is greater.
    Greater,
    /// … or equal.
    GreaterOrEqual,
}

/// What values are compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Literal {
    /// As it was written, without quotes.
    pub text: Box<str>,
    /// As a number, where it is one: not in quotes.
    pub number: Option<Number>,
}

/// A number, whole where it can be: not every whole number is one in floating point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole one.
    Int(i64),
    /// Any other.
    Double(f64),
}

/// What is asked of a span in one place of an expression.
#[derive(Debug, Clone, Copy)]
pub enum Leaf<'a> {
    /// As [`Expression::Text`].
    Text(&'a str),
    /// As [`Expression::Term`].
    Term(&'a Term),
}

/// A span as an expression looks at it.
pub trait Facts {
    /// Whether `test` holds of a value that the span has of the key. An array's values are tried one by one by
    /// whoever asks.
    fn any(&self, key: &Key, test: &mut dyn FnMut(&ValueRef<'_>) -> bool) -> bool;

    /// Whether a text stands in its service, name, status message, values of attributes or names of events.
    fn contains(&self, text: &str) -> bool;
}

impl Expression {
    /// Reads a query.
    ///
    /// # Errors
    /// What is wrong, and at which character.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        parse::parse(text)
    }

    /// Whether it holds of a span.
    pub fn holds(&self, span: &impl Facts) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(span)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(span)),
            Self::Not(part) => !part.holds(span),
            Self::Text(text) => span.contains(text),
            Self::Term(term) => span.any(&term.key, &mut |value| term.test.holds(value)),
        }
    }

    /// Whether it holds of spans of which not everything is known: `known` says of a leaf whether it does, where
    /// that can be told. `None` where it takes a look at the spans.
    pub fn decide(&self, known: &mut dyn FnMut(Leaf<'_>) -> Option<bool>) -> Option<bool> {
        // Whatever decides an AND or an OR does so also beside what is not known (Kleene's logic).
        let mut fold = |parts: &[Self], decisive: bool| {
            let mut sum = Some(!decisive);
            for part in parts {
                match part.decide(known) {
                    Some(truth) if truth == decisive => return Some(decisive),
                    Some(_) => {}
                    None => sum = None,
                }
            }
            sum
        };
        match self {
            Self::All(parts) => fold(parts, false),
            Self::Any(parts) => fold(parts, true),
            Self::Not(part) => part.decide(known).map(|truth| !truth),
            Self::Text(text) => known(Leaf::Text(text)),
            Self::Term(term) => known(Leaf::Term(term)),
        }
    }

    /// Terms of which each has to hold of a span for the whole to hold: by these, what is kept in blocks can be
    /// passed over. There may be none.
    pub fn necessary(&self) -> Vec<&Term> {
        match self {
            Self::Term(term) => vec![term],
            Self::All(parts) => parts.iter().flat_map(Self::necessary).collect(),
            Self::Any(_) | Self::Not(_) | Self::Text(_) => Vec::new(),
        }
    }
}

impl Test {
    /// Whether it holds of a value; of an array, whether it does of one of its values.
    pub fn holds(&self, value: &ValueRef<'_>) -> bool {
        if let ValueRef::Array(values) = value {
            return match self {
                Self::Exists => true,
                _ => values.iter().any(|value| self.holds(value)),
            };
        }
        match self {
            Self::Exists => true,
            Self::Compare(comparison, literal) => comparison.holds(value, literal),
            Self::Matches(regex, wanted) => match value {
                ValueRef::Str(text) => regex.is_match(text) == *wanted,
                ValueRef::Int(_) | ValueRef::Double(_) | ValueRef::Bool(_) => {
                    regex.is_match(&text_of(value)) == *wanted
                }
                _ => false,
            },
        }
    }
}

impl Comparison {
    fn holds(self, value: &ValueRef<'_>, literal: &Literal) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};

        let order = match (value, literal.number) {
            (ValueRef::Int(one), Some(Number::Int(other))) => Some(one.cmp(&other)),
            (ValueRef::Int(one), Some(Number::Double(other))) => (*one as f64).partial_cmp(&other),
            (ValueRef::Double(one), Some(Number::Int(other))) => one.partial_cmp(&(other as f64)),
            (ValueRef::Double(one), Some(Number::Double(other))) => one.partial_cmp(&other),
            // Of texts only equality is asked: `10` before `9` would mislead.
            (ValueRef::Str(one), _) => (**one == *literal.text).then_some(Equal),
            (ValueRef::Bool(one), _) => (*literal.text == *one.to_string()).then_some(Equal),
            _ => None,
        };
        let has_value = !matches!(value, ValueRef::Map(_) | ValueRef::Empty);
        match self {
            Self::Equal => order == Some(Equal),
            Self::NotEqual => has_value && order != Some(Equal),
            Self::Less => order == Some(Less),
            Self::LessOrEqual => matches!(order, Some(Less)) || order == Some(Equal) && is_number(value),
            Self::Greater => order == Some(Greater),
            Self::GreaterOrEqual => {
                matches!(order, Some(Greater)) || order == Some(Equal) && is_number(value)
            }
        }
    }
}

fn is_number(value: &ValueRef<'_>) -> bool {
    matches!(value, ValueRef::Int(_) | ValueRef::Double(_))
}

fn text_of(value: &ValueRef<'_>) -> String {
    match value {
        ValueRef::Int(number) => number.to_string(),
        // As Value writes it: 643.0 keeps its point.
        ValueRef::Double(number) => format!("{number:?}"),
        ValueRef::Bool(truth) => truth.to_string(),
        _ => String::new(),
    }
}

//! The pieces that a query's text is made of.

use super::{
    ast::{AggregateOp, BinaryOp},
    error::Span,
};
use crate::series::MatchOp;

/// A piece and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Span,
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The end of the text.
    End,
    /// Something that cannot be read; why is kept beside the pieces.
    Bad,
    Number,
    Duration,
    Text,
    /// A name, of anything.
    Name,
    /// A name with colons, which only metrics may have.
    MetricName,
    Word(Word),
    Aggregate(AggregateOp),
    Binary(BinaryOp),
    /// `=`, `=~`, `!~`, and inside of braces `!=`.
    Match(MatchOp),
    OpenParen,
    CloseParen,
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    Comma,
    Colon,
    At,
}

/// A word with a meaning of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Bool,
    Offset,
    Start,
    End,
}

const WORDS: [(&str, Word); 10] = [
    ("by", Word::By),
    ("without", Word::Without),
    ("on", Word::On),
    ("ignoring", Word::Ignoring),
    ("group_left", Word::GroupLeft),
    ("group_right", Word::GroupRight),
    ("bool", Word::Bool),
    ("offset", Word::Offset),
    ("start", Word::Start),
    ("end", Word::End),
];

/// The meaning of a word outside of braces, whatever its case.
pub(super) fn word(text: &str) -> Option<Kind> {
    let is = |name: &str| text.eq_ignore_ascii_case(name);
    if is("inf") || is("nan") {
        return Some(Kind::Number);
    }
    let word = WORDS.iter().find(|(name, _)| is(name)).map(|(_, word)| Kind::Word(*word));
    let aggregate = || AggregateOp::ALL.iter().find(|op| is(op.as_str())).map(|op| Kind::Aggregate(*op));
    let binary = || BinaryOp::ALL.iter().find(|op| is(op.as_str())).map(|op| Kind::Binary(*op));
    word.or_else(aggregate).or_else(binary)
}

impl Kind {
    /// As a message names it, with its text.
    pub(super) fn described(self, text: &str) -> String {
        match self {
            Self::End => "end of the query".to_owned(),
            Self::Bad => "what cannot be read".to_owned(),
            Self::Number => format!("number {text}"),
            Self::Duration => format!("duration {text}"),
            Self::Text => format!("string {text}"),
            Self::Name | Self::MetricName => format!("name {text}"),
            Self::Aggregate(_) => format!("aggregation {text}"),
            Self::Binary(_) | Self::Match(_) => format!("operator {text}"),
            _ => format!("\"{text}\""),
        }
    }

    /// Whether it can be the name of a metric.
    pub(super) fn names_a_metric(self) -> bool {
        match self {
            Self::Name | Self::MetricName | Self::Aggregate(_) => true,
            Self::Word(word) => {
                matches!(word, Word::By | Word::Without | Word::Offset | Word::Start | Word::End)
            }
            Self::Binary(op) => op.is_set(),
            _ => false,
        }
    }

    /// Whether it can be the name of a label in a list of labels.
    pub(super) fn names_a_label(self) -> bool {
        match self {
            Self::Name | Self::Aggregate(_) | Self::Word(_) => true,
            Self::Binary(op) => op.is_set() || op == BinaryOp::Atan2,
            _ => false,
        }
    }
}

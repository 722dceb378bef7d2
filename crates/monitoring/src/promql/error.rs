//! Where in the text of a query something stands, and what is wrong there.

use std::fmt;

/// A part of the query's text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The one after the last.
    pub end: usize,
}

impl Span {
    /// From one's beginning to another's end.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end.max(self.start) }
    }
}

/// A query that cannot be understood: where, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    span: Span,
    line: usize,
    column: usize,
    message: String,
}

impl ParseError {
    pub(super) fn new(source: &str, span: Span, message: impl Into<String>) -> Self {
        let before = source.get(..span.start).unwrap_or(source);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        Self { span, line, column, message: message.into() }
    }

    /// Which part of the text is meant.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// The line, the first one is 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The character in its line, the first one is 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong, without the position.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The line that is meant with a mark below the place, for a terminal.
    #[must_use]
    pub fn pointed(&self, source: &str) -> String {
        let line = source.lines().nth(self.line - 1).unwrap_or_default();
        let rest = source.get(self.span.start..self.span.end).unwrap_or_default();
        let marks = rest.lines().next().unwrap_or_default().chars().count().max(1);
        format!("{line}\n{}{}", " ".repeat(self.column - 1), "^".repeat(marks))
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: parse error: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}

//! PromQL: the language in which this field asks about series, as of Prometheus 2.42.
//!
//! [`parse`] makes an [`Expr`] of a text: every node knows where it stands, types are checked, and an
//! error points at the character and says what was expected there. [`Expr::pretty`] writes it again.
//!
//! An [`Evaluator`] answers a [`Query`] over whatever [`Storage`] stands behind it.
//!
//! The parser is our own, and not generated: a person reads what it says, and generated parsers know what
//! they could not go on with rather than what was missing. It descends by recursion, so depth is bounded
//! ([`MAX_DEPTH`]), for its own sake and for everyone who walks the tree after it.

pub mod ast;
mod duration;
mod error;
mod eval;
mod format;
mod functions;
mod lexer;
mod number;
mod parser;
mod selectors;
mod text;
mod token;
mod types;

pub use ast::{Expr, ExprKind};
pub use duration::{format_duration, parse_duration};
pub use error::{ParseError, Span};
pub use eval::{
    Answer, Evaluator, LOOKBACK, Limits, Point, Query, QueryError, ReadSeries, Samples, Selected, Storage,
    StorageError,
};
pub use functions::{Function, FunctionId};
pub use number::{format_float, parse_float};
pub use parser::{parse, parse_selector};
pub use text::quoted;
pub use types::ValueType;

/// How long the text of a query may be.
pub const MAX_QUERY_BYTES: usize = 256 << 10;

/// How many expressions may stand inside of each other. A chain such as `a + b + c` counts each operator.
pub const MAX_DEPTH: usize = 128;

#[cfg(test)]
mod tests;

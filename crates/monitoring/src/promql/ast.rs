//! The tree of a query. Every node knows where it stands in the text, and how deep it is.

use std::fmt;

use super::{
    error::Span,
    functions::Function,
    types::ValueType::{self, Matrix, Scalar, String as Text, Vector},
};
use crate::series::Matcher;

/// An expression and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
    depth: usize,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A number.
    Number(f64),
    /// A text.
    String(String),
    /// Series, by name and labels: `up{job="a"}`.
    Selector(Box<Selector>),
    /// Their samples over time: `up{job="a"}[5m]`.
    Range(Box<Selector>, i64),
    /// An expression evaluated again and again: `rate(up[5m])[1h:1m]`.
    Subquery(Box<Subquery>),
    /// An expression in parentheses.
    Paren(Box<Expr>),
    /// An expression with a sign before it; `true` means minus.
    Unary(bool, Box<Expr>),
    /// Two expressions and what stands between them.
    Binary(Box<Binary>),
    /// Many series made one, or fewer.
    Aggregate(Box<Aggregate>),
    /// A function and its arguments.
    Call(&'static Function, Vec<Expr>),
}

/// The time that `@` fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// A point in time, in milliseconds.
    Time(i64),
    /// Where the query starts.
    Start,
    /// Where the query ends.
    End,
}

/// Which time is meant, beside that of the evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct When {
    /// A fixed time instead.
    pub at: Option<At>,
    /// How long before, in milliseconds; negative means after.
    pub offset: Option<i64>,
}

/// Which series are meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    /// The name of the metric, where it stands before the braces.
    pub name: Option<String>,
    /// All conditions, that on the name among them.
    pub matchers: Vec<Matcher>,
    /// Which time.
    pub when: When,
}

/// An expression evaluated over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// Over how long, in milliseconds.
    pub range: i64,
    /// How often, in milliseconds; the store's default where it is not said.
    pub step: Option<i64>,
    /// Which time.
    pub when: When,
}

/// Two operands and their operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// The left operand.
    pub left: Expr,
    /// The right operand.
    pub right: Expr,
    /// Whether a comparison answers 0 or 1 instead of filtering.
    pub returns_bool: bool,
    /// Which series of both sides belong together.
    pub matching: Matching,
}

/// Which series of two sides belong together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matching {
    /// Whether the labels are the only ones to look at (`on`), or the only ones not to (`ignoring`).
    pub on: bool,
    /// The labels.
    pub labels: Vec<String>,
    /// How many of each side may belong together.
    pub group: Group,
    /// The labels that are taken over from the side that has one.
    pub include: Vec<String>,
}

/// How many series of each side may belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Group {
    /// One of each.
    #[default]
    OneToOne,
    /// Many of the left, `group_left`.
    Left,
    /// Many of the right, `group_right`.
    Right,
}

/// An aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// What it needs beside: how many, which quantile, which label.
    pub param: Option<Expr>,
    /// Whether the labels are those that go (`without`), or those that stay (`by`).
    pub without: bool,
    /// The labels.
    pub labels: Vec<String>,
}

macro_rules! operators {
    ($(#[$doc:meta])* $of:ident { $($id:ident $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "named as the language names them")]
        pub enum $of { $($id),* }

        impl $of {
            /// As it is written.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$id => $text),* }
            }

            /// All of them.
            pub(super) const ALL: &[Self] = &[$(Self::$id),*];
        }

        impl fmt::Display for $of {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

operators! {
    /// What stands between two operands.
    BinaryOp {
        Add "+", Sub "-", Mul "*", Div "/", Mod "%", Pow "^", Atan2 "atan2",
        Equal "==", NotEqual "!=", Greater ">", Less "<", GreaterEqual ">=", LessEqual "<=",
        And "and", Or "or", Unless "unless",
    }
}

impl BinaryOp {
    /// How tightly it binds.
    pub(super) fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Equal
            | Self::NotEqual
            | Self::Greater
            | Self::Less
            | Self::GreaterEqual
            | Self::LessEqual => 3,
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod | Self::Atan2 => 5,
            Self::Pow => 6,
        }
    }

    /// Whether it compares.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        self.precedence() == 3
    }

    /// Whether it combines sets of series.
    #[must_use]
    pub fn is_set(self) -> bool {
        self.precedence() < 3
    }
}

operators! {
    /// What makes many series one, or fewer.
    AggregateOp {
        Sum "sum", Avg "avg", Count "count", Min "min", Max "max", Group "group",
        Stddev "stddev", Stdvar "stdvar", Topk "topk", Bottomk "bottomk",
        CountValues "count_values", Quantile "quantile",
    }
}

impl AggregateOp {
    /// The type of the parameter, where there is one.
    #[must_use]
    pub fn parameter(self) -> Option<ValueType> {
        match self {
            Self::Topk | Self::Bottomk | Self::Quantile => Some(Scalar),
            Self::CountValues => Some(Text),
            _ => None,
        }
    }
}

impl Expr {
    pub(super) fn new(kind: ExprKind, span: Span) -> Self {
        let mut depth = 0;
        let mut below = |child: &Self| depth = depth.max(child.depth);
        match &kind {
            ExprKind::Subquery(subquery) => below(&subquery.expr),
            ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => below(inner),
            ExprKind::Binary(binary) => {
                below(&binary.left);
                below(&binary.right);
            }
            ExprKind::Aggregate(aggregate) => {
                below(&aggregate.expr);
                aggregate.param.iter().for_each(below);
            }
            ExprKind::Call(_, arguments) => arguments.iter().for_each(below),
            _ => {}
        }
        Self { kind, span, depth: depth + 1 }
    }

    /// How many expressions stand inside of each other here.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// What it evaluates to.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => Scalar,
            ExprKind::String(_) => Text,
            ExprKind::Selector(_) | ExprKind::Aggregate(_) => Vector,
            ExprKind::Range(..) | ExprKind::Subquery(_) => Matrix,
            ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => inner.value_type(),
            ExprKind::Binary(binary) => match (binary.left.value_type(), binary.right.value_type()) {
                (Scalar, Scalar) => Scalar,
                _ => Vector,
            },
            ExprKind::Call(function, _) => function.returns,
        }
    }

    /// The expression inside of all parentheses.
    #[must_use]
    pub fn unwrapped(&self) -> &Self {
        let mut expr = self;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }

    /// All selectors in it, from left to right.
    #[must_use]
    pub fn selectors(&self) -> Vec<&Selector> {
        let mut found = Vec::new();
        self.walk(&mut |expr| {
            if let ExprKind::Selector(selector) | ExprKind::Range(selector, _) = &expr.kind {
                found.push(&**selector);
            }
        });
        found
    }

    /// Visits it and everything below, from left to right.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        visit(self);
        match &self.kind {
            ExprKind::Subquery(subquery) => subquery.expr.walk(visit),
            ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => inner.walk(visit),
            ExprKind::Binary(binary) => {
                binary.left.walk(visit);
                binary.right.walk(visit);
            }
            ExprKind::Aggregate(aggregate) => {
                aggregate.param.iter().for_each(|param| param.walk(visit));
                aggregate.expr.walk(visit);
            }
            ExprKind::Call(_, arguments) => arguments.iter().for_each(|argument| argument.walk(visit)),
            _ => {}
        }
    }
}

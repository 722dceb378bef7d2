//! How an expression is written: on one line, or over several where one would be too long.

use std::fmt::{self, Write};

use super::{
    ast::{Aggregate, At, Binary, Expr, ExprKind, Group, Selector, Subquery, When},
    duration::format_duration,
    number::format_float,
    text::quoted,
};
use crate::series::{METRIC_NAME, MatchOp, is_label_name, is_metric_name};

/// What is longer than this is written over several lines.
const LINE: usize = 100;

impl Expr {
    /// Writes it for a reader: what does not fit on a line is broken at its operators and arguments.
    #[must_use]
    pub fn pretty(&self) -> String {
        self.indented(0)
    }

    fn indented(&self, level: usize) -> String {
        let (own, whole) = ("  ".repeat(level), self.to_string());
        if whole.len() <= LINE {
            // A subquery leaves the indent to what it evaluates, also where that fits.
            let indent = if matches!(self.kind, ExprKind::Subquery(_)) { "" } else { &own };
            return format!("{indent}{whole}");
        }
        let inner = level + 1;
        match &self.kind {
            ExprKind::Aggregate(aggregate) => {
                let param = aggregate.param.as_ref();
                let param = param.map_or(String::new(), |param| format!("{},\n", param.indented(inner)));
                format!("{own}{}(\n{param}{}\n{own})", aggregate.head(), aggregate.expr.indented(inner))
            }
            ExprKind::Binary(binary) => {
                let (left, right) = (binary.left.indented(inner), binary.right.indented(inner));
                format!("{left}\n{own}{}\n{right}", binary.sign())
            }
            ExprKind::Call(function, arguments) => {
                let arguments: Vec<String> =
                    arguments.iter().map(|argument| argument.indented(inner)).collect();
                format!("{own}{}(\n{}\n{own})", function.name, arguments.join(",\n"))
            }
            ExprKind::Paren(paren) => format!("{own}(\n{}\n{own})", paren.indented(inner)),
            ExprKind::Subquery(subquery) => format!("{}{}", subquery.expr.indented(level), subquery.suffix()),
            ExprKind::Unary(minus, operand) => {
                let sign = if *minus { '-' } else { '+' };
                format!("{own}{sign}{}", operand.indented(level).trim())
            }
            _ => format!("{own}{whole}"),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => f.write_str(&format_float(*number, 1e-4, 1e21)),
            ExprKind::String(text) => f.write_str(&quoted(text)),
            ExprKind::Selector(selector) => selector.write(f, None),
            ExprKind::Range(selector, range) => selector.write(f, Some(*range)),
            ExprKind::Subquery(subquery) => write!(f, "{}{}", subquery.expr, subquery.suffix()),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
            ExprKind::Unary(minus, operand) => write!(f, "{}{operand}", if *minus { '-' } else { '+' }),
            ExprKind::Binary(binary) => write!(f, "{} {} {}", binary.left, binary.sign(), binary.right),
            ExprKind::Aggregate(aggregate) => {
                write!(f, "{}(", aggregate.head())?;
                if let Some(param) = &aggregate.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            ExprKind::Call(function, arguments) => {
                let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
                write!(f, "{}({})", function.name, arguments.join(", "))
            }
        }
    }
}

impl Selector {
    fn write(&self, f: &mut fmt::Formatter<'_>, range: Option<i64>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or_default();
        let plain = name.is_empty() || is_metric_name(name);
        let is_name = |matcher: &&crate::series::Matcher| {
            matcher.op() == MatchOp::Equal && matcher.name() == METRIC_NAME && matcher.value() == name
        };
        let rest = self.matchers.iter().filter(|matcher| !is_name(matcher));
        let mut written: Vec<String> = rest.map(ToString::to_string).collect();
        written.sort();
        if plain {
            f.write_str(name)?;
        } else {
            written.insert(0, quoted(name));
        }
        if !written.is_empty() {
            write!(f, "{{{}}}", written.join(","))?;
        }
        if let Some(range) = range {
            write!(f, "[{}]", format_duration(range))?;
        }
        self.when.write(f)
    }
}

impl When {
    fn write(&self, f: &mut impl Write) -> fmt::Result {
        match self.at {
            #[allow(clippy::cast_precision_loss, reason = "written to the millisecond")]
            Some(At::Time(time)) => write!(f, " @ {:.3}", time as f64 / 1000.0)?,
            Some(At::Start) => f.write_str(" @ start()")?,
            Some(At::End) => f.write_str(" @ end()")?,
            None => {}
        }
        match self.offset {
            Some(offset) => write!(f, " offset {}", format_duration(offset)),
            None => Ok(()),
        }
    }
}

impl Subquery {
    fn suffix(&self) -> String {
        let step = self.step.map_or(String::new(), format_duration);
        let mut written = format!("[{}:{step}]", format_duration(self.range));
        // Writing into a text does not fail.
        let _ = self.when.write(&mut written);
        written
    }
}

fn list(labels: &[String]) -> String {
    let written = |label: &String| if is_label_name(label) { label.clone() } else { quoted(label) };
    labels.iter().map(written).collect::<Vec<_>>().join(", ")
}

impl Aggregate {
    fn head(&self) -> String {
        match (self.without, self.labels.is_empty()) {
            (true, _) => format!("{} without ({}) ", self.op, list(&self.labels)),
            (false, false) => format!("{} by ({}) ", self.op, list(&self.labels)),
            (false, true) => self.op.to_string(),
        }
    }
}

impl Binary {
    /// The operator with its modifiers.
    fn sign(&self) -> String {
        let mut written = self.op.to_string();
        if self.returns_bool {
            written.push_str(" bool");
        }
        let matching = &self.matching;
        if matching.on || !matching.labels.is_empty() {
            let word = if matching.on { "on" } else { "ignoring" };
            written.push_str(&format!(" {word} ({})", list(&matching.labels)));
            let group = match matching.group {
                Group::OneToOne => return written,
                Group::Left => "left",
                Group::Right => "right",
            };
            written.push_str(&format!(" group_{group} ({})", list(&matching.include)));
        }
        written
    }
}

//! Selectors of series: a name, and conditions on labels in braces.

use super::{
    ast::{Selector, When},
    error::Span,
    parser::{Parsed, Parser},
    token::{Kind, Token},
};
use crate::series::{METRIC_NAME, MatchOp, Matcher};

/// How many conditions one selector may have.
const MAX_MATCHERS: usize = 256;

impl Parser<'_> {
    /// `name`, `name{…}` or `{…}`. A name in quotes may stand first inside of the braces, which is how
    /// names that are no words are written.
    pub(super) fn series(&mut self) -> Parsed<Selector> {
        let first = self.peek();
        let mut selector = Selector { name: None, matchers: Vec::new(), when: When::default() };
        if first.kind.names_a_metric() {
            self.next();
            selector.name = Some(self.text(first).to_owned());
        }
        if self.peek().kind == Kind::OpenBrace {
            self.next();
            self.conditions(&mut selector)?;
        }
        let last = self.peek().span.start.max(first.span.end);
        if let Some(name) = &selector.name {
            let matcher = Matcher::new(METRIC_NAME, MatchOp::Equal, name.as_str());
            selector.matchers.push(matcher.map_err(|error| self.error(first.span, error.to_string()))?);
        }
        if selector.matchers.iter().all(|matcher| matcher.matches("")) {
            let span = Span { start: first.span.start, end: last };
            let why =
                "at least one condition has to exclude the empty value, or everything would be selected";
            return Err(self.error(span, why));
        }
        Ok(selector)
    }

    fn conditions(&mut self, selector: &mut Selector) -> Parsed<()> {
        loop {
            let label = self.peek();
            match label.kind {
                Kind::CloseBrace => break,
                Kind::Name | Kind::Text => self.next(),
                _ => return Err(self.unexpected("the name of a label or a closing brace")),
            };
            self.condition(label, selector)?;
            if selector.matchers.len() > MAX_MATCHERS {
                return Err(self.error(label.span, format!("more than {MAX_MATCHERS} conditions")));
            }
            if !self.accept(Kind::Comma) {
                break;
            }
        }
        self.expect(Kind::CloseBrace, "a comma or a closing brace").map(|_| ())
    }

    fn condition(&mut self, label: Token, selector: &mut Selector) -> Parsed<()> {
        let quoted = label.kind == Kind::Text;
        let name = if quoted { self.string(label)? } else { self.text(label).to_owned() };
        let sign = self.peek();
        let Kind::Match(op) = sign.kind else {
            if !quoted || !matches!(sign.kind, Kind::Comma | Kind::CloseBrace) {
                return Err(self.unexpected("one of = != =~ !~"));
            }
            return match selector.name.replace(name) {
                Some(first) => Err(self.twice(label, &first)),
                None => Ok(()),
            };
        };
        self.next();
        let text = self.expect(Kind::Text, "a string in quotes")?;
        if let (METRIC_NAME, Some(first)) = (name.as_str(), &selector.name) {
            return Err(self.twice(label, first));
        }
        let value = self.string(text)?;
        let matcher = Matcher::new(name, op, value);
        selector.matchers.push(matcher.map_err(|error| self.error(text.span, error.to_string()))?);
        Ok(())
    }

    fn twice(&self, label: Token, first: &str) -> super::ParseError {
        self.error(label.span, format!("the name of the metric is set twice, it is {first} already"))
    }
}

//! From words to an expression.

use identity::duration;
use regex::RegexBuilder;

use super::{
    Expression, Key, Literal, MAX_BYTES, MAX_DEPTH, MAX_REGEX_BYTES, MAX_TERMS, Number, QueryError, Term,
    Test,
    tokens::{Operator, Placed, Token, tokens},
};

pub(super) fn parse(text: &str) -> Result<Expression, QueryError> {
    if text.len() > MAX_BYTES {
        return Err(QueryError::new(0, format!("it is longer than {MAX_BYTES} bytes")));
    }
    let end = text.chars().count();
    let mut parser = Parser { tokens: tokens(text)?, next: 0, end, terms: 0 };
    let expression = parser.any(0)?;
    match parser.peek() {
        None => Ok(expression),
        Some((at, Token::Close)) => Err(QueryError::new(*at, "this parenthesis closes nothing")),
        Some((at, _)) => Err(QueryError::new(*at, "expected AND, OR or the end")),
    }
}

struct Parser {
    tokens: Vec<Placed>,
    next: usize,
    /// Where the query ends.
    end: usize,
    terms: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Placed> {
        self.tokens.get(self.next)
    }

    /// Where the next word begins.
    fn place(&self) -> usize {
        self.peek().map_or(self.end, |(at, _)| *at)
    }

    fn takes(&mut self, token: &Token) -> bool {
        let is_it = self.peek().is_some_and(|(_, next)| next == token);
        self.next += usize::from(is_it);
        is_it
    }

    fn any(&mut self, depth: usize) -> Result<Expression, QueryError> {
        let mut parts = vec![self.all(depth)?];
        while self.takes(&Token::Or) {
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Expression, QueryError> {
        let mut parts = vec![self.not(depth)?];
        loop {
            let joined = self.takes(&Token::And);
            let ends = matches!(self.peek(), None | Some((_, Token::Or | Token::Close)));
            if !joined && ends {
                return Ok(one_or(parts, Expression::All));
            }
            parts.push(self.not(depth)?);
        }
    }

    fn not(&mut self, depth: usize) -> Result<Expression, QueryError> {
        let at = self.place();
        if depth > MAX_DEPTH {
            return Err(QueryError::new(at, format!("it is nested deeper than {MAX_DEPTH}")));
        }
        if self.takes(&Token::Not) {
            return Ok(Expression::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.takes(&Token::Open) {
            let inner = self.any(depth + 1)?;
            return match self.takes(&Token::Close) {
                true => Ok(inner),
                false => Err(QueryError::new(at, "this parenthesis is never closed")),
            };
        }
        self.term(at)
    }

    fn term(&mut self, at: usize) -> Result<Expression, QueryError> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(QueryError::new(at, format!("it has more than {MAX_TERMS} terms")));
        }
        if self.takes(&Token::Exists) {
            let opened = self.takes(&Token::Open);
            let key = self
                .name()
                .ok_or_else(|| QueryError::new(self.place(), "expected a key, as in exists(http.route)"))?;
            if opened && !self.takes(&Token::Close) {
                return Err(QueryError::new(self.place(), "expected ')' after the key"));
            }
            return Ok(Expression::Term(Term { key: Key::named(&key), test: Test::Exists }));
        }
        let name = self.name().ok_or_else(|| {
            QueryError::new(at, "expected a text, a comparison such as service=shop, or a parenthesis")
        })?;
        if self.takes(&Token::Exists) {
            return Ok(Expression::Term(Term { key: Key::named(&name), test: Test::Exists }));
        }
        let Some((_, Token::Operator(operator))) = self.peek() else {
            if name.is_empty() {
                return Err(QueryError::new(at, "an empty text stands everywhere"));
            }
            return Ok(Expression::Text(name.into()));
        };
        let operator = *operator;
        self.next += 1;
        let key = Key::named(&name);
        let test = self.test(&key, operator)?;
        Ok(Expression::Term(Term { key, test }))
    }

    /// A word or a text in quotes.
    fn name(&mut self) -> Option<String> {
        let (_, Token::Word(text) | Token::Quoted(text)) = self.peek()? else { return None };
        let text = text.clone();
        self.next += 1;
        Some(text)
    }

    fn test(&mut self, key: &Key, operator: Operator) -> Result<Test, QueryError> {
        let at = self.place();
        let is_quoted = matches!(self.peek(), Some((_, Token::Quoted(_))));
        let text =
            self.name().ok_or_else(|| QueryError::new(at, "expected a value, in quotes if it has spaces"))?;
        match operator {
            Operator::Matches(wanted) => {
                // Of the whole value, as Prometheus' matchers are.
                let regex = RegexBuilder::new(&format!("^(?s:{text})$"))
                    .size_limit(MAX_REGEX_BYTES)
                    .dfa_size_limit(MAX_REGEX_BYTES)
                    .build();
                let regex = regex.map_err(|error| {
                    let text = error.to_string();
                    let why =
                        text.lines().last().unwrap_or("it cannot be read").trim_start_matches("error: ");
                    QueryError::new(at, format!("no regular expression: {why}"))
                })?;
                Ok(Test::Matches(regex, wanted))
            }
            Operator::Compare(comparison) => {
                Ok(Test::Compare(comparison, literal(key, text, is_quoted, at)?))
            }
        }
    }
}

fn one_or(mut parts: Vec<Expression>, many: impl Fn(Vec<Expression>) -> Expression) -> Expression {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            many(parts)
        }
        (_, None) => many(parts),
    }
}

fn literal(key: &Key, text: String, is_quoted: bool, at: usize) -> Result<Literal, QueryError> {
    let of = |number: Option<Number>| Literal { text: text.as_str().into(), number };
    match key {
        Key::Duration => {
            let whole = text.parse::<u64>().ok();
            let period = || {
                duration::parse(&text).ok().map(|period| u64::try_from(period.as_nanos()).unwrap_or(u64::MAX))
            };
            let nanos = whole.or_else(period).ok_or_else(|| {
                QueryError::new(
                    at,
                    format!("{text:?} is no duration: such as 250ms, or nanoseconds as a number"),
                )
            })?;
            Ok(of(Some(Number::Int(i64::try_from(nanos).unwrap_or(i64::MAX)))))
        }
        Key::Error if !matches!(text.as_str(), "true" | "false") => {
            Err(QueryError::new(at, "error is true or false"))
        }
        Key::Kind if !crate::Kind::ALL.iter().any(|kind| kind.as_str() == text) => {
            Err(QueryError::new(at, "kind is internal, server, client, producer or consumer"))
        }
        Key::Status if !matches!(text.as_str(), "unset" | "ok" | "error") => {
            Err(QueryError::new(at, "status is unset, ok or error"))
        }
        _ if is_quoted => Ok(of(None)),
        _ => {
            let double = || text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Number::Double);
            Ok(of(text.parse::<i64>().ok().map(Number::Int).or_else(double)))
        }
    }
}

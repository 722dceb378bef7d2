//! From pieces to a tree, by descending: each kind of expression is a function, and operators climb by how tightly
//! they bind. What an expression may consist of is checked where it is made, so that a message can say which
//! operand is the wrong one.

use super::{
    MAX_DEPTH, MAX_QUERY_BYTES, ValueType,
    ast::{
        Aggregate, AggregateOp, At, Binary, BinaryOp, Expr, ExprKind, Group, Matching, Selector, Subquery,
        When,
    },
    error::{ParseError, Span},
    functions::Function,
    lexer::pieces,
    number::parse_number,
    text::unquoted,
    token::{Kind, Token, Word},
};

/// What every function of the parser gives.
pub(super) type Parsed<T> = Result<T, ParseError>;

/// Reads a query.
///
/// # Errors
///
/// Where the text is no query: the place, and what was expected there.
pub fn parse(source: &str) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(source)?;
    if parser.peek().kind == Kind::End {
        return Err(parser.error(parser.peek().span, "the query is empty, expected an expression"));
    }
    let expr = parser.expression(0)?;
    parser.end("an operator or the end of the query")?;
    Ok(expr)
}

/// Reads a selector of series by itself, without a time.
///
/// # Errors
///
/// Where the text is no selector.
pub fn parse_selector(source: &str) -> Result<Selector, ParseError> {
    let expr = parse(source)?;
    match expr.kind {
        ExprKind::Selector(selector) if selector.when == When::default() => Ok(*selector),
        _ => Err(ParseError::new(source, expr.span, "expected a selector of series, such as up{job=\"a\"}")),
    }
}

pub(super) struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    bad: Option<ParseError>,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(source: &'a str) -> Parsed<Self> {
        if source.len() > MAX_QUERY_BYTES {
            let why = format!("the query has {} bytes, more than {MAX_QUERY_BYTES}", source.len());
            return Err(ParseError::new(source, Span::default(), why));
        }
        let (tokens, bad) = pieces(source);
        Ok(Self { source, tokens, bad, at: 0, depth: 0 })
    }

    // The pieces.

    fn token(&self, at: usize) -> Token {
        let end = Span { start: self.source.len(), end: self.source.len() };
        self.tokens.get(at).or(self.tokens.last()).copied().unwrap_or(Token { kind: Kind::End, span: end })
    }

    pub(super) fn peek(&self) -> Token {
        self.token(self.at)
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.peek();
        self.at += 1;
        token
    }

    pub(super) fn accept(&mut self, kind: Kind) -> bool {
        let found = self.peek().kind == kind;
        if found {
            self.at += 1;
        }
        found
    }

    pub(super) fn expect(&mut self, kind: Kind, expected: &str) -> Parsed<Token> {
        if self.peek().kind == kind { Ok(self.next()) } else { Err(self.unexpected(expected)) }
    }

    fn end(&mut self, expected: &str) -> Parsed<()> {
        self.expect(Kind::End, expected).map(|_| ())
    }

    pub(super) fn text(&self, token: Token) -> &'a str {
        self.source.get(token.span.start..token.span.end).unwrap_or_default()
    }

    pub(super) fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.source, span, message)
    }

    /// What is wrong with the next piece: why it cannot be read, or that something else was expected.
    pub(super) fn unexpected(&self, expected: &str) -> ParseError {
        let token = self.peek();
        if let (Kind::Bad, Some(bad)) = (token.kind, &self.bad) {
            return bad.clone();
        }
        let found = token.kind.described(self.text(token));
        self.error(token.span, format!("unexpected {found}, expected {expected}"))
    }

    /// A finished node, if it is not too deep.
    fn node(&self, kind: ExprKind, span: Span) -> Parsed<Expr> {
        let expr = Expr::new(kind, span);
        if expr.depth() > MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        Ok(expr)
    }

    fn too_deep(&self, span: Span) -> ParseError {
        self.error(span, format!("more than {MAX_DEPTH} expressions inside of each other"))
    }

    // Expressions.

    /// An expression of operators that bind at least as tightly as said.
    fn expression(&mut self, least: u8) -> Parsed<Expr> {
        if self.depth >= MAX_DEPTH {
            return Err(self.too_deep(self.peek().span));
        }
        self.depth += 1;
        let result = self.operators(least);
        self.depth -= 1;
        result
    }

    fn operators(&mut self, least: u8) -> Parsed<Expr> {
        let mut left = self.signed()?;
        while let Kind::Binary(op) = self.peek().kind {
            if op.precedence() < least {
                break;
            }
            let sign = self.next();
            let (returns_bool, matching, matching_span) = self.modifiers()?;
            // What binds as tightly belongs to the left, but for powers.
            let right = self.expression(op.precedence() + u8::from(op != BinaryOp::Pow))?;
            let matching = matching.as_ref().map(|matching| (matching, matching_span));
            self.operands(op, (&left, &right), sign.span, returns_bool, matching)?;
            let span = left.span.to(right.span);
            let matching = matching.map(|(matching, _)| matching.clone()).unwrap_or_default();
            let binary = Binary { op, left, right, returns_bool, matching };
            left = self.node(ExprKind::Binary(Box::new(binary)), span)?;
        }
        Ok(left)
    }

    /// An operand with the signs before it, which bind like a multiplication.
    fn signed(&mut self) -> Parsed<Expr> {
        let minus = match self.peek().kind {
            Kind::Binary(BinaryOp::Sub) => true,
            Kind::Binary(BinaryOp::Add) => false,
            _ => return self.operand(),
        };
        let sign = self.next();
        let inner = self.expression(BinaryOp::Pow.precedence())?;
        let span = sign.span.to(inner.span);
        if let ExprKind::Number(number) = inner.kind {
            return self.node(ExprKind::Number(if minus { -number } else { number }), span);
        }
        let of = inner.value_type();
        if !matches!(of, ValueType::Scalar | ValueType::Vector) {
            let why = format!("a sign stands before a scalar or an instant vector, not before a {of}");
            return Err(self.error(inner.span, why));
        }
        self.node(ExprKind::Unary(minus, Box::new(inner)), span)
    }

    /// An operand with what stands after it: a range, an offset, a time.
    fn operand(&mut self) -> Parsed<Expr> {
        let mut expr = self.primary()?;
        loop {
            expr = match self.peek().kind {
                Kind::OpenBracket => self.range(expr)?,
                Kind::Word(Word::Offset) => self.offset(expr)?,
                Kind::At => self.at(expr)?,
                _ => return Ok(expr),
            };
        }
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let token = self.peek();
        match token.kind {
            Kind::Number => {
                self.next();
                let number = parse_number(self.text(token)).unwrap_or(f64::NAN);
                self.node(ExprKind::Number(number), token.span)
            }
            Kind::Text => {
                self.next();
                let text = self.string(token)?;
                self.node(ExprKind::String(text), token.span)
            }
            Kind::OpenParen => {
                self.next();
                let inner = self.expression(0)?;
                let close = self.expect(Kind::CloseParen, "an operator or a closing parenthesis")?;
                self.node(ExprKind::Paren(Box::new(inner)), token.span.to(close.span))
            }
            Kind::Aggregate(op) if self.aggregates() => self.aggregate(op),
            Kind::Name if self.token(self.at + 1).kind == Kind::OpenParen => self.call(),
            kind if kind.names_a_metric() || kind == Kind::OpenBrace => self.selector(),
            _ => Err(self.unexpected("an expression")),
        }
    }

    /// Whether what follows the name of an aggregation makes it one; it may be the name of a metric as well.
    fn aggregates(&self) -> bool {
        matches!(self.token(self.at + 1).kind, Kind::OpenParen | Kind::Word(Word::By | Word::Without))
    }

    fn selector(&mut self) -> Parsed<Expr> {
        let start = self.peek().span;
        let selector = self.series()?;
        let last = self.token(self.at - 1).span;
        self.node(ExprKind::Selector(Box::new(selector)), start.to(last))
    }

    pub(super) fn string(&self, token: Token) -> Parsed<String> {
        unquoted(self.text(token)).map_err(|(at, why)| {
            let start = token.span.start + at + 1;
            self.error(Span { start, end: start + 1 }, why)
        })
    }

    // Operators.

    fn modifiers(&mut self) -> Parsed<(bool, Option<Matching>, Span)> {
        let returns_bool = self.accept(Kind::Word(Word::Bool));
        let first = self.peek();
        let on = match first.kind {
            Kind::Word(Word::On) => true,
            Kind::Word(Word::Ignoring) => false,
            Kind::Word(Word::GroupLeft | Word::GroupRight) => {
                return Err(self.unexpected("on (…) or ignoring (…) before it"));
            }
            _ => return Ok((returns_bool, None, first.span)),
        };
        self.next();
        let mut matching = Matching { on, labels: self.label_list()?, ..Matching::default() };
        matching.group = match self.peek().kind {
            Kind::Word(Word::GroupLeft) => Group::Left,
            Kind::Word(Word::GroupRight) => Group::Right,
            _ => Group::OneToOne,
        };
        if matching.group != Group::OneToOne {
            self.next();
            if self.peek().kind == Kind::OpenParen {
                matching.include = self.label_list()?;
            }
        }
        Ok((returns_bool, Some(matching), first.span.to(self.token(self.at - 1).span)))
    }

    /// Whether an operator and its modifiers may stand between two operands.
    fn operands(
        &self,
        op: BinaryOp,
        (left, right): (&Expr, &Expr),
        sign: Span,
        returns_bool: bool,
        matching: Option<(&Matching, Span)>,
    ) -> Parsed<()> {
        for side in [left, right] {
            if !matches!(side.value_type(), ValueType::Scalar | ValueType::Vector) {
                let of = side.value_type();
                let why = format!("{op} works on scalars and instant vectors, and this is a {of}");
                return Err(self.error(side.span, why));
            }
        }
        if returns_bool && !op.is_comparison() {
            return Err(self.error(sign, format!("bool belongs to a comparison, and {op} is none")));
        }
        let scalars = [left, right].iter().filter(|side| side.value_type() == ValueType::Scalar).count();
        if scalars == 2 && op.is_comparison() && !returns_bool {
            return Err(self.error(sign, format!("a comparison of scalars needs bool: {op} bool")));
        }
        if op.is_set() && scalars > 0 {
            return Err(self.error(sign, format!("{op} works on instant vectors, and one side is a scalar")));
        }
        matching.map_or(Ok(()), |(matching, span)| self.matching(op, scalars == 0, matching, span))
    }

    fn matching(&self, op: BinaryOp, vectors: bool, matching: &Matching, span: Span) -> Parsed<()> {
        if !vectors && !matching.labels.is_empty() {
            return Err(
                self.error(span, "labels are matched between two instant vectors, and one side is a scalar")
            );
        }
        if op.is_set() && matching.group != Group::OneToOne {
            return Err(self
                .error(span, format!("{op} matches many to many, group_left and group_right do not apply")));
        }
        let twice = matching.include.iter().find(|label| matching.on && matching.labels.contains(label));
        match twice {
            Some(label) => Err(self.error(span, format!("label {label} stands both in on and in the group"))),
            None => Ok(()),
        }
    }

    // Aggregations and functions.

    fn aggregate(&mut self, op: AggregateOp) -> Parsed<Expr> {
        let name = self.next();
        let mut grouping = self.grouping()?;
        let open = self.peek();
        let (mut arguments, close) = self.arguments()?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let (without, labels) = grouping.unwrap_or_default();
        let span = name.span.to(self.token(self.at - 1).span);
        let takes = 1 + usize::from(op.parameter().is_some());
        if arguments.len() != takes {
            let what = if takes == 2 { "a parameter and an instant vector" } else { "an instant vector" };
            let why = format!("{op} takes {what}, and was given {} arguments", arguments.len());
            return Err(self.error(open.span.to(close.span), why));
        }
        let of = arguments.pop();
        let param = arguments.pop();
        let Some(expr) = of else { return Err(self.unexpected("an argument")) };
        self.typed(&expr, ValueType::Vector, op.as_str())?;
        if let (Some(param), Some(wanted)) = (&param, op.parameter()) {
            self.typed(param, wanted, op.as_str())?;
        }
        let aggregate = Aggregate { op, expr, param, without, labels };
        self.node(ExprKind::Aggregate(Box::new(aggregate)), span)
    }

    fn grouping(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let without = match self.peek().kind {
            Kind::Word(Word::By) => false,
            Kind::Word(Word::Without) => true,
            _ => return Ok(None),
        };
        self.next();
        Ok(Some((without, self.label_list()?)))
    }

    fn label_list(&mut self) -> Parsed<Vec<String>> {
        self.expect(Kind::OpenParen, "a list of labels in parentheses")?;
        let mut labels = Vec::new();
        loop {
            let token = self.peek();
            match token.kind {
                Kind::CloseParen => break,
                Kind::Text => labels.push(self.string(token)?),
                kind if kind.names_a_label() => labels.push(self.text(token).to_owned()),
                _ => return Err(self.unexpected("the name of a label or a closing parenthesis")),
            }
            self.next();
            if !self.accept(Kind::Comma) {
                break;
            }
        }
        self.expect(Kind::CloseParen, "a comma or a closing parenthesis")?;
        Ok(labels)
    }

    fn arguments(&mut self) -> Parsed<(Vec<Expr>, Token)> {
        self.expect(Kind::OpenParen, "arguments in parentheses")?;
        let mut arguments = Vec::new();
        if self.peek().kind == Kind::CloseParen {
            return Ok((arguments, self.next()));
        }
        loop {
            arguments.push(self.expression(0)?);
            if !self.accept(Kind::Comma) {
                let close = self.expect(Kind::CloseParen, "an operator, a comma or a closing parenthesis")?;
                return Ok((arguments, close));
            }
            if self.peek().kind == Kind::CloseParen {
                return Err(self.unexpected("another argument after the comma"));
            }
        }
    }

    fn call(&mut self) -> Parsed<Expr> {
        let name = self.next();
        let Some(function) = Function::find(self.text(name)) else {
            return Err(self.unknown_function(name));
        };
        let open = self.peek();
        let (arguments, close) = self.arguments()?;
        let (least, most) = function.arity();
        if arguments.len() < least || most.is_some_and(|most| arguments.len() > most) {
            let takes = match most {
                Some(most) if most == least => format!("{least}"),
                Some(most) => format!("{least} to {most}"),
                None => format!("at least {least}"),
            };
            let why = format!("{} takes {takes} arguments, and was given {}", function.name, arguments.len());
            return Err(self.error(open.span.to(close.span), why));
        }
        for (place, argument) in arguments.iter().enumerate() {
            let wanted = function.arguments.get(place).or(function.arguments.last());
            if let Some(wanted) = wanted {
                self.typed(argument, *wanted, function.name)?;
            }
        }
        self.node(ExprKind::Call(function, arguments), name.span.to(close.span))
    }

    fn unknown_function(&self, name: Token) -> ParseError {
        let text = self.text(name);
        let near = |known: &str| known.eq_ignore_ascii_case(text) || one_edit(known, text);
        let aggregates = AggregateOp::ALL.iter().map(|op| op.as_str());
        let mut known =
            Function::all().iter().map(|known| known.name).chain(aggregates).filter(|known| near(known));
        // A name with a letter missing is meant more often than one with another letter.
        let nearest = known.clone().find(|known| known.len() > text.len()).or_else(|| known.next());
        let hint = nearest.map_or(String::new(), |known| format!(", did you mean {known}?"));
        self.error(name.span, format!("unknown function {text}{hint}"))
    }

    fn typed(&self, expr: &Expr, wanted: ValueType, of: &str) -> Parsed<()> {
        let found = expr.value_type();
        if found == wanted {
            return Ok(());
        }
        let hint = match (wanted, found) {
            (ValueType::Matrix, ValueType::Vector) => ", add a range such as [5m]",
            (ValueType::Vector, ValueType::Scalar) => ", vector(…) makes one of a scalar",
            _ => "",
        };
        Err(self.error(
            expr.span,
            format!("{of} expects a value of type {wanted} here, and this is a {found}{hint}"),
        ))
    }

    // What stands after an operand.

    pub(super) fn duration(&mut self, expected: &str) -> Parsed<i64> {
        let token = self.expect(Kind::Duration, expected)?;
        match super::parse_duration(self.text(token)) {
            Ok(0) => Err(self.error(token.span, "a duration has to be greater than 0")),
            Ok(duration) => Ok(duration),
            Err(why) => Err(self.error(token.span, why)),
        }
    }

    fn range(&mut self, expr: Expr) -> Parsed<Expr> {
        self.next();
        let range = self.duration("a duration such as 5m")?;
        let subquery = self.accept(Kind::Colon);
        let step = match self.peek().kind {
            Kind::Duration if subquery => Some(self.duration("a duration")?),
            _ => None,
        };
        let expected = match (subquery, step) {
            (false, _) => "a colon or a closing bracket",
            (true, None) => "a duration or a closing bracket",
            (true, Some(_)) => "a closing bracket",
        };
        let close = self.expect(Kind::CloseBracket, expected)?;
        let span = expr.span.to(close.span);
        if subquery {
            if expr.value_type() != ValueType::Vector {
                let why =
                    format!("a subquery evaluates an instant vector, and this is a {}", expr.value_type());
                return Err(self.error(expr.span, why));
            }
            let subquery = Subquery { expr, range, step, when: When::default() };
            return self.node(ExprKind::Subquery(Box::new(subquery)), span);
        }
        match expr.kind {
            ExprKind::Selector(selector) if selector.when == When::default() => {
                self.node(ExprKind::Range(selector, range), span)
            }
            ExprKind::Selector(_) => {
                Err(self.error(expr.span, "offset and @ stand after the range, not before it"))
            }
            _ => {
                let why =
                    "a range stands after a selector of series; a subquery has a colon, such as [1h:1m]";
                Err(self.error(expr.span, why))
            }
        }
    }

    fn offset(&mut self, mut expr: Expr) -> Parsed<Expr> {
        let word = self.next();
        let negative = self.accept(Kind::Binary(BinaryOp::Sub));
        let duration = self.duration("a duration such as 5m")?;
        let span = expr.span.to(self.token(self.at - 1).span);
        let Some(when) = when(&mut expr) else {
            return Err(self.error(word.span, "offset stands after a selector, a range or a subquery"));
        };
        if when.offset.replace(if negative { -duration } else { duration }).is_some() {
            return Err(self.error(word.span, "a second offset, and one is enough"));
        }
        expr.span = span;
        Ok(expr)
    }

    fn at(&mut self, mut expr: Expr) -> Parsed<Expr> {
        let sign = self.next();
        let first = self.peek();
        let time = match first.kind {
            Kind::Word(word @ (Word::Start | Word::End)) => {
                self.next();
                self.expect(Kind::OpenParen, "()")?;
                self.expect(Kind::CloseParen, "a closing parenthesis")?;
                if word == Word::Start { At::Start } else { At::End }
            }
            _ => At::Time(self.point_in_time()?),
        };
        let span = expr.span.to(self.token(self.at - 1).span);
        let Some(when) = when(&mut expr) else {
            return Err(self.error(sign.span, "@ stands after a selector, a range or a subquery"));
        };
        if when.at.replace(time).is_some() {
            return Err(self.error(sign.span, "a second @, and one is enough"));
        }
        expr.span = span;
        Ok(expr)
    }

    fn point_in_time(&mut self) -> Parsed<i64> {
        let minus = self.peek().kind == Kind::Binary(BinaryOp::Sub);
        if minus || self.peek().kind == Kind::Binary(BinaryOp::Add) {
            self.next();
        }
        let token = self.expect(Kind::Number, "a time in seconds, start() or end()")?;
        let seconds = parse_number(self.text(token)).unwrap_or(f64::NAN);
        let milliseconds = ((if minus { -seconds } else { seconds }) * 1000.0).round();
        // Beyond this, arithmetic with ranges and offsets could overflow.
        if !milliseconds.is_finite() || milliseconds.abs() >= 4.6e18 {
            return Err(self.error(token.span, "a time after @ has to be a finite number within 64 bits"));
        }
        #[allow(clippy::cast_possible_truncation, reason = "checked above")]
        Ok(milliseconds as i64)
    }
}

/// The modifiers of time of an expression that may have some.
fn when(expr: &mut Expr) -> Option<&mut When> {
    match &mut expr.kind {
        ExprKind::Selector(selector) | ExprKind::Range(selector, _) => Some(&mut selector.when),
        ExprKind::Subquery(subquery) => Some(&mut subquery.when),
        _ => None,
    }
}

/// Whether one text becomes the other by one character more, less or other.
fn one_edit(a: &str, b: &str) -> bool {
    let common = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let (a, b) =
        (a.as_bytes().get(common..).unwrap_or_default(), b.as_bytes().get(common..).unwrap_or_default());
    let skip = |text: &'_ [u8]| text.get(1..).map(<[u8]>::to_vec);
    skip(a).as_deref() == Some(b) || skip(b).as_deref() == Some(a) || (!a.is_empty() && skip(a) == skip(b))
}

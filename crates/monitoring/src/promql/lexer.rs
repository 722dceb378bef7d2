//! From text to pieces. Braces and brackets have rules of their own: inside of braces no word has a special
//! meaning, and inside of brackets a colon stands alone.

use super::{
    ast::BinaryOp,
    error::{ParseError, Span},
    token::{Kind, Token, word},
};
use crate::series::MatchOp;

/// Reads a query into pieces; where something cannot be read, the last one is [`Kind::Bad`] and the reason comes
/// beside. The last piece is [`Kind::End`] otherwise.
pub(super) fn pieces(source: &str) -> (Vec<Token>, Option<ParseError>) {
    let mut lexer = Lexer { source, at: 0, braces: false, brackets: false };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let start = lexer.at;
        match lexer.next() {
            Ok(kind) => {
                tokens.push(Token { kind, span: Span { start, end: lexer.at } });
                if kind == Kind::End {
                    return (tokens, None);
                }
            }
            Err((span, why)) => {
                tokens.push(Token { kind: Kind::Bad, span });
                return (tokens, Some(ParseError::new(source, span, why)));
            }
        }
    }
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    braces: bool,
    brackets: bool,
}

type Piece = Result<Kind, (Span, String)>;

impl Lexer<'_> {
    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, accept: impl Fn(u8) -> bool) -> usize {
        let count = self.rest().bytes().take_while(|&byte| accept(byte)).count();
        self.at += count;
        count
    }

    fn skip_blank(&mut self) {
        loop {
            self.take(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
            if self.peek() != Some(b'#') {
                return;
            }
            self.take(|byte| byte != b'\n');
        }
    }

    fn from(&self, start: usize, why: impl Into<String>) -> Piece {
        Err((Span { start, end: self.at }, why.into()))
    }

    fn next(&mut self) -> Piece {
        let start = self.at;
        let Some(first) = self.peek() else { return Ok(Kind::End) };
        if let Some(kind) = self.sign() {
            return Ok(kind);
        }
        match first {
            b'"' | b'\'' | b'`' => self.string(first),
            b'0'..=b'9' => self.number(),
            b'.' if self.source.as_bytes().get(start + 1).is_some_and(u8::is_ascii_digit) => self.number(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => Ok(self.name()),
            b':' if !self.braces && !self.brackets => Ok(self.name()),
            _ => {
                let strange = self.rest().chars().next().unwrap_or(' ');
                self.at += strange.len_utf8();
                let place = if self.braces { " inside of braces" } else { "" };
                self.from(start, format!("unexpected character {strange:?}{place}"))
            }
        }
    }

    /// An operator or a bracket.
    fn sign(&mut self) -> Option<Kind> {
        let rest = self.rest();
        let (kind, length) = match (rest.as_bytes().first()?, rest.as_bytes().get(1)) {
            (b'=', Some(b'=')) => (Kind::Binary(BinaryOp::Equal), 2),
            (b'=', Some(b'~')) => (Kind::Match(MatchOp::Matches), 2),
            (b'!', Some(b'~')) => (Kind::Match(MatchOp::NotMatches), 2),
            (b'!', Some(b'=')) if self.braces => (Kind::Match(MatchOp::NotEqual), 2),
            (b'!', Some(b'=')) => (Kind::Binary(BinaryOp::NotEqual), 2),
            (b'>', Some(b'=')) => (Kind::Binary(BinaryOp::GreaterEqual), 2),
            (b'<', Some(b'=')) => (Kind::Binary(BinaryOp::LessEqual), 2),
            (b'=', _) => (Kind::Match(MatchOp::Equal), 1),
            (b'>', _) => (Kind::Binary(BinaryOp::Greater), 1),
            (b'<', _) => (Kind::Binary(BinaryOp::Less), 1),
            (b'+', _) => (Kind::Binary(BinaryOp::Add), 1),
            (b'-', _) => (Kind::Binary(BinaryOp::Sub), 1),
            (b'*', _) => (Kind::Binary(BinaryOp::Mul), 1),
            (b'/', _) => (Kind::Binary(BinaryOp::Div), 1),
            (b'%', _) => (Kind::Binary(BinaryOp::Mod), 1),
            (b'^', _) => (Kind::Binary(BinaryOp::Pow), 1),
            (b'(', _) => (Kind::OpenParen, 1),
            (b')', _) => (Kind::CloseParen, 1),
            (b'{', _) => (Kind::OpenBrace, 1),
            (b'}', _) => (Kind::CloseBrace, 1),
            (b'[', _) => (Kind::OpenBracket, 1),
            (b']', _) => (Kind::CloseBracket, 1),
            (b',', _) => (Kind::Comma, 1),
            (b'@', _) => (Kind::At, 1),
            (b':', _) if self.brackets => (Kind::Colon, 1),
            _ => return None,
        };
        match kind {
            Kind::OpenBrace => self.braces = true,
            Kind::CloseBrace => self.braces = false,
            Kind::OpenBracket => self.brackets = true,
            Kind::CloseBracket => self.brackets = false,
            _ => {}
        }
        self.at += length;
        Some(kind)
    }

    fn string(&mut self, quote: u8) -> Piece {
        let start = self.at;
        self.at += 1;
        loop {
            self.take(|byte| byte != quote && byte != b'\\' && byte != b'\n');
            match self.peek() {
                Some(b'\\') if quote != b'`' => self.at += 2,
                Some(b'\\') => self.at += 1,
                Some(b'\n') if quote == b'`' => self.at += 1,
                Some(byte) if byte == quote => {
                    self.at += 1;
                    return Ok(Kind::Text);
                }
                _ => {
                    self.at = self.at.min(self.source.len());
                    let quote = char::from(quote);
                    return self.from(start, format!("unterminated string, expected a closing {quote}"));
                }
            }
            // An escape may have ended in the middle of a character, or after the end.
            while !self.source.is_char_boundary(self.at.min(self.source.len())) {
                self.at += 1;
            }
        }
    }

    /// A number, or a duration.
    fn number(&mut self) -> Piece {
        let start = self.at;
        let digits = |byte: u8| byte.is_ascii_digit();
        let hexadecimal = self.rest().starts_with("0x") || self.rest().starts_with("0X");
        if hexadecimal {
            self.at += 2;
            self.take(|byte| byte.is_ascii_hexdigit());
        } else {
            self.take(digits);
            let whole = self.at;
            if self.peek().is_some_and(|byte| b"smhdwy".contains(&byte)) {
                self.take(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                let text = self.source.get(start..self.at).unwrap_or_default();
                return match super::parse_duration(text) {
                    Ok(_) => Ok(Kind::Duration),
                    Err(why) => self.from(start, format!("{text} is no duration: {why}")),
                };
            }
            if self.peek() == Some(b'.') {
                self.at += 1;
                self.take(digits);
            }
            if self.at > start && self.peek().is_some_and(|byte| byte == b'e' || byte == b'E') {
                let before = self.at;
                self.at += 1;
                self.take(|byte| byte == b'+' || byte == b'-');
                if self.take(digits) == 0 {
                    self.at = before.max(whole);
                }
            }
        }
        let tail = self.take(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let text = self.source.get(start..self.at).unwrap_or_default();
        if tail > 0 || super::number::parse_number(text).is_none() {
            return self.from(start, format!("{text} is neither a number nor a duration such as 5m"));
        }
        Ok(Kind::Number)
    }

    fn name(&mut self) -> Kind {
        let start = self.at;
        let (braces, brackets) = (self.braces, self.brackets);
        self.take(|byte| {
            byte.is_ascii_alphanumeric() || byte == b'_' || (byte == b':' && !braces && !brackets)
        });
        let text = self.source.get(start..self.at).unwrap_or_default();
        let name = if text.contains(':') { Kind::MetricName } else { Kind::Name };
        if self.braces { name } else { word(text).unwrap_or(name) }
    }
}

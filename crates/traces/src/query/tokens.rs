//! The words of a query, with the places where they stand.

use super::{Comparison, QueryError};

/// A word of a query.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Exists,
    Operator(Operator),
    /// A word without quotes.
    Word(String),
    /// A text in quotes.
    Quoted(String),
}

/// What stands between a key and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Compare(Comparison),
    /// With `true`, it has to match.
    Matches(bool),
}

/// Operators as they are written, longer ones before those that they begin with.
pub(super) const OPERATORS: [(&str, Operator); 8] = [
    ("=~", Operator::Matches(true)),
    ("!~", Operator::Matches(false)),
    ("!=", Operator::Compare(Comparison::NotEqual)),
    ("<=", Operator::Compare(Comparison::LessOrEqual)),
    (">=", Operator::Compare(Comparison::GreaterOrEqual)),
    ("=", Operator::Compare(Comparison::Equal)),
    ("<", Operator::Compare(Comparison::Less)),
    (">", Operator::Compare(Comparison::Greater)),
];

/// A word and the character at which it begins.
pub(super) type Placed = (usize, Token);

/// Splits a query into its words.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, QueryError> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens: Vec<Placed> = Vec::new();
    let mut at = 0;
    while let Some(c) = chars.get(at) {
        let begin = at;
        let expects_value = matches!(tokens.last(), Some((_, Token::Operator(_))));
        let token = match c {
            c if c.is_whitespace() => {
                at += 1;
                continue;
            }
            '"' => Token::Quoted(quoted(&chars, &mut at)?),
            ')' => single(&mut at, Token::Close),
            // A value goes on to the next space, so that addresses need no quotes.
            _ if expects_value => Token::Word(word(&chars, &mut at, |c| c.is_whitespace() || c == ')')),
            '(' => single(&mut at, Token::Open),
            _ => match operator(&chars[at..]) {
                Some((length, operator)) => {
                    at += length;
                    Token::Operator(operator)
                }
                None if *c == '!' => single(&mut at, Token::Not),
                None => plain(word(&chars, &mut at, |c| c.is_whitespace() || "()\"=<>!~".contains(c))),
            },
        };
        if at == begin {
            return Err(QueryError::new(
                at,
                format!("{c:?} stands for nothing here; texts with it need quotes"),
            ));
        }
        tokens.push((begin, token));
    }
    Ok(tokens)
}

fn single(at: &mut usize, token: Token) -> Token {
    *at += 1;
    token
}

fn operator(chars: &[char]) -> Option<(usize, Operator)> {
    let begins = |text: &str| text.chars().zip(chars.iter()).filter(|(a, b)| a == *b).count() == text.len();
    OPERATORS.iter().find(|(text, _)| begins(text)).map(|(text, operator)| (text.len(), *operator))
}

fn word(chars: &[char], at: &mut usize, ends: impl Fn(char) -> bool) -> String {
    let word: String = chars[*at..].iter().take_while(|c| !ends(**c)).collect();
    *at += word.chars().count();
    word
}

fn plain(word: String) -> Token {
    match word.to_ascii_lowercase().as_str() {
        "and" | "&&" => Token::And,
        "or" | "||" => Token::Or,
        "not" => Token::Not,
        "exists" => Token::Exists,
        _ => Token::Word(word),
    }
}

/// A text in quotes, in which `\"` and `\\` stand for themselves; other backslashes stay, for regular
/// expressions.
fn quoted(chars: &[char], at: &mut usize) -> Result<String, QueryError> {
    let begin = *at;
    let mut text = String::new();
    *at += 1;
    loop {
        match (chars.get(*at), chars.get(*at + 1)) {
            (Some('"'), _) => {
                *at += 1;
                return Ok(text);
            }
            (Some('\\'), Some(escaped @ ('"' | '\\'))) => {
                text.push(*escaped);
                *at += 2;
            }
            (Some(c), _) => {
                text.push(*c);
                *at += 1;
            }
            (None, _) => return Err(QueryError::new(begin, "this quote is never closed")),
        }
    }
}

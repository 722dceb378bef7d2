//! What somebody is about to write, so that it can be completed.

use super::tokens::{Token, tokens};

/// What the cursor is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typing {
    /// A key, or a text to look for: with this beginning, from this character on.
    Key {
        /// What is there.
        prefix: String,
        /// Where it begins, counted from 0: what a completion replaces.
        from: usize,
    },
    /// The value of a key.
    Value {
        /// The key.
        key: String,
        /// What is there of the value.
        prefix: String,
        /// Where it begins.
        from: usize,
    },
    /// Something that comes after a key or a term: an operator, AND, OR.
    Operator {
        /// The key, or the text, that stands before.
        after: String,
    },
}

/// What is being written at the end of `text`: a query up to the cursor.
pub fn typing(text: &str) -> Typing {
    let end = text.chars().count();
    // An open quote is closed for the moment, since what stands in it is being written.
    let (words, is_open) = match tokens(text) {
        Ok(words) => (words, false),
        Err(_) => match tokens(&format!("{text}\"")) {
            Ok(words) => (words, true),
            Err(_) => (Vec::new(), false),
        },
    };
    let touches = is_open || !text.ends_with(char::is_whitespace);
    let text_of = |token: &Token| match token {
        Token::Word(text) | Token::Quoted(text) => Some(text.clone()),
        _ => None,
    };
    let key_before = |count: usize| words.get(count.checked_sub(1)?).and_then(|(_, token)| text_of(token));
    let last = words.len().checked_sub(1);
    let after_operator = |at: usize| {
        let is_operator =
            at.checked_sub(1).is_some_and(|before| matches!(words[before].1, Token::Operator(_)));
        is_operator.then(|| key_before(at - 1)).flatten()
    };
    match last.map(|at| (at, &words[at])) {
        None => Typing::Key { prefix: String::new(), from: end },
        Some((at, (_, Token::Operator(_)))) => match key_before(at) {
            Some(key) => Typing::Value { key, prefix: String::new(), from: end },
            None => Typing::Key { prefix: String::new(), from: end },
        },
        Some((at, (from, token))) if touches && text_of(token).is_some() => {
            let prefix = text_of(token).unwrap_or_default();
            match after_operator(at) {
                Some(key) => Typing::Value { key, prefix, from: *from },
                None => Typing::Key { prefix, from: *from },
            }
        }
        Some((_, (from, Token::And | Token::Or | Token::Not | Token::Exists))) if touches => {
            Typing::Key { prefix: text.chars().skip(*from).collect(), from: *from }
        }
        Some((_, (_, token))) => match text_of(token) {
            Some(after) => Typing::Operator { after },
            None => Typing::Key { prefix: String::new(), from: end },
        },
    }
}

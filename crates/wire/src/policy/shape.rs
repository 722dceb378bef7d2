//! What a value may look like: read against a tree it finds mistakes, written down it is JSON Schema.
//!
//! One table and not a parser beside a schema, because two descriptions of one thing drift apart, and the
//! one that an editor believes would be the wrong one.

use std::time::Duration;

use identity::duration;

use super::{
    Fault, Mistake, escaped, shown,
    tree::{Node, Value},
};
use crate::nearest::nearest;

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// An object with these members and no others.
    Object(&'static [Field]),
    /// An object with exactly one of these members.
    OneOf(&'static [Field]),
    /// A list of at most so many.
    List(&'static Shape, usize),
    /// A duration as text, from 1ms to 1d.
    Duration,
    /// A whole number in this range.
    Integer(u64, u64),
    /// A number in this range.
    Number(f64, f64),
    /// A share of 1, as `50%` or `0.5`; with `true` not 0.
    Share(bool),
    /// True or false.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A text of at most so many bytes, and the pattern that it matches.
    Text(usize, Pattern),
    /// Any of these.
    Either(&'static [Shape]),
}

/// A member of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    /// What it says, for people and for the schema.
    pub(super) about: &'static str,
    pub(super) shape: Shape,
    /// Whether the object is none without it.
    pub(super) needed: bool,
    /// Whether `null` switches it off.
    pub(super) nullable: bool,
}

impl Field {
    pub(super) const fn new(name: &'static str, about: &'static str, shape: Shape) -> Self {
        Self { name, about, shape, needed: false, nullable: false }
    }

    pub(super) const fn needed(self) -> Self {
        Self { needed: true, ..self }
    }

    pub(super) const fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }
}

/// What a text may consist of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Anything.
    Any,
    /// A DNS label.
    Label,
    /// The name of a header, in lower case.
    Header,
    /// A token of HTTP.
    Token,
    /// At least one character, none of them a control character.
    Visible,
    /// Printable ASCII, at least one.
    Ascii,
    /// A status from 400 to 599.
    ErrorStatus,
}

impl Pattern {
    /// As a regular expression of ECMA-262.
    pub(super) fn regex(self) -> Option<&'static str> {
        Some(match self {
            Pattern::Any => return None,
            Pattern::Label => "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
            Pattern::Header => "^[!#$%&'*+.^_`|~0-9a-z-]+$",
            Pattern::Token => "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
            Pattern::Visible => "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
            Pattern::Ascii => "^[ -~]+$",
            Pattern::ErrorStatus => "^[45][0-9][0-9]$",
        })
    }

    fn admits(self, text: &str) -> bool {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let is_there = !text.is_empty();
        match self {
            Pattern::Any => true,
            Pattern::Label => identity::ServiceName::check(text).is_ok(),
            Pattern::Header => is_there && text.bytes().all(|b| token(b) && !b.is_ascii_uppercase()),
            Pattern::Token => is_there && text.bytes().all(token),
            Pattern::Visible => is_there && !text.chars().any(char::is_control),
            Pattern::Ascii => is_there && text.bytes().all(|b| (b' '..=b'~').contains(&b)),
            Pattern::ErrorStatus => {
                text.len() == 3 && text.parse::<u16>().is_ok_and(|status| (400..=599).contains(&status))
            }
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Pattern::Any => "a text",
            Pattern::Label => "1 to 63 lower-case letters, digits and -, neither first nor last a -",
            Pattern::Header => "the name of a header in lower case",
            Pattern::Token => "a name of letters, digits and !#$%&'*+-.^_`|~",
            Pattern::Visible => "a text without control characters",
            Pattern::Ascii => "printable ASCII, such as application/json",
            Pattern::ErrorStatus => "a status from 400 to 599",
        }
    }
}

/// The shortest and the longest duration.
pub(super) const DURATIONS: [Duration; 2] = [Duration::from_millis(1), Duration::from_secs(86_400)];

impl Shape {
    /// Finds the first mistake.
    pub(super) fn check(&self, node: &Node, path: &str) -> Result<(), Mistake> {
        match (self, &node.value) {
            (Shape::Object(fields), Value::Map(_)) => {
                members(fields, node, path)?;
                let missing = fields.iter().find(|field| field.needed && node.get(field.name).is_none());
                missing.map_or(Ok(()), |field| {
                    let why = format!("\"{}\" is missing: {}", field.name, field.about);
                    Err(Mistake::new(Fault::Missing, &format!("{path}/{}", field.name), node.at, why))
                })
            }
            (Shape::OneOf(fields), Value::Map(entries)) => {
                members(fields, node, path)?;
                if entries.len() == 1 { Ok(()) } else { Err(self.refusal(node, path)) }
            }
            (Shape::List(of, max), Value::List(items)) if items.len() <= *max => {
                let mut items = items.iter().enumerate();
                items.try_for_each(|(at, item)| of.check(item, &format!("{path}/{at}")))
            }
            (Shape::Either(shapes), _) => {
                // A mistake within the one that is meant says more than that none fits.
                let meant = shapes.iter().filter(|shape| shape.is_like(&node.value));
                match (meant.clone().next(), meant.clone().nth(1)) {
                    (Some(only), None) => only.check(node, path),
                    _ if meant.clone().any(|shape| shape.check(node, path).is_ok()) => Ok(()),
                    _ => Err(self.refusal(node, path)),
                }
            }
            _ if self.admits(node) => Ok(()),
            _ => Err(self.refusal(node, path)),
        }
    }

    fn admits(&self, node: &Node) -> bool {
        match self {
            Shape::Duration => {
                let read = node.text().and_then(|text| duration::parse(text).ok());
                read.is_some_and(|read| (DURATIONS[0]..=DURATIONS[1]).contains(&read))
            }
            Shape::Integer(min, max) => whole(node).is_some_and(|number| (*min..=*max).contains(&number)),
            Shape::Number(min, max) => real(node).is_some_and(|number| (*min..=*max).contains(&number)),
            Shape::Share(above) => {
                share(node).is_some_and(|share| (0.0..=1.0).contains(&share) && (!above || share > 0.0))
            }
            Shape::Flag => matches!(node.value, Value::Flag(_)),
            Shape::Word(words) => node.text().is_some_and(|text| words.contains(&text)),
            Shape::Text(max, pattern) => {
                node.text().is_some_and(|text| text.len() <= *max && pattern.admits(text))
            }
            Shape::Object(_) | Shape::OneOf(_) | Shape::List(..) | Shape::Either(_) => false,
        }
    }

    /// Whether a value of this kind is meant, right or wrong.
    fn is_like(&self, value: &Value) -> bool {
        match self {
            Shape::Object(_) | Shape::OneOf(_) => matches!(value, Value::Map(_)),
            Shape::List(..) => matches!(value, Value::List(_)),
            Shape::Integer(..) | Shape::Number(..) => matches!(value, Value::Number(_)),
            Shape::Share(_) => matches!(value, Value::Number(_) | Value::Text(_)),
            Shape::Flag => matches!(value, Value::Flag(_)),
            Shape::Duration | Shape::Word(_) | Shape::Text(..) => matches!(value, Value::Text(_)),
            Shape::Either(shapes) => shapes.iter().any(|shape| shape.is_like(value)),
        }
    }

    fn refusal(&self, node: &Node, path: &str) -> Mistake {
        let found = match &node.value {
            Value::Null => "null".to_owned(),
            Value::Flag(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Text(text) => shown(text),
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Map(_) => "an object".to_owned(),
        };
        let mistake =
            Mistake::new(Fault::Value, path, node.at, format!("{found} is not valid: {}", self.describe()));
        match (self, node.text()) {
            (Shape::Word(words), Some(text)) => mistake.meant(nearest(text, words.iter().copied())),
            _ => mistake,
        }
    }

    /// In words that people need no schema for.
    fn describe(&self) -> String {
        match self {
            Shape::Object(_) => "an object".to_owned(),
            Shape::OneOf(fields) => format!("an object with one of {}", names(fields)),
            Shape::List(_, max) => format!("a list of at most {max}"),
            Shape::Duration => "a duration from 1ms to 1d, such as 250ms or 1m30s".to_owned(),
            Shape::Integer(min, max) => format!("a whole number from {min} to {max}"),
            Shape::Number(min, max) => format!("a number from {min} to {max}"),
            Shape::Share(true) => "a share above 0% and up to 100%, such as 50% or 0.5".to_owned(),
            Shape::Share(false) => "a share from 0% to 100%, such as 50% or 0.5".to_owned(),
            Shape::Flag => "true or false".to_owned(),
            Shape::Word(words) => words.join(", "),
            Shape::Text(max, pattern) => {
                format!("{}, at most {max} bytes, in quotes where it could be a number", pattern.describe())
            }
            Shape::Either(shapes) => shapes.iter().map(Shape::describe).collect::<Vec<_>>().join("; or "),
        }
    }
}

/// Checks the members that are there.
fn members(fields: &[Field], node: &Node, path: &str) -> Result<(), Mistake> {
    for entry in node.entries() {
        let place = format!("{path}/{}", escaped(&entry.key));
        let Some(field) = fields.iter().find(|field| *field.name == *entry.key) else {
            let why = format!("unknown field {}", shown(&entry.key));
            let mistake = Mistake::new(Fault::Unknown, &place, entry.key_at, why);
            let meant = nearest(&entry.key, fields.iter().map(|field| field.name));
            return Err(match meant {
                Some(_) => mistake.meant(meant),
                None => mistake.next(format!("the known fields are {}", names(fields))),
            });
        };
        if !entry.value.is_null() {
            field.shape.check(&entry.value, &place)?;
        } else if !field.nullable {
            let why = format!("\"{}\" cannot be switched off: {}", field.name, field.about);
            let mistake = Mistake::new(Fault::Value, &place, entry.value.at, why);
            return Err(mistake.next("leave the key out, or give it a value".to_owned()));
        }
    }
    Ok(())
}

fn names(fields: &[Field]) -> String {
    fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", ")
}

pub(super) fn whole(node: &Node) -> Option<u64> {
    match &node.value {
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}

pub(super) fn real(node: &Node) -> Option<f64> {
    match &node.value {
        Value::Number(number) => number.as_f64(),
        _ => None,
    }
}

/// `50%` or `0.5`.
pub(super) fn share(node: &Node) -> Option<f64> {
    let percent = || node.text()?.strip_suffix('%')?.parse::<f64>().ok().map(|percent| percent / 100.0);
    real(node).or_else(percent).filter(|share| share.is_finite())
}

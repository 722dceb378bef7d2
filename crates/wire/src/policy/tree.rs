//! YAML and JSON as a tree that knows where everything stands.
//!
//! JSON is read by the same parser, of whose language it is a part. What YAML can beyond data is refused:
//! anchors and aliases (a few bytes that stand for gigabytes), tags, and keys that are not texts. A key
//! that is given twice is refused as well, since neither is more likely to be meant.

use std::collections::BTreeMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span};
use serde_json::{Map, Number, Value as Json};

use super::{Fault, Mark, Mistake};

/// How deep a document may be nested. The deepest that means anything is half of it.
const DEPTH_MAX: usize = 16;

/// A value, and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) at: Mark,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Flag(bool),
    Number(Number),
    Text(Box<str>),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: Box<str>,
    pub(super) key_at: Mark,
    pub(super) value: Node,
}

/// The documents of a text, those without content left out.
pub(super) fn read(text: &str) -> Result<Vec<Node>, Mistake> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut reader = Reader { events: Parser::new_from_str_with_options(text, options) };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _) => {}
            (Event::StreamEnd, _) => return Ok(documents),
            (event, span) => {
                let node = reader.node(event, span, "", 0)?;
                if node.value != Value::Null {
                    documents.push(node);
                }
            }
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, granit_parser::StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Mistake> {
        match self.events.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(Mistake::new(Fault::Syntax, "", mark(error.marker()), error.info())),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, path: &str, depth: usize) -> Result<Node, Mistake> {
        let at = mark(&span.start);
        let refused = |why: &str| Err(Mistake::new(Fault::Syntax, path, at, why.to_owned()));
        if depth > DEPTH_MAX {
            return refused("it is nested too deeply");
        }
        let value = match event {
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(_, anchor, _)
            | Event::MappingStart(_, anchor, _)
                if anchor != 0 =>
            {
                return refused("anchors are not read; write the value at each place");
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, _, Some(_)) => return refused("tags are not read; leave them out"),
            Event::Scalar(text, ScalarStyle::Plain, ..) => plain(&text),
            Event::Scalar(text, ..) => Value::Text(text.into()),
            Event::SequenceStart(..) => self.list(path, depth)?,
            Event::MappingStart(..) => self.map(path, depth)?,
            Event::Alias(_) => return refused("aliases are not read; write the value here"),
            _ => return refused("a value is missing here"),
        };
        Ok(Node { at, value })
    }

    fn list(&mut self, path: &str, depth: usize) -> Result<Value, Mistake> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Value::List(items));
            }
            let path = format!("{path}/{}", items.len());
            items.push(self.node(event, span, &path, depth + 1)?);
        }
    }

    fn map(&mut self, path: &str, depth: usize) -> Result<Value, Mistake> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key_at = mark(&span.start);
            let key: Box<str> = match event {
                Event::MappingEnd => return Ok(Value::Map(entries)),
                Event::Scalar(key, _, 0, None) => key.into(),
                _ => {
                    let why = "a key is a plain text".to_owned();
                    return Err(Mistake::new(Fault::Syntax, path, key_at, why));
                }
            };
            let path = format!("{path}/{}", super::escaped(&key));
            if let Some(before) = entries.iter().find(|entry| entry.key == key) {
                let why =
                    format!("{} is given twice, first in line {}", super::shown(&key), before.key_at.line);
                return Err(Mistake::new(Fault::Value, &path, key_at, why));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span, &path, depth + 1)?;
            entries.push(Entry { key, key_at, value });
        }
    }
}

fn mark(marker: &granit_parser::Marker) -> Mark {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Mark { line: number(marker.line().max(1)), column: number(marker.col()).saturating_add(1) }
}

/// What a text without quotes stands for, by YAML's core schema but for numbers that are not decimal.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Flag(true),
        "false" | "False" | "FALSE" => Value::Flag(false),
        _ => number(text).map_or_else(|| Value::Text(text.into()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|of: char| of.is_ascii_digit() || "+-.".contains(of)) {
        return None;
    }
    let whole = || text.parse::<i64>().map(Number::from).ok();
    whole().or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
}

impl Node {
    /// The value of a member that is there, be it null.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| &*entry.key == name).map(|entry| &entry.value)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The same without places, and with members by name, so that two documents that say the same are the
    /// same text.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Flag(flag) => Json::Bool(*flag),
            Value::Number(number) => Json::Number(number.clone()),
            Value::Text(text) => Json::String(text.to_string()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => {
                let members = entries.iter().map(|entry| (entry.key.to_string(), entry.value.to_json()));
                let members: BTreeMap<String, Json> = members.collect();
                Json::Object(members.into_iter().collect::<Map<_, _>>())
            }
        }
    }
}

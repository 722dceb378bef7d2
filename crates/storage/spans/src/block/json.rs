//! Attributes as JSON that keeps their types, so that any tool reads them and nothing is lost.
//!
//! Whole numbers have no point and floating-point ones always have a point or an exponent, so that 643.0 stays
//! what it is. What JSON has no word for is an object with one key that begins with a dollar:
//! `{"$double":"NaN"}`, `{"$bytes":"00ff"}`, and `{"$map":{…}}` for a map whose first key does. Keys
//! keep their order, also where a sender sent one twice.

use traces::borrowed::{AttributesRef, EventRef, LinkRef, ValueRef};

use identity::{SpanId, TraceId, Wall};
use traces::{Attributes, Event, Link, Value};

/// Adds a text, escaped.
pub(crate) fn put_text(into: &mut String, text: &str) {
    into.push('"');
    escape(into, text);
    into.push('"');
}

/// Adds a text as it stands between quotes. Each character is escaped on its own, so that a part of a text is
/// escaped to a part of what the whole is escaped to: what a search relies on.
pub(crate) fn escape(into: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            c if c < ' ' => into.push_str(&format!("\\u{:04x}", c as u32)),
            c => into.push(c),
        }
    }
}

/// Adds attributes as an object.
pub(crate) fn put_attributes<'a>(
    into: &mut String,
    attributes: impl IntoIterator<Item = (&'a str, &'a ValueRef<'a>)>,
) {
    into.push('{');
    for (at, (key, value)) in attributes.into_iter().enumerate() {
        if at > 0 {
            into.push(',');
        }
        put_text(into, key);
        into.push(':');
        put_value(into, value);
    }
    into.push('}');
}

/// Adds a value.
pub(crate) fn put_value(into: &mut String, value: &ValueRef<'_>) {
    match value {
        ValueRef::Empty => into.push_str("null"),
        ValueRef::Str(text) => put_text(into, text),
        ValueRef::Bool(truth) => into.push_str(if *truth { "true" } else { "false" }),
        ValueRef::Int(number) => into.push_str(&number.to_string()),
        ValueRef::Double(number) if number.is_finite() => into.push_str(&format!("{number:?}")),
        ValueRef::Double(number) => into.push_str(&format!("{{\"$double\":\"{number:?}\"}}")),
        ValueRef::Bytes(bytes) => {
            into.push_str("{\"$bytes\":\"");
            bytes.iter().for_each(|byte| into.push_str(&format!("{byte:02x}")));
            into.push_str("\"}");
        }
        ValueRef::Array(values) => {
            into.push('[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    into.push(',');
                }
                put_value(into, value);
            }
            into.push(']');
        }
        ValueRef::Map(map) => put_map(into, map),
    }
}

/// A map as a value: marked where it would look like something else.
fn put_map(into: &mut String, map: &AttributesRef<'_>) {
    let is_marked = map.first().is_some_and(|(key, _)| key.starts_with('$'));
    if is_marked {
        into.push_str("{\"$map\":");
    }
    put_attributes(into, map.iter().map(|(key, value)| (*key, value)));
    if is_marked {
        into.push('}');
    }
}

/// The events of a span, `{"time":…,"name":…,"attributes":{…},"dropped":…}` each.
pub(crate) fn events(events: &[EventRef<'_>]) -> String {
    let mut into = "[".to_owned();
    for (at, event) in events.iter().enumerate() {
        into.push_str(if at > 0 { ",{\"time\":" } else { "{\"time\":" });
        into.push_str(&event.at.0.to_string());
        into.push_str(",\"name\":");
        put_text(&mut into, event.name);
        put_rest(&mut into, &event.attributes, event.dropped_attributes);
    }
    into + "]"
}

/// The links of a span, `{"trace_id":…,"span_id":…,"trace_state":…,"flags":…,"attributes":{…},"dropped":…}`
/// each.
pub(crate) fn links(links: &[LinkRef<'_>]) -> String {
    let mut into = "[".to_owned();
    for (at, link) in links.iter().enumerate() {
        into.push_str(if at > 0 { ",{\"trace_id\":\"" } else { "{\"trace_id\":\"" });
        into.push_str(&format!("{}\",\"span_id\":\"{}\",\"trace_state\":", link.trace_id, link.span_id));
        put_text(&mut into, link.trace_state);
        into.push_str(&format!(",\"flags\":{}", link.flags));
        put_rest(&mut into, &link.attributes, link.dropped_attributes);
    }
    into + "]"
}

fn put_rest(into: &mut String, attributes: &AttributesRef<'_>, dropped: u32) {
    into.push_str(",\"attributes\":");
    put_map(into, attributes);
    into.push_str(&format!(",\"dropped\":{dropped}}}"));
}

/// What [`put_attributes`] wrote.
pub(crate) fn read_attributes(text: &str) -> Option<Attributes> {
    whole(text, |parser| parser.map(0))
}

/// What [`events`] wrote.
pub(crate) fn read_events(text: &str) -> Option<Vec<Event>> {
    let all = whole(text, |parser| parser.list(0))?;
    all.into_iter().map(event).collect()
}

/// What [`links`] wrote.
pub(crate) fn read_links(text: &str) -> Option<Vec<Link>> {
    let all = whole(text, |parser| parser.list(0))?;
    all.into_iter().map(link).collect()
}

fn event(value: Value) -> Option<Event> {
    let Value::Map(map) = value else { return None };
    Some(Event {
        at: Wall(number(map.get("time")?)?),
        name: map.get_str("name")?.into(),
        attributes: attributes(map.get("attributes")?)?,
        dropped_attributes: number(map.get("dropped")?)?.try_into().ok()?,
    })
}

fn link(value: Value) -> Option<Link> {
    let Value::Map(map) = value else { return None };
    Some(Link {
        trace_id: map.get_str("trace_id")?.parse::<TraceId>().ok()?,
        span_id: map.get_str("span_id")?.parse::<SpanId>().ok()?,
        flags: number(map.get("flags")?)?.try_into().ok()?,
        trace_state: map.get_str("trace_state")?.into(),
        attributes: attributes(map.get("attributes")?)?,
        dropped_attributes: number(map.get("dropped")?)?.try_into().ok()?,
    })
}

fn attributes(value: &Value) -> Option<Attributes> {
    match value {
        Value::Map(map) => Some(map.clone()),
        _ => None,
    }
}

/// A time that does not fit into a signed number was written as an unsigned one.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => Some(*number as u64),
        _ => None,
    }
}

/// Values nested deeper than any that is stored, with the lists around them.
const MAX_DEPTH: usize = 64;

fn whole<T>(text: &str, read: impl FnOnce(&mut Parser<'_>) -> Option<T>) -> Option<T> {
    let mut parser = Parser { rest: text };
    let value = read(&mut parser)?;
    parser.rest.is_empty().then_some(value)
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn take(&mut self, expected: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.rest.bytes().next()? {
            b'n' => self.take("null").map(|()| Value::Empty),
            b't' => self.take("true").map(|()| Value::Bool(true)),
            b'f' => self.take("false").map(|()| Value::Bool(false)),
            b'"' => self.text().map(Value::from),
            b'[' => self.list(depth).map(Value::Array),
            b'{' if self.take("{\"$map\":").is_some() => {
                let map = self.map(depth + 1)?;
                self.take("}").map(|()| Value::Map(map))
            }
            b'{' => self.map(depth).and_then(plain),
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Option<Value> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let length = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(length);
        self.rest = rest;
        if number.contains(['.', 'e', 'E']) {
            return number.parse().ok().map(Value::Double);
        }
        let signed = number.parse::<i64>().ok();
        signed.or_else(|| number.parse::<u64>().ok().map(|number| number as i64)).map(Value::Int)
    }

    fn text(&mut self) -> Option<String> {
        self.take("\"")?;
        let mut text = String::new();
        loop {
            let at = self.rest.find(['"', '\\'])?;
            text.push_str(&self.rest[..at]);
            let is_end = self.rest.as_bytes()[at] == b'"';
            self.rest = &self.rest[at + 1..];
            if is_end {
                return Some(text);
            }
            let escaped = self.rest.chars().next()?;
            self.rest = &self.rest[escaped.len_utf8()..];
            match escaped {
                'n' => text.push('\n'),
                'u' => {
                    let (digits, rest) = self.rest.split_at_checked(4)?;
                    text.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                    self.rest = rest;
                }
                other => text.push(other),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        self.take("[")?;
        if self.take("]").is_some() {
            return Some(values);
        }
        loop {
            values.push(self.value(depth + 1)?);
            if self.take(",").is_none() {
                return self.take("]").map(|()| values);
            }
        }
    }

    fn map(&mut self, depth: usize) -> Option<Attributes> {
        let mut map = Attributes::new();
        self.take("{")?;
        if self.take("}").is_some() {
            return Some(map);
        }
        loop {
            let key = self.text()?;
            self.take(":")?;
            let value = self.value(depth + 1)?;
            map.push(key, value);
            if self.take(",").is_none() {
                return self.take("}").map(|()| map);
            }
        }
    }
}

/// What an object stands for as a value.
fn plain(map: Attributes) -> Option<Value> {
    let mut pairs = map.iter();
    let (Some((key, value)), None) = (pairs.next(), pairs.next()) else { return Some(Value::Map(map)) };
    match (key.as_str(), value) {
        ("$double", Value::Str(text)) => text.parse().ok().map(Value::Double),
        ("$bytes", Value::Str(hex)) => {
            let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
            (0..hex.len()).step_by(2).map(byte).collect::<Option<Box<[u8]>>>().map(Value::Bytes)
        }
        _ => Some(Value::Map(map)),
    }
}

//! Attributes as labels.

use std::borrow::Cow;

use serde_json::{Value as Json, json};

use crate::protobuf::{Broken, Fields, Raw};

use super::{MAX_LABELS, MAX_VALUE_BYTES, names};

/// How deep values may be nested. What is deeper is null.
const MAX_DEPTH: usize = 16;

/// Labels that are being put together.
#[derive(Debug, Clone, Default)]
pub(super) struct Set<'a> {
    pairs: Vec<(String, Cow<'a, str>)>,
    /// Whether something in it could not be taken.
    is_broken: bool,
}

impl<'a> Set<'a> {
    /// Sets a label.
    pub(super) fn set(&mut self, name: &str, value: impl Into<Cow<'a, str>>) {
        let value = value.into();
        if value.is_empty() {
            return;
        }
        self.is_broken |= name.is_empty() || name.len() > MAX_VALUE_BYTES || value.len() > MAX_VALUE_BYTES;
        match self.pairs.binary_search_by(|(other, _)| other.as_str().cmp(name)) {
            Ok(at) => {
                if let Some((_, before)) = self.pairs.get_mut(at) {
                    *before = value;
                }
            }
            Err(at) if self.pairs.len() < MAX_LABELS => self.pairs.insert(at, (name.to_owned(), value)),
            Err(_) => self.is_broken = true,
        }
    }

    /// Takes a label away.
    pub(super) fn remove(&mut self, name: &str) {
        self.pairs.retain(|(other, _)| other != name);
    }

    /// Adds an attribute; where two become the same label, it says both.
    pub(super) fn add(&mut self, key: &str, value: Cow<'a, str>) {
        let name = names::label(key);
        match self.get(&name) {
            Some(before) => {
                let both = format!("{before};{value}");
                self.set(&name, both);
            }
            None => self.set(&name, value),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }

    /// Sorted by name.
    pub(super) fn pairs(&self) -> Vec<(&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), &**value)).collect()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// How many bytes they have.
    pub(super) fn bytes(&self) -> usize {
        self.pairs.iter().map(|(name, value)| name.len() + value.len() + 4).sum()
    }

    /// One text that no other set has.
    pub(super) fn key(&self) -> Box<[u8]> {
        let mut key = Vec::with_capacity(self.bytes());
        for (name, value) in &self.pairs {
            for text in [name.as_str(), value] {
                key.extend((text.len() as u32).to_le_bytes());
                key.extend(text.as_bytes());
            }
        }
        key.into()
    }
}

/// A `KeyValue`; none where a text in it is none.
pub(super) fn key_value(message: &[u8]) -> Result<Option<(&str, Cow<'_, str>)>, Broken> {
    let (mut key, mut value) = (&b""[..], None);
    let mut fields = Fields::of(message);
    while let Some((number, raw)) = fields.next()? {
        match (number, raw) {
            (1, Raw::Bytes(bytes)) => key = bytes,
            (2, Raw::Bytes(bytes)) => value = Some(bytes),
            _ => {}
        }
    }
    let Ok(key) = std::str::from_utf8(key) else { return Ok(None) };
    let value = value.map_or(Ok(Some(Cow::Borrowed(""))), text)?;
    Ok(value.map(|value| (key, value)))
}

/// An `AnyValue` as a text: what is no text as JSON.
fn text(message: &[u8]) -> Result<Option<Cow<'_, str>>, Broken> {
    let mut fields = Fields::of(message);
    let mut only = None;
    while let Some((number, raw)) = fields.next()? {
        if let (1, Raw::Bytes(bytes)) = (number, raw) {
            only = Some(bytes);
        }
    }
    if let Some(bytes) = only {
        return Ok(std::str::from_utf8(bytes).ok().map(Cow::Borrowed));
    }
    Ok(match json(message, 0)? {
        Json::Null => Some("".into()),
        other => Some(other.to_string().into()),
    })
}

fn json(message: &[u8], depth: usize) -> Result<Json, Broken> {
    let mut value = Json::Null;
    let mut fields = Fields::of(message);
    while let Some((number, raw)) = fields.next()? {
        value = match (number, raw) {
            (1, Raw::Bytes(bytes)) => json!(String::from_utf8_lossy(bytes)),
            (2, Raw::Varint(number)) => json!(number != 0),
            (3, Raw::Varint(number)) => json!(number.cast_signed()),
            (4, Raw::Fixed64(bits)) => json!(f64::from_bits(bits)),
            (5 | 6, Raw::Bytes(_)) if depth >= MAX_DEPTH => Json::Null,
            (5, Raw::Bytes(message)) => {
                let mut list = Vec::new();
                let mut inside = Fields::of(message);
                while let Some((number, raw)) = inside.next()? {
                    if let (1, Raw::Bytes(message)) = (number, raw) {
                        list.push(json(message, depth + 1)?);
                    }
                }
                Json::Array(list)
            }
            (6, Raw::Bytes(message)) => map(message, depth + 1)?,
            (7, Raw::Bytes(bytes)) => {
                json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
            _ => value,
        };
    }
    Ok(value)
}

fn map(message: &[u8], depth: usize) -> Result<Json, Broken> {
    let mut map = serde_json::Map::new();
    let mut fields = Fields::of(message);
    while let Some((number, raw)) = fields.next()? {
        let (1, Raw::Bytes(entry)) = (number, raw) else { continue };
        let (mut key, mut value) = (String::new(), Json::Null);
        let mut inside = Fields::of(entry);
        while let Some((number, raw)) = inside.next()? {
            match (number, raw) {
                (1, Raw::Bytes(bytes)) => key = String::from_utf8_lossy(bytes).into_owned(),
                (2, Raw::Bytes(message)) => value = json(message, depth)?,
                _ => {}
            }
        }
        map.insert(key, value);
    }
    Ok(Json::Object(map))
}

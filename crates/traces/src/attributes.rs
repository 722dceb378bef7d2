//! Attributes: named values with types.
//!
//! A list and not a map: spans have a handful of attributes, a list keeps the sender's order, costs one
//! allocation, and is walked faster than a map of that size is hashed. Types are kept, because a map of
//! strings cannot tell `643` from `643.0` from `"643"`.

use std::{
    borrow::Borrow,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

/// The name of an attribute: static text, which costs nothing, or shared text, because spans repeat the
/// same few names without end.
#[derive(Clone)]
pub struct Key(Text);

#[derive(Clone)]
enum Text {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Key {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Static(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl From<&'static str> for Key {
    fn from(text: &'static str) -> Self {
        Self(Text::Static(text))
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self(Text::Shared(text.into()))
    }
}

impl From<Arc<str>> for Key {
    fn from(text: Arc<str>) -> Self {
        Self(Text::Shared(text))
    }
}

/// What an allocator takes for `bytes`: a header and rounding, which for the short texts of spans is more
/// than the text. Without it a budget would be exceeded by two thirds.
pub(crate) const fn allocated(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16) + 16 }
}

/// The value of an attribute, with the types of OTLP.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Str(Box<str>),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// Bytes.
    Bytes(Box<[u8]>),
    /// A sequence of values, not necessarily of one type.
    Array(Vec<Value>),
    /// Named values.
    Map(Attributes),
    /// A value that was sent without any type: OTLP's empty value.
    Empty,
}

impl Value {
    /// The text of a [`Value::Str`], and nothing for any other type.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The number of a [`Value::Int`], and nothing for any other type.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether the textual form contains `needle`: how a free-text search looks at a value.
    pub fn contains(&self, needle: &str) -> bool {
        match self {
            Value::Str(text) => text.contains(needle),
            Value::Bool(_) | Value::Int(_) | Value::Double(_) => self.to_string().contains(needle),
            Value::Bytes(_) | Value::Empty => false,
            Value::Array(values) => values.iter().any(|value| value.contains(needle)),
            Value::Map(map) => map.iter().any(|(_, value)| value.contains(needle)),
        }
    }

    /// The memory behind this value beyond its own size, as budgets count it.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Value::Str(text) => allocated(text.len()),
            Value::Bytes(bytes) => allocated(bytes.len()),
            Value::Array(values) => {
                allocated(size_of_val(values.as_slice()))
                    + values.iter().map(Value::heap_bytes).sum::<usize>()
            }
            Value::Map(map) => map.heap_bytes(),
            Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Empty => 0,
        }
    }
}

impl fmt::Display for Value {
    /// The value as a person reads it; bytes in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Str(text) => f.write_str(text),
            Value::Bool(truth) => write!(f, "{truth}"),
            Value::Int(number) => write!(f, "{number}"),
            // Debug keeps the point of a whole number, so that 643.0 does not turn into an integer.
            Value::Double(number) => write!(f, "{number:?}"),
            Value::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Value::Array(values) => {
                f.write_str("[")?;
                for (at, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Value::Map(map) => {
                f.write_str("{")?;
                for (at, (key, value)) in map.iter().enumerate() {
                    write!(f, "{}{key}={value}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
            Value::Empty => Ok(()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Double(number)
    }
}

/// Named values in the order in which they were sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attributes(Vec<(Key, Value)>);

impl Attributes {
    /// No attributes, without an allocation.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// No attributes yet, with room for `capacity`.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// The value named `key`; the first, where a sender broke the rule that names are unique.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name.as_str() == key).map(|(_, value)| value)
    }

    /// The text named `key`, if it is text.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// Adds an attribute at the end, without looking whether there is one of that name.
    pub fn push(&mut self, key: impl Into<Key>, value: impl Into<Value>) {
        self.0.push((key.into(), value.into()));
    }

    /// Replaces the value named `key`, or adds it at the end.
    pub fn set(&mut self, key: impl Into<Key>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some(slot) => slot.1 = value,
            None => self.0.push((key, value)),
        }
    }

    /// The attributes in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (Key, Value)> {
        self.0.iter()
    }

    /// The attributes in order, to change them.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, (Key, Value)> {
        self.0.iter_mut()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The memory behind this list beyond its own size, as budgets count it; names are shared and not
    /// counted.
    pub fn heap_bytes(&self) -> usize {
        let values = self.0.iter().map(|(_, value)| value.heap_bytes());
        allocated(size_of_val(self.0.as_slice())) + values.sum::<usize>()
    }
}

impl FromIterator<(Key, Value)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (Key, Value)>>(attributes: I) -> Self {
        Self(attributes.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Attributes {
    type Item = &'a (Key, Value);
    type IntoIter = std::slice::Iter<'a, (Key, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

//! The labels of a series as bytes: what the journal has of it, and what it is found by.
//!
//! Each label's name and value with their lengths, in the order of the names. A sender's series is found by a
//! look at bytes that stand next to each other, and no text is made for it.

use monitoring::series::{Labels, LabelsBuilder, Texts};

use super::varint::{Cursor, put_bytes};

/// Appends labels, which are sorted by name, unique and not empty.
pub(crate) fn put<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>, into: &mut Vec<u8>) {
    for (name, value) in labels {
        put_bytes(into, name.as_bytes());
        put_bytes(into, value.as_bytes());
    }
}

/// The bytes of labels.
pub(crate) fn of(labels: &Labels) -> Vec<u8> {
    let mut key = Vec::new();
    put(labels.as_slice().iter().map(|label| (&*label.name, &*label.value)), &mut key);
    key
}

/// The labels of bytes; nothing where they are none.
pub(crate) fn labels(key: &[u8], texts: &mut Texts) -> Option<Labels> {
    let (mut cursor, mut labels) = (Cursor(key), LabelsBuilder::default());
    while !cursor.0.is_empty() {
        let (name, value) = (cursor.bytes()?, cursor.bytes()?);
        let (name, value) = (std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?);
        labels.set(texts.intern(name), texts.intern(value));
    }
    Some(labels.build())
}

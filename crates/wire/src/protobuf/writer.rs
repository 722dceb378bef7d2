//! Writing Protocol Buffers: what other dialects and JSON are rewritten as, and what senders are answered.
//!
//! A message's length stands before its content, and is known after it. So one byte is left free for it,
//! which is enough for most; where it is not, the content moves.

/// Bytes of a message that is being written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Writer(Vec<u8>);

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

impl Writer {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn varint(&mut self, number: u32, value: u64) {
        self.tag(number, VARINT);
        self.raw_varint(value);
    }

    pub(crate) fn fixed64(&mut self, number: u32, value: u64) {
        self.tag(number, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn fixed32(&mut self, number: u32, value: u32) {
        self.tag(number, FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, BYTES);
        self.raw_varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Writes a message whose content `write` writes.
    pub(crate) fn message<T>(&mut self, number: u32, write: impl FnOnce(&mut Self) -> T) -> T {
        let begun = self.begin(number);
        let written = write(self);
        self.end(begun);
        written
    }

    /// Begins a message, and says where its content does.
    pub(crate) fn begin(&mut self, number: u32) -> usize {
        self.tag(number, BYTES);
        self.0.push(0);
        self.0.len()
    }

    /// Ends the message whose content begins at `begun`.
    pub(crate) fn end(&mut self, begun: usize) {
        let mut length = Self::default();
        length.raw_varint((self.0.len() - begun) as u64);
        match (length.0.as_slice(), self.0.get_mut(begun - 1)) {
            ([byte], Some(place)) => *place = *byte,
            _ => drop(self.0.splice(begun - 1..begun, length.0)),
        }
    }

    fn tag(&mut self, number: u32, wire_type: u32) {
        self.raw_varint(u64::from(number << 3 | wire_type));
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

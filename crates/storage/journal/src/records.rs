//! Records that are appended together, laid out as they will stand in their group.
//!
//! A caller that encodes its records from what it has borrowed writes each straight into place, without
//! an allocation for each, and may use the memory again for the next batch. The journal then takes all of
//! them as one copy. They are not written into the forming group itself, because encoding would then
//! hold its lock, and a batch that turns out to be too large would have to be taken out of it again.

use crate::format::{GROUP_HEADER_BYTES, GroupBuffer, records};

/// Records for [`crate::Journal::append_records`].
///
/// ```
/// use storage_journal::Records;
///
/// let mut records = Records::new();
/// records.push(7, b"first");
/// records.push_with(7, |bytes| bytes.extend_from_slice(b"second"));
/// assert_eq!(records.len(), 2);
/// assert!(records.iter().eq([(7, &b"first"[..]), (7, b"second")]));
/// ```
#[derive(Debug)]
pub struct Records {
    group: GroupBuffer,
    largest: u64,
}

impl Default for Records {
    fn default() -> Records {
        Records::new()
    }
}

impl Records {
    /// No records yet.
    pub fn new() -> Records {
        Records { group: GroupBuffer::new(), largest: 0 }
    }

    /// Adds a record.
    pub fn push(&mut self, kind: u8, payload: &[u8]) {
        self.push_with(kind, |bytes| bytes.extend_from_slice(payload));
    }

    /// Adds a record whose payload is what `encode` appends. Its limit is checked when the records are
    /// appended.
    ///
    /// # Panics
    /// `encode` took away what stood before.
    pub fn push_with(&mut self, kind: u8, encode: impl FnOnce(&mut Vec<u8>)) {
        let length = self.group.push_with(kind, encode);
        self.largest = self.largest.max(length as u64);
    }

    /// Each with its kind, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        records(self.group.body())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.group.count() as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What they take, with their framing.
    pub fn bytes(&self) -> u64 {
        (self.group.len() - GROUP_HEADER_BYTES) as u64
    }

    /// Takes all of them out and keeps the memory.
    pub fn clear(&mut self) {
        self.group.clear();
        self.largest = 0;
    }

    pub(crate) fn largest(&self) -> u64 {
        self.largest
    }

    pub(crate) fn group(&self) -> &GroupBuffer {
        &self.group
    }
}

//! A batch of spans in one piece of memory: what the journal keeps, and what is searched until it is sealed.
//!
//! An owned span with ten attributes takes a kilobyte and a half in fifteen allocations; here it takes some
//! 150 bytes, none of its own. All texts of a batch stand in one string, each once; spans refer to them by
//! position and are read by walking over them, without a copy. A chunk is written by [`Writer`], and is never
//! changed again.
//!
//! The bytes, which a record of the journal holds compressed. `v` is an unsigned LEB128 integer, fixed
//! integers are little-endian but for trace ids, which are big-endian; a *text* is `v`, a position in the
//! table of texts:
//!
//! ```text
//! chunk      v count of texts, v length of each, their bytes one after the other (UTF-8);
//!            v count of resources, of each its attributes;
//!            v count of scopes, of each name (text) and version (text); where any has attributes, 0 and then
//!            v count of scopes, of each name, version and attributes (no spans are without a scope);
//!            v count of spans, of each v length, span
//! span       v bits: 1 parent, 2 flags, 4 trace state, 8 status message, 16 events, 32 links, 64 dropped,
//!              128 is an error, 256 names a called service
//!            16 trace id, 8 span id, 1 kind (as OTLP counts, from 0 internal) + 16 · status (0 unset, 1 ok,
//!            2 error), 8 start, v duration, text name, v resource, v scope;
//!            then, where the bit is set: 8 parent; v flags; text; text; text namespace, text service (called);
//!            attributes; events: v count, of each event; links; v v v dropped attributes, events, links
//! event      8 time, text name, attributes, v dropped attributes
//! link       16 trace id, 8 span id, v flags, text trace state, attributes, v dropped attributes
//! attributes v count, of each text name, value
//! value      1 type: 0 none, 1 text, 2 false, 3 true, 4 v integer (zigzag), 5 8 double, 6 v length, bytes,
//!            7 v count, values, 8 attributes
//! ```

pub(crate) mod cursor;
mod read;
mod write;

use std::sync::Arc;

use identity::Wall;
use traces::{Resource, Scope};

pub(crate) use read::{Head, RawValue};
pub(crate) use write::MAX_VALUE_DEPTH;
pub use write::Writer;

mod bit {
    pub(super) const PARENT: u64 = 1;
    pub(super) const FLAGS: u64 = 2;
    pub(super) const STATE: u64 = 4;
    pub(super) const MESSAGE: u64 = 8;
    pub(super) const EVENTS: u64 = 16;
    pub(super) const LINKS: u64 = 32;
    pub(super) const DROPPED: u64 = 64;
    pub(super) const ERROR: u64 = 128;
    pub(super) const CALLED: u64 = 256;
}

/// All texts of a chunk; a buffer that columns may refer to without a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Arc<str>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Spans in one piece of memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chunk {
    text: Text,
    /// Where each text ends.
    ends: Box<[u32]>,
    resources: Box<[Arc<Resource>]>,
    scopes: Box<[Arc<Scope>]>,
    body: Box<[u8]>,
    /// Where each span begins in `body`.
    spans: Box<[u32]>,
    /// When it was received.
    pub(crate) received_at: Wall,
}

impl Chunk {
    /// How many spans there are.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// How many texts there are.
    pub(crate) fn texts(&self) -> usize {
        self.ends.len()
    }

    /// The buffer of all texts.
    pub(crate) fn text_buffer(&self) -> &Text {
        &self.text
    }

    /// Where a text stands in the buffer.
    pub(crate) fn range_of(&self, at: u32) -> Option<std::ops::Range<usize>> {
        let at = at as usize;
        let end = *self.ends.get(at)? as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        Some(start..end)
    }

    /// A text.
    pub(crate) fn text(&self, at: u32) -> Option<&str> {
        self.text.0.get(self.range_of(at)?)
    }

    pub(crate) fn resource(&self, at: u32) -> Option<&Arc<Resource>> {
        self.resources.get(at as usize)
    }

    pub(crate) fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    pub(crate) fn scope(&self, at: u32) -> Option<&Arc<Scope>> {
        self.scopes.get(at as usize)
    }

    pub(crate) fn scopes(&self) -> &[Arc<Scope>] {
        &self.scopes
    }

    /// The memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let resources = self.resources.iter();
        let resources = resources.map(|resource| resource.attributes.heap_bytes() + 128).sum::<usize>();
        size_of::<Self>()
            + self.text.0.len()
            + self.body.len()
            + 4 * (self.ends.len() + self.spans.len())
            + self.scopes.iter().map(|scope| scope.attributes.heap_bytes() + 128).sum::<usize>()
            + resources
    }
}

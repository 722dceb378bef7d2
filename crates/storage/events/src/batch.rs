//! Events that are recorded together, on their way in and in memory.
//!
//! A record is a message: where the batch comes from (1, an [`OriginRecord`], absent if its sender does
//! not number its batches), the revision of its first event (2, a varint; the others follow by one), and
//! the events (3, repeated, each an [`EventRecord`]).
//!
//! **Why memory keeps records and not events:** one event as a value takes some 900 bytes in a dozen
//! allocations, encoded it takes 200 and its batch one. The budget holds four times as many, and nobody
//! pays for taking apart what nobody asks for.

use std::sync::Arc;

use identity::Wall;
use monitoring::Origin;
use prost::Message;
use prost::encoding::encoded_len_varint;
use storage_intake::record::OriginRecord;

use crate::encoding::{EventRef, Field, Fields, Head, begin_field, field_len, number};
use crate::record::EventRecord;
use crate::{Event, Query};

// The fields of a record.
const ORIGIN: u32 = 1;
const FIRST_REVISION: u32 = 2;
const EVENTS: u32 = 3;

/// Events that are recorded together: all of them or none. They are encoded as they are told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Where it comes from, so that it may be sent again; `None` for a sender that does not number its
    /// batches.
    pub origin: Option<Origin>,
    /// The events as fields of the record.
    events: Vec<u8>,
    /// Where each of them begins, without its key and length, and where it ends.
    places: Vec<Place>,
    /// When the newest of them happened.
    newest: Wall,
}

/// Where an event stands in bytes that hold several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    begin: u32,
    end: u32,
}

impl Batch {
    /// A batch without events.
    pub fn new(origin: Option<Origin>) -> Batch {
        Batch { origin, ..Batch::default() }
    }

    /// A batch of these events.
    pub fn of<'a>(origin: Option<Origin>, events: impl IntoIterator<Item = &'a Event>) -> Batch {
        let mut batch = Batch::new(origin);
        for event in events {
            let details: Vec<_> =
                event.details.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            batch.push(&EventRef::of(event, &details));
        }
        batch
    }

    /// Adds an event.
    pub fn push(&mut self, event: &EventRef<'_>) {
        let length = event.encoded_len();
        self.events.reserve(field_len(length));
        begin_field(EVENTS, length, &mut self.events);
        // Lengths have 32 bits; a batch of more is refused before anybody looks at the places.
        let begin = self.events.len() as u32;
        event.encode(&mut self.events);
        self.places.push(Place { begin, end: self.events.len() as u32 });
        self.newest = self.newest.max(event.at);
    }

    /// How many events it has.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it has no events.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// What its events take, encoded.
    pub fn bytes(&self) -> u64 {
        self.events.len() as u64
    }

    /// What its record takes, but for its revision.
    pub(crate) fn record_bytes(&self) -> u64 {
        let origin = self.origin.as_ref().map(OriginRecord::from);
        self.bytes() + origin.map_or(0, |origin| field_len(origin.encoded_len()) as u64)
    }

    /// Its record, with the revision of its first event, which is not 0.
    pub(crate) fn into_page(self, first_revision: u64) -> Page {
        let origin = self.origin.as_ref().map(OriginRecord::from);
        let origin_bytes = origin.as_ref().map_or(0, |origin| field_len(origin.encoded_len()));
        let before = origin_bytes + 1 + encoded_len_varint(first_revision);
        let mut record = Vec::with_capacity(before + self.events.len());
        if let Some(origin) = &origin {
            begin_field(ORIGIN, origin.encoded_len(), &mut record);
            // A vector grows as it needs to, so there is always room.
            let _ = origin.encode(&mut record);
        }
        number(FIRST_REVISION, first_revision, &mut record);
        record.extend_from_slice(&self.events);
        let place = |at: Place| Place { begin: at.begin + before as u32, end: at.end + before as u32 };
        let places = self.places.into_iter().map(place).collect();
        Page { record: record.into(), places, first_revision, newest: self.newest }
    }
}

/// A batch that was recorded, as its record and where its events stand there.
#[derive(Debug)]
pub(crate) struct Page {
    record: Box<[u8]>,
    places: Box<[Place]>,
    pub(crate) first_revision: u64,
    /// When the newest of its events happened.
    pub(crate) newest: Wall,
}

impl Page {
    /// What stands in a record, with its origin. The events are not looked at.
    pub(crate) fn lay_out(record: &[u8]) -> Result<(Page, Option<OriginRecord>), String> {
        let (mut origin, mut first_revision, mut places) = (None, 0, Vec::new());
        let mut fields = Fields(record);
        while let Some(field) = fields.next() {
            match field? {
                (ORIGIN, Field::Bytes(bytes)) => {
                    origin = Some(OriginRecord::decode(bytes).map_err(|error| format!("origin: {error}"))?);
                }
                (FIRST_REVISION, Field::Number(revision)) => first_revision = revision,
                (EVENTS, Field::Bytes(event)) => {
                    let end = record.len() - fields.rest();
                    places.push(Place { begin: (end - event.len()) as u32, end: end as u32 });
                }
                _ => {}
            }
        }
        let page =
            Page { record: record.into(), places: places.into(), first_revision, newest: Wall::default() };
        Ok((page, origin))
    }

    /// The same with events each of which is sound, for a record that is replayed.
    pub(crate) fn check(record: &[u8]) -> Result<(Page, Option<OriginRecord>), String> {
        let (mut page, origin) = Page::lay_out(record)?;
        for index in 0..page.len() {
            page.newest = page.newest.max(page.decode(index)?.at);
        }
        Ok((page, origin))
    }

    /// How many events it has.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Its bytes in the journal.
    pub(crate) fn record(&self) -> &[u8] {
        &self.record
    }

    /// The revision of its last event; that before the first where it has none.
    pub(crate) fn last_revision(&self) -> u64 {
        self.first_revision.saturating_add(self.len() as u64).saturating_sub(1)
    }

    /// What it takes in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        /// An allocation's own bookkeeping; there are three. And a place in a queue.
        const OVERHEAD: usize = 3 * 16 + size_of::<Arc<Page>>();
        (size_of::<Page>() + OVERHEAD + self.record.len() + size_of_val(&*self.places)) as u64
    }

    /// The places of those events that a query wants, by the order of their revisions.
    pub(crate) fn wanted<'a>(&'a self, query: &'a Query) -> impl DoubleEndedIterator<Item = usize> + 'a {
        let place =
            |revision: u64| revision.saturating_sub(self.first_revision).min(self.len() as u64) as usize;
        let begin = place(query.since().saturating_add(1));
        let end = place(query.before()).max(begin);
        (begin..end).filter(move |index| Head::of(self.event(*index)).is_wanted(query))
    }

    /// The event at this place, which was checked when it was recorded or replayed.
    pub(crate) fn get(&self, index: usize) -> Option<Event> {
        self.decode(index).ok()
    }

    fn decode(&self, index: usize) -> Result<Event, String> {
        let event = EventRecord::decode(self.event(index)).map_err(|error| error.to_string())?;
        event.into_event(self.first_revision.saturating_add(index as u64))
    }

    fn event(&self, index: usize) -> &[u8] {
        let place = self.places.get(index);
        place.and_then(|place| self.record.get(place.begin as usize..place.end as usize)).unwrap_or_default()
    }
}

/// The record of a page, for the journal.
#[derive(Debug)]
pub(crate) struct Recorded(pub(crate) Arc<Page>);

impl AsRef<[u8]> for Recorded {
    fn as_ref(&self) -> &[u8] {
        self.0.record()
    }
}

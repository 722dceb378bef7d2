//! Events straight from borrowed data into the bytes of their record, and what queries look at straight
//! from there.
//!
//! A registry that changes 50,000 times a second tells as many events, and what each costs is not what it
//! says but how often it is copied. An event is therefore encoded once, from what its teller has at hand;
//! these bytes go to the journal, and the same bytes are what memory keeps. What asks for events decodes
//! those that it wants, and only looks at the [`Head`] of the others.
//!
//! The format is that of [`EventRecord`](crate::record::EventRecord), byte by byte as `prost` writes it:
//! fields in the order of their numbers, and without those that are empty. Fields that are read may stand
//! in any order, and those that are not known are passed over.

use identity::{InstanceId, Namespace, ServiceName, TraceId, Wall};
use prost::encoding::{decode_varint, encoded_len_varint};

use crate::record::{self, kind_number};
use crate::{Event, Kind, Query};

/// All fields have numbers below 16, so that a field begins with one byte.
const KEY_BYTES: usize = 1;
/// What a time takes without the key.
const FIXED_BYTES: usize = 8;

/// An [`Event`] that is told from what its teller has at hand.
#[derive(Debug, Clone, Copy)]
pub struct EventRef<'a> {
    /// When it happened.
    pub at: Wall,
    /// What it is about.
    pub kind: Kind,
    /// What happened, as a verb.
    pub action: &'a str,
    /// The namespace it is about, if it is about one.
    pub namespace: Option<&'a Namespace>,
    /// The service it is about, if it is about one.
    pub service: Option<&'a ServiceName>,
    /// The instance it is about, if it is about one.
    pub instance: Option<&'a InstanceId>,
    /// Who did it.
    pub actor: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Whatever else helps, by ascending names. Of two with the same name, readers see the second.
    pub details: &'a [(&'a str, &'a str)],
    /// Calls that show it.
    pub exemplar_trace_ids: &'a [TraceId],
}

impl<'a> EventRef<'a> {
    /// The same as an event; `details` are its own, as they stand there.
    pub(crate) fn of(event: &'a Event, details: &'a [(&'a str, &'a str)]) -> EventRef<'a> {
        EventRef {
            at: event.at,
            kind: event.kind,
            action: &event.action,
            namespace: event.namespace.as_ref(),
            service: event.service.as_ref(),
            instance: event.instance.as_ref(),
            actor: &event.actor,
            reason: &event.reason,
            details,
            exemplar_trace_ids: &event.exemplar_trace_ids,
        }
    }

    fn names(&self) -> [(u32, Option<&'a str>); 3] {
        [
            (4, self.namespace.map(Namespace::as_str)),
            (5, self.service.map(ServiceName::as_str)),
            (6, self.instance.map(InstanceId::as_str)),
        ]
    }

    pub(crate) fn encoded_len(&self) -> usize {
        let at = if self.at.0 == 0 { 0 } else { KEY_BYTES + FIXED_BYTES };
        let kind = KEY_BYTES + encoded_len_varint(kind_number(self.kind).into());
        let texts: usize = [self.action, self.actor, self.reason].map(text_len).iter().sum();
        let names: usize =
            self.names().iter().flat_map(|(_, name)| name).map(|name| field_len(name.len())).sum();
        let details: usize = self.details.iter().map(|detail| field_len(detail_len(detail))).sum();
        let exemplars = self.exemplar_trace_ids.len() * field_len(size_of::<TraceId>());
        at + kind + texts + names + details + exemplars
    }

    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        if self.at.0 != 0 {
            into.push(key(1, SIXTY_FOUR_BITS));
            into.extend_from_slice(&self.at.0.to_le_bytes());
        }
        number(2, kind_number(self.kind).into(), into);
        text(3, self.action, into);
        for (tag, name) in self.names() {
            if let Some(name) = name {
                field(tag, name.as_bytes(), into);
            }
        }
        text(7, self.actor, into);
        text(8, self.reason, into);
        for detail in self.details {
            begin_field(9, detail_len(detail), into);
            text(1, detail.0, into);
            text(2, detail.1, into);
        }
        for id in self.exemplar_trace_ids {
            field(10, &id.to_bytes(), into);
        }
    }
}

fn detail_len((name, value): &(&str, &str)) -> usize {
    text_len(name) + text_len(value)
}

/// A text that is left out where it is empty.
fn text(tag: u32, text: &str, into: &mut Vec<u8>) {
    if !text.is_empty() {
        field(tag, text.as_bytes(), into);
    }
}

fn text_len(text: &str) -> usize {
    if text.is_empty() { 0 } else { field_len(text.len()) }
}

/// Bytes with their key and length.
fn field(tag: u32, bytes: &[u8], into: &mut Vec<u8>) {
    begin_field(tag, bytes.len(), into);
    into.extend_from_slice(bytes);
}

/// A number with its key.
pub(crate) fn number(tag: u32, number: u64, into: &mut Vec<u8>) {
    into.push(key(tag, VARINT));
    varint(number, into);
}

/// The key and the length of so many bytes.
pub(crate) fn begin_field(tag: u32, length: usize, into: &mut Vec<u8>) {
    into.push(key(tag, BYTES));
    varint(length as u64, into);
}

/// See [`KEY_BYTES`].
fn key(tag: u32, written: u64) -> u8 {
    debug_assert!(tag < 16, "a key of one byte");
    (tag as u8) << 3 | written as u8
}

/// Nearly all numbers here are lengths below 128, so that the way to one byte is a short one.
#[inline]
fn varint(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// What so many bytes take as a field.
pub(crate) fn field_len(length: usize) -> usize {
    KEY_BYTES + encoded_len_varint(length as u64) + length
}

// How the value of a field is written, in the last three bits of its key.
const VARINT: u64 = 0;
const SIXTY_FOUR_BITS: u64 = 1;
const BYTES: u64 = 2;
const THIRTY_TWO_BITS: u64 = 5;

/// What stands where a field should.
type Broken = &'static str;

/// A field that is read. Whatever else a message has is passed over.
pub(crate) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message with their numbers, as they stand there.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Field<'a>), Broken>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while !self.0.is_empty() {
            match self.field() {
                Ok(None) => {}
                Ok(Some(field)) => return Some(Ok(field)),
                Err(broken) => {
                    // Nothing that stands behind it has a meaning.
                    self.0 = &[];
                    return Some(Err(broken));
                }
            }
        }
        None
    }
}

impl<'a> Fields<'a> {
    /// How many bytes have not been read.
    pub(crate) fn rest(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn field(&mut self) -> Result<Option<(u32, Field<'a>)>, Broken> {
        let key = self.varint()?;
        let tag = u32::try_from(key >> 3).map_err(|_| "a field's number that is none")?;
        match key & 7 {
            VARINT => Ok(Some((tag, Field::Number(self.varint()?)))),
            BYTES => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Ok(Some((tag, Field::Bytes(self.take(length)?))))
            }
            SIXTY_FOUR_BITS => self.take(8).map(|_| None),
            THIRTY_TWO_BITS => self.take(4).map(|_| None),
            // Groups are older than this format, and the other numbers have no meaning.
            _ => Err("a field of a kind that is not written"),
        }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let (taken, rest) =
            self.0.split_at_checked(length).ok_or("a field that is longer than what it stands in")?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Broken> {
        if let [byte @ ..0x80, rest @ ..] = self.0 {
            self.0 = rest;
            return Ok(u64::from(*byte));
        }
        decode_varint(&mut self.0).map_err(|_| "a number that is cut or too long")
    }
}

/// What a query looks at, in an event that is encoded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    kind: u64,
    action: &'a [u8],
    namespace: Option<&'a [u8]>,
    service: Option<&'a [u8]>,
    instance: Option<&'a [u8]>,
}

impl<'a> Head<'a> {
    /// Of an event that was decoded once, or that this process encoded.
    pub(crate) fn of(event: &'a [u8]) -> Head<'a> {
        let mut head = Head::default();
        for field in Fields(event).map_while(Result::ok) {
            match field {
                (2, Field::Number(kind)) => head.kind = kind,
                (3, Field::Bytes(action)) => head.action = action,
                (4, Field::Bytes(namespace)) => head.namespace = Some(namespace),
                (5, Field::Bytes(service)) => head.service = Some(service),
                (6, Field::Bytes(instance)) => head.instance = Some(instance),
                _ => {}
            }
        }
        head
    }

    /// Whether a query wants it that wants its revision.
    pub(crate) fn is_wanted(&self, query: &Query) -> bool {
        let fits = |wanted: Option<&str>, found: Option<&[u8]>| {
            wanted.is_none_or(|wanted| Some(wanted.as_bytes()) == found)
        };
        query.kind.is_none_or(|kind| u64::from(record::kind_number(kind)) == self.kind)
            && (self.namespace.is_none()
                || fits(query.namespace.as_ref().map(Namespace::as_str), self.namespace))
            && fits(query.service.as_ref().map(ServiceName::as_str), self.service)
            && fits(query.instance.as_ref().map(InstanceId::as_str), self.instance)
            && query.without.is_none_or(|action| self.action != action.as_bytes())
    }
}

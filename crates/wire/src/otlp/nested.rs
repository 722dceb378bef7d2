//! Attributes and their values, which may hold lists of the same again.
//!
//! A batch keeps each list in one piece, but a list that is being read may be interrupted by one that is
//! nested in it. So what is being read waits on a stack, and moves to the batch when its list is complete.

use crate::protobuf::{Broken, Fields, Raw};

use super::{
    Attribute, Batch, Limits, Part, Reason, Value,
    names::{Names, NotUtf8},
};

/// Why something was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The request is no message.
    Broken(Broken),
    /// The span breaks a rule.
    Refused(Reason),
    /// The attribute is over a limit.
    Left,
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Fault::Broken(broken)
    }
}

impl From<NotUtf8> for Fault {
    fn from(NotUtf8: NotUtf8) -> Self {
        Fault::Refused(Reason::Utf8)
    }
}

/// A list of attributes that is being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    /// How high the stack was.
    mark: usize,
    /// How many attributes were left out so far.
    pub(super) dropped: u32,
}

/// How long the lists were, to go back to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    attributes: usize,
    values: usize,
    events: usize,
    links: usize,
    stacked_attributes: usize,
    stacked_values: usize,
}

/// The batch that is being made.
#[derive(Debug)]
pub(super) struct Nest<'a, 'l> {
    pub(super) limits: &'l Limits,
    pub(super) batch: Batch<'a>,
    pub(super) names: Names<'a>,
    pub(super) cut: u64,
    attributes: Vec<Attribute<'a>>,
    values: Vec<Value<'a>>,
}

/// A place for texts that are not expected to repeat in order.
pub(super) const ANYWHERE: usize = usize::MAX;

impl<'a, 'l> Nest<'a, 'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        let (batch, names, attributes, values) = Default::default();
        Self { limits, batch, names, cut: 0, attributes, values }
    }

    pub(super) fn marks(&self) -> Marks {
        Marks {
            attributes: self.batch.attributes.len(),
            values: self.batch.values.len(),
            events: self.batch.events.len(),
            links: self.batch.links.len(),
            stacked_attributes: self.attributes.len(),
            stacked_values: self.values.len(),
        }
    }

    /// Forgets what was read since.
    pub(super) fn back_to(&mut self, marks: Marks) {
        self.batch.attributes.truncate(marks.attributes);
        self.batch.values.truncate(marks.values);
        self.batch.events.truncate(marks.events);
        self.batch.links.truncate(marks.links);
        self.attributes.truncate(marks.stacked_attributes);
        self.values.truncate(marks.stacked_values);
    }

    /// Begins a list of attributes.
    pub(super) fn open(&self) -> Open {
        Open { mark: self.attributes.len(), dropped: 0 }
    }

    /// Reads a `KeyValue` into the list.
    pub(super) fn attribute(&mut self, open: &mut Open, message: &'a [u8]) -> Result<(), Fault> {
        if self.attributes.len() - open.mark >= self.limits.max_attributes {
            open.dropped = open.dropped.saturating_add(1);
            return Ok(());
        }
        let marks = self.marks();
        let mut elements = 0;
        match self.key_value(message, self.attributes.len() - open.mark, 0, &mut elements) {
            Ok(attribute) => self.attributes.push(attribute),
            Err(Fault::Left) => {
                self.back_to(marks);
                open.dropped = open.dropped.saturating_add(1);
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// Ends a list of attributes.
    pub(super) fn close(&mut self, open: Open) -> Part {
        let closed = self.attributes.get(open.mark..).unwrap_or_default();
        let part = Part { start: self.batch.attributes.len() as u32, len: closed.len() as u32 };
        self.batch.attributes.extend_from_slice(closed);
        self.attributes.truncate(open.mark);
        part
    }

    /// The position of a text that should stand once.
    pub(super) fn name(&mut self, bytes: &'a [u8], place: usize) -> Result<u32, Fault> {
        let bytes =
            if bytes.len() > self.limits.max_value_bytes { self.text(bytes)?.as_bytes() } else { bytes };
        Ok(self.names.position(bytes, place)?)
    }

    /// A text within the limit.
    pub(super) fn text(&mut self, bytes: &'a [u8]) -> Result<&'a str, Fault> {
        let text = str::from_utf8(bytes).map_err(|_| NotUtf8)?;
        if text.len() <= self.limits.max_value_bytes {
            return Ok(text);
        }
        self.cut += 1;
        Ok(&text[..text.floor_char_boundary(self.limits.max_value_bytes)])
    }

    fn key_value(
        &mut self,
        message: &'a [u8],
        place: usize,
        depth: usize,
        elements: &mut usize,
    ) -> Result<Attribute<'a>, Fault> {
        let (mut key, mut value) = (&b""[..], None);
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (1, Raw::Bytes(bytes)) => key = bytes,
                (2, Raw::Bytes(bytes)) => value = Some(bytes),
                (1 | 2, _) => return Err(fields.broken(WRONG_TYPE).into()),
                _ => {}
            }
        }
        let key = self.name(key, place)?;
        let value = match value {
            Some(value) => self.value(value, depth, elements)?,
            None => Value::Empty,
        };
        Ok(Attribute { key, value })
    }

    /// Reads an `AnyValue`.
    fn value(&mut self, message: &'a [u8], depth: usize, elements: &mut usize) -> Result<Value<'a>, Fault> {
        let mut value = Value::Empty;
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            value = match (number, raw) {
                (1, Raw::Bytes(bytes)) => Value::Str(self.text(bytes)?),
                (2, Raw::Varint(number)) => Value::Bool(number != 0),
                (3, Raw::Varint(number)) => Value::Int(number.cast_signed()),
                (4, Raw::Fixed64(bits)) => Value::Double(f64::from_bits(bits)),
                (5, Raw::Bytes(message)) => self.array(message, deeper(depth, self.limits)?, elements)?,
                (6, Raw::Bytes(message)) => self.map(message, deeper(depth, self.limits)?, elements)?,
                (7, Raw::Bytes(bytes)) if bytes.len() > self.limits.max_value_bytes => {
                    self.cut += 1;
                    Value::Bytes(&bytes[..self.limits.max_value_bytes])
                }
                (7, Raw::Bytes(bytes)) => Value::Bytes(bytes),
                (1..=7, _) => return Err(fields.broken(WRONG_TYPE).into()),
                _ => value,
            }
        }
        Ok(value)
    }

    fn array(&mut self, message: &'a [u8], depth: usize, elements: &mut usize) -> Result<Value<'a>, Fault> {
        let mark = self.values.len();
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (1, Raw::Bytes(message)) => {
                    one_more(elements, self.limits)?;
                    let value = self.value(message, depth, elements)?;
                    self.values.push(value);
                }
                (1, _) => return Err(fields.broken(WRONG_TYPE).into()),
                _ => {}
            }
        }
        let closed = self.values.get(mark..).unwrap_or_default();
        let part = Part { start: self.batch.values.len() as u32, len: closed.len() as u32 };
        self.batch.values.extend_from_slice(closed);
        self.values.truncate(mark);
        Ok(Value::Array(part))
    }

    fn map(&mut self, message: &'a [u8], depth: usize, elements: &mut usize) -> Result<Value<'a>, Fault> {
        let open = self.open();
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (1, Raw::Bytes(message)) => {
                    one_more(elements, self.limits)?;
                    let attribute = self.key_value(message, ANYWHERE, depth, elements)?;
                    self.attributes.push(attribute);
                }
                (1, _) => return Err(fields.broken(WRONG_TYPE).into()),
                _ => {}
            }
        }
        Ok(Value::Map(self.close(open)))
    }
}

/// What is said of a field whose number is known, but not in this form.
pub(super) const WRONG_TYPE: &str = "a field has another wire type than OTLP gives it";

fn deeper(depth: usize, limits: &Limits) -> Result<usize, Fault> {
    if depth < limits.max_depth { Ok(depth + 1) } else { Err(Fault::Left) }
}

fn one_more(elements: &mut usize, limits: &Limits) -> Result<(), Fault> {
    *elements += 1;
    if *elements <= limits.max_elements { Ok(()) } else { Err(Fault::Left) }
}

//! OTLP's JSON, rewritten as Protocol Buffers while it is read.
//!
//! Nothing stands between the two: a document is walked once along the table of messages, and each field is
//! written as it is read. So JSON obeys every rule and limit that the one walk over Protocol Buffers has,
//! and has none of its own but for its syntax. What cannot be what it should be within a span, an id that is
//! not hexadecimal, is written as nothing at all and refused there; what has the wrong type of JSON spoils
//! the document.

use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};

use crate::protobuf::Writer;

use super::{
    Malformed,
    schema::{Field, Holds, METRICS, Message, REQUEST},
};

/// Rewrites a request in JSON as Protocol Buffers.
///
/// # Errors
/// It is not JSON, or something in it has the wrong type.
pub fn from_json(request: &[u8]) -> Result<Vec<u8>, Malformed> {
    rewritten(&REQUEST, request)
}

/// The same for a request with metrics.
///
/// # Errors
/// It is not JSON, or something in it has the wrong type.
pub fn metrics_from_json(request: &[u8]) -> Result<Vec<u8>, Malformed> {
    rewritten(&METRICS, request)
}

fn rewritten(message: &'static Message, request: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut writer = Writer::default();
    let mut json = serde_json::Deserializer::from_slice(request);
    let read = Content(message, &mut writer).deserialize(&mut json).and_then(|()| json.end());
    // The message says the line and the column.
    read.map_err(|error| Malformed(error.to_string()))?;
    Ok(writer.into_bytes())
}

/// An object that is the content of a message.
struct Content<'w>(&'static Message, &'w mut Writer);

impl<'de> DeserializeSeed<'de> for Content<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Content<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message(fields) = self.0;
        let names: Vec<&str> = fields.iter().map(|Field(name, ..)| *name).collect();
        write!(f, "an object with {}", names.join(", "))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(message, writer) = self;
        while let Some(field) = map.next_key_seed(Named(message))? {
            match field {
                Some(field) => map.next_value_seed(Value(field, writer))?,
                None => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }
}

/// The field of a name, if there is one.
struct Named(&'static Message);

impl<'de> DeserializeSeed<'de> for Named {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Named {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let Message(fields) = self.0;
        Ok(fields.iter().find(|Field(known, ..)| *known == name || is_snake_case_of(name, known)))
    }
}

/// Whether `start_time` is `startTime`.
fn is_snake_case_of(snake: &str, camel: &str) -> bool {
    let mut snake = snake.bytes();
    let same = camel.bytes().all(|byte| match byte {
        b'A'..=b'Z' => snake.next() == Some(b'_') && snake.next() == Some(byte.to_ascii_lowercase()),
        _ => snake.next() == Some(byte),
    });
    same && snake.next().is_none()
}

/// The value of a field.
struct Value<'f, 'w>(&'f Field, &'w mut Writer);

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Value<'_, '_> {
    fn integer<E: serde::de::Error>(self, number: i128, shown: Unexpected<'_>) -> Result<(), E> {
        let Field(_, field, holds) = *self.0;
        let signed = i64::try_from(number);
        let (wide, narrow) = (u64::try_from(number), u32::try_from(number));
        match (holds, signed, wide, narrow) {
            (Holds::Int64, Ok(number), ..) => self.1.varint(field, number.cast_unsigned()),
            (Holds::Uint64, _, Ok(number), _) => self.1.varint(field, number),
            (Holds::SFixed64, Ok(number), ..) => self.1.fixed64(field, number.cast_unsigned()),
            (Holds::Sint32, Ok(number), ..) if i32::try_from(number).is_ok() => {
                // Zigzag: small numbers of either sign are short.
                self.1.varint(field, ((number << 1) ^ (number >> 63)).cast_unsigned());
            }
            (Holds::Fixed64, _, Ok(number), _) => self.1.fixed64(field, number),
            (Holds::Fixed32, .., Ok(number)) => self.1.fixed32(field, number),
            (Holds::Uint32 | Holds::Choice(_), .., Ok(number)) => self.1.varint(field, number.into()),
            (Holds::Double, ..) => self.1.fixed64(field, (number as f64).to_bits()),
            _ => return Err(E::invalid_type(shown, &self)),
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Field(name, _, holds) = self.0;
        let what = match holds {
            Holds::One(_) => "an object",
            Holds::Many(_) => "an array of objects",
            Holds::Text => "a text",
            Holds::Id => "hexadecimal digits",
            Holds::Bytes => "bytes in base64",
            Holds::Choice(_) => "the number or the name of a choice",
            Holds::Bool => "true or false",
            Holds::Double => "a number",
            Holds::Each(_) => "an array of numbers",
            Holds::Int64 | Holds::SFixed64 => "a whole number of 64 bits, or its digits as a text",
            Holds::Sint32 => "a whole number of 32 bits",
            Holds::Uint32 | Holds::Fixed32 => "a whole number from 0 that has 32 bits",
            Holds::Fixed64 | Holds::Uint64 => {
                "a whole number from 0 that has 64 bits, or its digits as a text"
            }
        };
        write!(f, "{what} in {name}")
    }

    /// In the mapping to JSON, null is the same as nothing.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<(), E> {
        let Field(_, field, holds) = self.0;
        match holds {
            Holds::Bool => self.1.varint(*field, u64::from(truth)),
            _ => return Err(E::invalid_type(Unexpected::Bool(truth), &self)),
        }
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.integer(number.into(), Unexpected::Unsigned(number))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.integer(number.into(), Unexpected::Signed(number))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        let Field(_, field, holds) = self.0;
        if let Holds::Double = holds {
            self.1.fixed64(*field, number.to_bits());
            return Ok(());
        }
        // 1.5e18 is a whole number, however it is written.
        let shown = Unexpected::Float(number);
        if number.fract() == 0.0 && number.abs() < 1e19 {
            return self.integer(number as i128, shown);
        }
        Err(E::invalid_type(shown, &self))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        let Field(_, field, holds) = *self.0;
        let shown = Unexpected::Str(text);
        match holds {
            Holds::Text => self.1.bytes(field, text.as_bytes()),
            Holds::Id => self.1.bytes(field, &from_hex(text).unwrap_or_default()),
            Holds::Bytes => match from_base64(text) {
                Some(bytes) => self.1.bytes(field, &bytes),
                None => return Err(E::invalid_value(shown, &self)),
            },
            Holds::Choice(names) => {
                // A name that this version does not know is like a number that it does not know.
                let number = names.iter().position(|name| *name == text).unwrap_or_default();
                self.1.varint(field, number as u64);
            }
            Holds::Double => match text.parse::<f64>() {
                Ok(number) => self.1.fixed64(field, number.to_bits()),
                Err(_) => return Err(E::invalid_value(shown, &self)),
            },
            Holds::Int64
            | Holds::Uint32
            | Holds::Fixed32
            | Holds::Fixed64
            | Holds::Sint32
            | Holds::SFixed64
            | Holds::Uint64 => match text.parse::<i128>() {
                Ok(number) => return self.integer(number, shown),
                Err(_) => return Err(E::invalid_value(shown, &self)),
            },
            Holds::One(_) | Holds::Many(_) | Holds::Each(_) | Holds::Bool => {
                return Err(E::invalid_type(shown, &self));
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Field(_, field, holds) = *self.0;
        let Holds::One(message) = holds else {
            return Err(A::Error::invalid_type(Unexpected::Map, &self));
        };
        self.1.message(field, |writer| Content(message, writer).visit_map(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let Field(name, field, holds) = *self.0;
        if let Holds::Each(number) = holds {
            // Each by itself, which readers take as they take them packed.
            while sequence.next_element_seed(Number(Field(name, field, *number), self.1))?.is_some() {}
            return Ok(());
        }
        let Holds::Many(message) = holds else {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        };
        while sequence.next_element_seed(Element(field, message, self.1))?.is_some() {}
        Ok(())
    }
}

/// An element of a field that holds numbers.
struct Number<'w>(Field, &'w mut Writer);

impl<'de> DeserializeSeed<'de> for Number<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(Value(&self.0, self.1))
    }
}

/// An element of a field that holds messages.
struct Element<'w>(u32, &'static Message, &'w mut Writer);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self(field, message, writer) = self;
        writer.message(field, |writer| Content(message, writer).deserialize(deserializer))
    }
}

/// Bytes from pairs of hexadecimal digits of either case.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

/// Bytes from base64 of either alphabet, with or without padding, as the mapping to JSON has it.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        let mut bits = 0_u32;
        for byte in chunk {
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(digit);
        }
        let whole = match chunk.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        bits <<= 6 * (4 - chunk.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..=whole]);
    }
    Some(bytes)
}

//! Reading what people write: JSON bodies, queries, configuration files.
//!
//! serde finds the mistake; this module says where it is (a JSON pointer, or the parameter's name), in
//! words that need no knowledge of Rust, and, for a name that nobody knows, which known one was
//! probably meant.

use std::{
    borrow::Cow,
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    marker::PhantomData,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, value::MapAccessDeserializer},
};

use super::{
    nearest,
    problem::{Code, Problem},
};

mod wording;

/// The problem of a parameter whose text cannot be read as what it should be.
pub fn parameter(name: &str, value: &str, error: &str) -> Problem {
    match wording::rule(error) {
        Some(rule) => {
            let detail = format!("{name} {} is not valid: {rule}", wording::shown(value));
            Problem::new(Code::InvalidValue, detail).at(name)
        }
        None => unreadable(error, Place::Query(name)),
    }
}

/// Reads a JSON body, which is an object.
///
/// # Errors
/// A problem that names the field and the rule.
///
/// ```
/// use wire::native::{api::RegistrationBody, decode};
///
/// let refused = decode::json::<RegistrationBody>(br#"{"adress":"10.0.0.7","port":80}"#).unwrap_err();
/// assert!(refused.detail().contains("adress"));
/// assert!(refused.to_string().contains("did you mean \"address\"?"));
/// ```
pub fn json<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Problem> {
    // Following the path costs as much again as reading, so it is done for bodies with a mistake only. And
    // one look whether the whole is UTF-8 costs less than one for each text in it.
    let read = str::from_utf8(body).ok().and_then(|text| serde_json::from_str(text).ok());
    let Object(value) = read.map_or_else(|| with_path(body), Ok)?;
    Ok(value)
}

fn with_path<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<Object<T>, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        if error.inner().is_data() {
            return unreadable(&error.inner().to_string(), Place::Body(&pointer));
        }
        let problem = Problem::new(Code::MalformedBody, error.inner().to_string());
        if pointer.is_empty() { problem } else { problem.at(pointer) }
    })?;
    reader.end().map_err(|error| Problem::new(Code::MalformedBody, error.to_string()))?;
    Ok(value)
}

/// Where a mistake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// In a body, at this JSON pointer.
    Body(&'a str),
    /// In a query, at the parameter of this name; empty for the query as a whole.
    Query(&'a str),
}

impl Place<'_> {
    /// The place of a member or parameter that the message names.
    fn of(self, name: &str) -> String {
        match self {
            Place::Query(_) => name.to_owned(),
            Place::Body(pointer) => {
                let name = escaped(name);
                // serde's path already ends in the field in some formats and not in others.
                if pointer.rsplit('/').next() == Some(name.as_str()) {
                    pointer.to_owned()
                } else {
                    format!("{pointer}/{name}")
                }
            }
        }
    }

    fn itself(self) -> String {
        let (Place::Body(place) | Place::Query(place)) = self;
        place.to_owned()
    }
}

/// The problem behind a message of serde's about a value that can be read but may not be so.
pub fn unreadable(message: &str, place: Place<'_>) -> Problem {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (what, whose) = match place {
        Place::Body(_) => ("field", "fields"),
        Place::Query(_) => ("parameter", "parameters"),
    };
    if message.starts_with("unknown field") {
        let unknown = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        let detail = format!("unknown {what} {}", wording::shown(unknown));
        let next = match nearest(unknown, known.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None if known.is_empty() => format!("there are no {whose} here; leave it out"),
            None => format!("the known {whose} are {}", known.join(", ")),
        };
        // A name that is too long to show is too long to point at.
        let place = if wording::is_short(unknown) { place.of(unknown) } else { place.itself() };
        return Problem::new(Code::UnknownField, detail).at(place).next(next);
    }
    let named = |code, says: &str| {
        // A name may hold the quote itself.
        let name = message.split_once('`').and_then(|(_, rest)| rest.rsplit_once('`')).unwrap_or_default().0;
        let at = if wording::is_short(name) { place.of(name) } else { place.itself() };
        Problem::new(code, format!("{} {says}", wording::shown(name))).at(at)
    };
    if message.starts_with("missing field") {
        return named(Code::MissingField, "is missing");
    }
    if message.starts_with("duplicate field") {
        return named(Code::InvalidValue, "is given twice");
    }
    Problem::new(Code::InvalidValue, wording::plain(message)).at(place.itself())
}

/// A segment of a JSON pointer (RFC 6901).
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A path as a JSON pointer.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut text = String::new();
    for segment in path {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } if wording::is_short(key) => escaped(key),
            Segment::Map { .. } => break,
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        text.push('/');
        text.push_str(&part);
    }
    text
}

/// A value that is written as an object, and not as a list of its members in some order, which serde
/// takes as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Visitor(PhantomData))
    }
}

/// For `#[serde(deserialize_with)]` on a list of objects.
///
/// # Errors
/// An item is not an object, or not one of this kind.
pub fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let items = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(items.into_iter().map(|Object(item)| item).collect())
}

/// A text where it lies, if nothing in it is escaped. serde borrows a bare `Cow` and no other.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// For `#[serde(deserialize_with)]` on a text that may be left out.
///
/// # Errors
/// The value is no text.
pub fn optional<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'a, str>>, D::Error> {
    Ok(Option::deserialize(deserializer)?.map(|Text(text)| text))
}

/// For `#[serde(deserialize_with)]` on texts by name, each name once.
///
/// # Errors
/// A name that is given twice: of two texts, neither is more likely to be meant.
pub fn distinct<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Texts<'a>, D::Error> {
    struct Visitor;

    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Texts<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut texts = BTreeMap::new();
            while let Some((Text(name), Text(text))) = map.next_entry()? {
                match texts.entry(name) {
                    Entry::Vacant(entry) => entry.insert(text),
                    // In serde's own words, which tell the place as well.
                    Entry::Occupied(entry) => {
                        return Err(de::Error::custom(format_args!("duplicate field `{}`", entry.key())));
                    }
                };
            }
            Ok(texts)
        }
    }

    deserializer.deserialize_map(Visitor)
}

/// Texts by name.
type Texts<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

#[cfg(test)]
mod tests;

//! Reading what people write: JSON bodies, configuration files.
//!
//! serde finds the mistake; this module says where it is (a JSON pointer) and, for a key that nobody
//! knows, which known one was probably meant.

use serde::de::DeserializeOwned;

use super::{
    nearest,
    problem::{Code, Problem},
};

/// Reads a JSON body.
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
pub fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // Following the path costs as much again as reading, so it is done for bodies with a mistake only.
    serde_json::from_slice(body).or_else(|_| with_path(body))
}

fn with_path<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = pointer(error.path());
        let category = error.inner().classify();
        unreadable(&error.inner().to_string(), &path, category != serde_json::error::Category::Data)
    })?;
    reader.end().map_err(|error| unreadable(&error.to_string(), "", true))?;
    Ok(value)
}

/// The problem behind a message of serde's. `syntax` says that the text is not of its format at all.
pub fn unreadable(message: &str, pointer: &str, syntax: bool) -> Problem {
    if syntax {
        return Problem::new(Code::MalformedBody, message.to_owned());
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let field = |word: &str| format!("{pointer}/{word}");
    if message.starts_with("unknown field") {
        let unknown = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        let problem =
            Problem::new(Code::UnknownField, format!("unknown field \"{}\"", unknown.escape_debug()));
        let next = match nearest(unknown, known.iter().copied()) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("the known fields are {}", known.join(", ")),
        };
        return problem.at(pointer_to(pointer, unknown)).next(next);
    }
    if message.starts_with("missing field") {
        let missing = quoted.next().unwrap_or_default();
        return Problem::new(Code::MissingField, format!("\"{missing}\" is missing")).at(field(missing));
    }
    Problem::new(Code::InvalidValue, message.to_owned()).at(pointer)
}

/// serde's path already ends in the unknown field in some formats and not in others.
fn pointer_to(pointer: &str, field: &str) -> String {
    let field = field.replace('~', "~0").replace('/', "~1");
    if pointer.rsplit('/').next() == Some(field.as_str()) {
        pointer.to_owned()
    } else {
        format!("{pointer}/{field}")
    }
}

/// A path as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut text = String::new();
    for segment in path {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        text.push('/');
        text.push_str(&part);
    }
    text
}

use identity::Wall;
use monitoring::promql::parse_duration;

use super::failure::{Failure, FailureKind};

/// How many parameters a request may have: `match[]` may come often.
pub const MAX_PARAMETERS: usize = 1_000;

/// The furthest time from 1970 that a parameter may say, in seconds.
const FURTHEST: f64 = 9e15;

/// The parameters of a request, of its path and of a form in its body. Those that nobody knows are ignored, as
/// clients of this API expect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a form, and what stands after the path. What the form says comes first.
    ///
    /// # Errors
    /// For what is not UTF-8, and too many.
    pub fn read(query: &str, form: &str) -> Result<Self, Failure> {
        let mut pairs = Vec::new();
        for pair in form.split('&').chain(query.split('&')).filter(|pair| !pair.is_empty()) {
            if pairs.len() >= MAX_PARAMETERS {
                let why = format!("more than {MAX_PARAMETERS} parameters");
                return Err(Failure::new(FailureKind::BadData, why));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name).ok_or_else(|| not_text("a name"))?;
            let value = decoded(value).ok_or_else(|| not_text(&name))?;
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The first value of a parameter that is not empty.
    pub fn first(&self, name: &str) -> Option<&str> {
        let given = self.0.iter().find(|(of, value)| of == name && !value.is_empty());
        given.map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that has to be there.
    ///
    /// # Errors
    /// Where it is not.
    pub fn required(&self, name: &str) -> Result<&str, Failure> {
        self.first(name).ok_or_else(|| Failure::parameter(name, "it is missing or empty"))
    }

    /// A time, in milliseconds since 1970: seconds as a number, or RFC 3339.
    ///
    /// # Errors
    /// For a text that is no time.
    pub fn time(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.first(name) else { return Ok(None) };
        let no_time = || Failure::parameter(name, format_args!("cannot parse {text:?} to a valid timestamp"));
        if let Ok(seconds) = text.parse::<f64>() {
            let near = seconds.is_finite() && seconds.abs() < FURTHEST;
            #[allow(clippy::cast_possible_truncation, reason = "checked before")]
            return if near { Ok(Some((seconds * 1000.0).round() as i64)) } else { Err(no_time()) };
        }
        let wall: Wall = text.parse().map_err(|_| no_time())?;
        Ok(i64::try_from(wall.0 / 1_000_000).ok())
    }

    /// A duration, in milliseconds: seconds as a number, or as PromQL writes it.
    ///
    /// # Errors
    /// For a text that is no duration.
    pub fn duration(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.first(name) else { return Ok(None) };
        let why = || Failure::parameter(name, format_args!("cannot parse {text:?} to a valid duration"));
        if let Ok(seconds) = text.parse::<f64>() {
            let near = seconds.is_finite() && seconds.abs() < FURTHEST / 1000.0;
            #[allow(clippy::cast_possible_truncation, reason = "checked before")]
            return if near { Ok(Some((seconds * 1000.0) as i64)) } else { Err(why()) };
        }
        parse_duration(text).map(Some).map_err(|_| why())
    }
}

fn not_text(what: &str) -> Failure {
    Failure::new(FailureKind::BadData, format!("{what} is not UTF-8 once it is decoded"))
}

/// What a form's text says: `+` is a space, `%` escapes a byte; what is no escape stays as it is.
fn decoded(text: &str) -> Option<String> {
    let digit = |at: Option<&u8>| at.and_then(|&at| char::from(at).to_digit(16));
    let (raw, mut bytes, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(&byte) = raw.get(at) {
        at += 1;
        match (byte, digit(raw.get(at)), digit(raw.get(at + 1))) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 2;
            }
            (b'+', ..) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

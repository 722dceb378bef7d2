//! W3C Baggage: names and values that travel with a call, for whoever wants to read them.

use identity::Invalid;

use super::BAGGAGE;

const RULE: &str = "at most 64 members key=value joined by ',', 8192 bytes in all, keys that are tokens of HTTP, values of \
     printable ASCII without '\"', ',', ';' and '\\', others percent-encoded";

/// What travels with a call. Kept as the text that came, because nearly every call only passes it on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Baggage(Box<str>);

impl Baggage {
    /// Members of one baggage.
    pub const MAX_MEMBERS: usize = 64;
    /// Bytes of one baggage.
    pub const MAX_BYTES: usize = 8_192;

    /// Reads all values of the header, which together make one list.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, Invalid> {
        let (mut text, mut members) = (String::new(), 0);
        for member in values.into_iter().flat_map(|value| value.split(',')) {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            members += 1;
            let fits = members <= Self::MAX_MEMBERS && text.len() + 1 + member.len() <= Self::MAX_BYTES;
            if !fits || !is_member(member) {
                return Err(Invalid::new(BAGGAGE, member, RULE));
            }
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(member);
        }
        Ok(Self(text.into()))
    }

    /// The header's value; empty where there is nothing to send.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Names and values in order, the values decoded. Properties of members are left out.
    pub fn iter(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.split(',').filter_map(|member| {
            let (key, value) = member.split(';').next()?.split_once('=')?;
            Some((key.trim(), decoded(value.trim())))
        })
    }

    /// The value of a name; the last, since whoever comes later knows better.
    pub fn get(&self, key: &str) -> Option<String> {
        self.iter().filter(|(known, _)| *known == key).map(|(_, value)| value).last()
    }
}

fn is_member(member: &str) -> bool {
    let mut parts = member.split(';');
    let is_pair = |part: &str| {
        part.split_once('=').is_some_and(|(key, value)| is_token(key.trim()) && is_value(value.trim()))
    };
    parts.next().is_some_and(is_pair) && parts.all(|property| is_token(property.trim()) || is_pair(property))
}

fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

fn is_value(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte))
}

/// Percent-encoded text; what is no UTF-8 is replaced, as the recommendation has it.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match (byte, escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(decoded)) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

//! serde's messages in plain words.
//!
//! They come as text and nothing else, so this reads text; a message that it does not know stays as it
//! is. What came from outside is shown escaped and shortened.

/// How many characters of what came from outside are shown.
const SHOWN_CHARS: usize = 64;

/// Whether a name can be shown as it is.
pub(super) fn is_short(name: &str) -> bool {
    name.len() <= 2 * SHOWN_CHARS
}

/// A name or value in quotes.
pub(super) fn shown(text: &str) -> String {
    let (text, more) = cut(text);
    format!("\"{}{more}\"", text.escape_debug())
}

fn cut(text: &str) -> (&str, &str) {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => (&text[..at], "…"),
        None => (text, ""),
    }
}

/// What stands there, and what may.
pub(super) fn plain(message: &str) -> String {
    let message = without_place(message);
    let mismatch = ["invalid type: ", "invalid value: "].iter().find_map(|kind| message.strip_prefix(kind));
    if let Some((found, expected)) = mismatch.and_then(|rest| rest.rsplit_once(", expected ")) {
        return format!("{} is not valid: {}", what_stands(found), what_may(expected));
    }
    if let Some((found, expected)) =
        message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        let expected = expected.replace('`', "");
        return format!("{} is not valid: {expected}", shown(found.trim_matches('`')));
    }
    message.to_owned()
}

/// serde_json says line and column of what a pointer says better.
fn without_place(message: &str) -> &str {
    let is_place = |place: &str| place.bytes().all(|b| b.is_ascii_digit() || b" column".contains(&b));
    message.rsplit_once(" at line ").filter(|(_, place)| is_place(place)).map_or(message, |(text, _)| text)
}

fn what_stands(found: &str) -> String {
    if let Some(text) = found.strip_prefix("string ") {
        // It is escaped and in quotes already.
        let (text, more) = cut(text);
        return if more.is_empty() { text.to_owned() } else { format!("{text}{more}\"") };
    }
    match found {
        "map" => "an object".to_owned(),
        "sequence" => "a list".to_owned(),
        "null" | "unit value" | "Option value" => "null".to_owned(),
        _ => cut(found.split('`').nth(1).unwrap_or(found)).0.to_owned(),
    }
}

fn what_may(expected: &str) -> String {
    let known = match expected {
        "u8" => "a whole number up to 255",
        "u16" => "a whole number up to 65535",
        "u32" => "a whole number up to 4294967295",
        "u64" | "usize" => "a whole number that is not negative",
        "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "a borrowed string" | "string" | "str" => "a text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        _ if expected.starts_with("struct ") => "an object",
        _ => expected,
    };
    known.to_owned()
}

/// What Rust says of a parameter that it cannot read, as the rule that the parameter breaks.
pub(super) fn rule(error: &str) -> Option<&'static str> {
    Some(match error {
        "invalid digit found in string" | "cannot parse integer from empty string" => "a whole number",
        "number too large to fit in target type" => "a smaller number",
        "number too small to fit in target type" => "a larger number",
        "provided string was not `true` or `false`" => "true or false",
        "invalid float literal" | "cannot parse float from empty string" => "a number",
        _ => return None,
    })
}

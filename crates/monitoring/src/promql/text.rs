//! Strings of a query: their escapes, and how they are written again.

/// What a quoted string says; or where in it something is wrong, and what.
pub(super) fn unquoted(quoted: &str) -> Result<String, (usize, &'static str)> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if quoted.starts_with('`') {
        return Ok(inner.to_owned());
    }
    let (mut bytes, mut at) = (Vec::with_capacity(inner.len()), 0);
    while let Some(&byte) = inner.as_bytes().get(at) {
        if byte != b'\\' {
            bytes.push(byte);
            at += 1;
            continue;
        }
        let used =
            escape(inner.get(at + 1..).unwrap_or_default(), &mut bytes).map_err(|why| (at + 1, why))?;
        at += 1 + used;
    }
    String::from_utf8(bytes).map_err(|error| (error.utf8_error().valid_up_to(), "a string has to be UTF-8"))
}

/// Reads what stands after a backslash; returns how many bytes that were.
fn escape(rest: &str, into: &mut Vec<u8>) -> Result<usize, &'static str> {
    let simple = |byte: u8| -> Option<u8> {
        Some(match byte {
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'\\' | b'\'' | b'"' => byte,
            _ => return None,
        })
    };
    let first = rest.bytes().next().ok_or("a backslash has to be followed by an escape")?;
    if let Some(byte) = simple(first) {
        into.push(byte);
        return Ok(1);
    }
    let digits = |from: usize, count: usize, radix: u32| {
        let digits = rest.get(from..from + count).filter(|digits| !digits.starts_with(['+', '-']));
        digits.and_then(|digits| u32::from_str_radix(digits, radix).ok())
    };
    let (used, value) = match first {
        b'x' => (3, digits(1, 2, 16).ok_or("\\x is followed by two hexadecimal digits")?),
        b'0'..=b'7' => {
            (3, digits(0, 3, 8).filter(|&value| value < 256).ok_or("three octal digits up to \\377")?)
        }
        b'u' => (5, digits(1, 4, 16).ok_or("\\u is followed by four hexadecimal digits")?),
        b'U' => (9, digits(1, 8, 16).ok_or("\\U is followed by eight hexadecimal digits")?),
        _ => {
            return Err(
                "unknown escape, expected one of \\a \\b \\f \\n \\r \\t \\v \\\\ \\' \\\" \\x \\u \\U or octal digits",
            );
        }
    };
    if let (b'x' | b'0'..=b'7', Ok(byte)) = (first, u8::try_from(value)) {
        into.push(byte);
        return Ok(used);
    }
    let character = char::from_u32(value).ok_or("no such character in Unicode")?;
    into.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(used)
}

/// Writes a text as a string in double quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 2);
    written.push('"');
    for character in text.chars() {
        match character {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\x07' => written.push_str("\\a"),
            '\x08' => written.push_str("\\b"),
            '\x0c' => written.push_str("\\f"),
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            '\x0b' => written.push_str("\\v"),
            control if (control as u32) < 0x20 || control == '\x7f' => {
                written.push_str(&format!("\\x{:02x}", control as u32));
            }
            other => written.push(other),
        }
    }
    written.push('"');
    written
}

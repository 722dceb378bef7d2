//! A line, taken apart as both formats write it.
//!
//! They differ in blanks: OpenMetrics has exactly one between two parts and none elsewhere; text 0.0.4 has any number
//! of blanks and tabs, also within braces, and a comma may end the labels.

use std::borrow::Cow;

use monitoring::series::{is_label_name, is_metric_name};

use super::{
    Exemplar, Format, MAX_EXEMPLAR_CHARS, MAX_LABELS, MAX_NAME_BYTES, MAX_VALUE_BYTES, Sample, Wrong,
};

/// Labels as they are written, with their values unescaped.
pub(super) type Pairs<'a> = Vec<(&'a str, Cow<'a, str>)>;

const BLANKS: [char; 2] = [' ', '\t'];

/// The series of a line, and what follows it.
#[derive(Debug)]
pub(super) struct Cut<'a> {
    /// Name and labels, as they stand there.
    pub(super) raw: &'a str,
    pub(super) name: &'a str,
    /// What is between the braces.
    pub(super) labels: &'a str,
    pub(super) rest: &'a str,
}

/// Finds the end of a line's series.
pub(super) fn cut(format: Format, line: &str) -> Result<Cut<'_>, Wrong> {
    let name_end = line.find(|of: char| of == '{' || BLANKS.contains(&of)).unwrap_or(line.len());
    let (name, after) = line.split_at(name_end);
    let inside = match format {
        Format::Text => after.trim_start_matches(BLANKS).strip_prefix('{'),
        Format::OpenMetrics => after.strip_prefix('{'),
    };
    let Some(inside) = inside else {
        return Ok(Cut { raw: name, name, labels: "", rest: after });
    };
    let close = closing(inside).ok_or("the labels have no end")?;
    let (labels, rest) =
        (inside.get(..close).unwrap_or_default(), inside.get(close + 1..).unwrap_or_default());
    let raw = line.get(..line.len() - rest.len()).unwrap_or_default();
    Ok(Cut { raw, name, labels, rest })
}

/// Where the brace is that closes the labels.
fn closing(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().position(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return true,
            _ => {}
        }
        false
    })
}

/// Whether a text may be the name of a metric here.
pub(super) fn name(name: &str) -> Result<(), Wrong> {
    match is_metric_name(name) && name.len() <= MAX_NAME_BYTES {
        true => Ok(()),
        false => {
            Err("a metric's name has letters, digits, \"_\" and \":\", and does not begin with a digit"
                .into())
        }
    }
}

/// Reads what is between two braces.
pub(super) fn labels<'a>(format: Format, mut text: &'a str, into: &mut Pairs<'a>) -> Result<(), Wrong> {
    into.clear();
    let skip = |text: &'a str| match format {
        Format::Text => text.trim_start_matches(BLANKS),
        Format::OpenMetrics => text,
    };
    text = skip(text);
    while !text.is_empty() {
        let (name, after) = text.split_once('=').ok_or("a label has no \"=\"")?;
        let name = match format {
            Format::Text => name.trim_end_matches(BLANKS),
            Format::OpenMetrics => name,
        };
        if !is_label_name(name) || name.len() > MAX_NAME_BYTES {
            return Err(
                "a label's name has letters, digits and \"_\", and does not begin with a digit".into()
            );
        }
        let after = skip(after).strip_prefix('"').ok_or("a label's value is not in quotes")?;
        let end = quote(after).ok_or("a label's value has no closing quote")?;
        let value = unescape(after.get(..end).unwrap_or_default(), true);
        if value.len() > MAX_VALUE_BYTES {
            return Err("a label's value is longer than is taken".into());
        }
        if into.len() >= MAX_LABELS {
            return Err("there are more labels than a series may have".into());
        }
        if into.iter().any(|(other, _)| *other == name) {
            return Err("a label is given twice".into());
        }
        into.push((name, value));
        text = skip(after.get(end + 1..).unwrap_or_default());
        match text.strip_prefix(',') {
            Some(next) => {
                text = skip(next);
                if text.is_empty() && format == Format::OpenMetrics {
                    return Err("a comma follows the last label".into());
                }
            }
            None if text.is_empty() => {}
            None => return Err("two labels have no comma between them".into()),
        }
    }
    Ok(())
}

/// Where the quote is that ends a value.
fn quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    })
}

/// A text without its escapes: `\\`, `\n` and, where it stood in quotes, `\"`. Others stay as they are.
pub(super) fn unescape(text: &str, quoted: bool) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match (next, rest.as_str().chars().next()) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('\\')) => out.push('\\'),
            ('\\', Some('"')) if quoted => out.push('"'),
            _ => {
                out.push(next);
                continue;
            }
        }
        rest.next();
    }
    out.into()
}

/// Reads what follows a series.
pub(super) fn sample(format: Format, rest: &str) -> Result<Sample<'_>, Wrong> {
    match format {
        Format::Text => text_sample(rest),
        Format::OpenMetrics => open_metrics_sample(rest),
    }
}

fn text_sample(rest: &str) -> Result<Sample<'_>, Wrong> {
    let mut parts = rest.split(BLANKS).filter(|part| !part.is_empty());
    let value = number(parts.next().ok_or("there is no value")?)?;
    let time = parts.next().map(|text| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let time = is_whole.then(|| text.parse().ok()).flatten();
        time.ok_or("a timestamp is a whole number of milliseconds")
    });
    let time = time.transpose()?;
    match parts.next() {
        None => Ok(Sample { value, time, exemplar: None }),
        Some(_) => Err("something follows the timestamp".into()),
    }
}

fn open_metrics_sample(rest: &str) -> Result<Sample<'_>, Wrong> {
    let rest = rest.strip_prefix(' ').ok_or("one blank stands between a series and its value")?;
    let (point, exemplar) = match rest.split_once(" # ") {
        Some((point, exemplar)) => (point, Some(exemplar)),
        None => (rest, None),
    };
    let (value, time) = point_of(point)?;
    let exemplar = exemplar.map(|text| {
        let inside = text.strip_prefix('{').ok_or("an exemplar begins with its labels in braces")?;
        let close = closing(inside).ok_or("the labels of an exemplar have no end")?;
        let mut pairs = Pairs::new();
        labels(Format::OpenMetrics, inside.get(..close).unwrap_or_default(), &mut pairs)?;
        let chars = |(name, value): &(&str, Cow<'_, str>)| name.chars().count() + value.chars().count();
        if pairs.iter().map(chars).sum::<usize>() > MAX_EXEMPLAR_CHARS {
            return Err(Wrong::from("the labels of an exemplar have more than 128 characters"));
        }
        let point = inside.get(close + 1..).unwrap_or_default();
        let point =
            point.strip_prefix(' ').ok_or("one blank stands between an exemplar's labels and its value")?;
        let (value, time) = point_of(point)?;
        Ok(Exemplar { labels: pairs, value, time })
    });
    Ok(Sample { value, time, exemplar: exemplar.transpose()? })
}

/// A value, and perhaps a time in seconds.
fn point_of(text: &str) -> Result<(f64, Option<i64>), Wrong> {
    let (value, time) = match text.split_once(' ') {
        Some((value, time)) => (value, Some(time)),
        None => (text, None),
    };
    let time = time.map(|text| {
        let seconds = number(text)?;
        // What is beyond the range is as far away as can be said, and the store says what is too far.
        match seconds.is_finite() {
            true => Ok((seconds * 1000.0).round() as i64),
            false => Err(Wrong::from("a timestamp is a finite number of seconds")),
        }
    });
    Ok((number(value)?, time.transpose()?))
}

/// A number: decimal, `Inf` or `NaN`, in any case. Every NaN becomes the same one, so that none can be taken for the
/// marker of a series that ended.
pub(super) fn number(text: &str) -> Result<f64, Wrong> {
    let value: f64 = text.parse().map_err(|_| "a value is no number")?;
    match value.is_nan() {
        true if text.len() != 3 => Err("a value is no number".into()),
        true => Ok(f64::NAN),
        false => Ok(value),
    }
}

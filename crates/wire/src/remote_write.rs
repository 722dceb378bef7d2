//! Prometheus remote write, both versions: what a sender pushes, read where it stands.
//!
//! Names and values borrow from the request; nothing is built for a series or a sample but a list of labels that is
//! used again for the next one. Numbers of fields are those of `prometheus/prompb/types.proto` for version 1 and of
//! `io.prometheus.write.v2` for version 2. Unknown fields and metadata are stepped over.
//!
//! A series whose labels are none is refused with its samples and counted; the others are taken. Only a request that is
//! no message at all is refused as a whole.

use monitoring::series::METRIC_NAME;

use crate::protobuf::{Broken, Fields, Raw};

#[cfg(test)]
mod tests;

/// How many labels a series may have.
pub const MAX_LABELS: usize = 64;
/// How many bytes a label's name may have.
pub const MAX_NAME_BYTES: usize = 1 << 10;
/// How many bytes a label's value may have.
pub const MAX_VALUE_BYTES: usize = 16 << 10;

/// The version of a request, which its content type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`
    One,
    /// `io.prometheus.write.v2.Request`
    Two,
}

impl Version {
    /// The version that a content type means.
    #[must_use]
    pub fn of(content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case("application/x-protobuf") {
            return None;
        }
        match parts.find_map(|part| part.strip_prefix("proto=")).map(|name| name.trim_matches('"')) {
            None | Some("prometheus.WriteRequest") => Some(Self::One),
            Some("io.prometheus.write.v2.Request") => Some(Self::Two),
            Some(_) => None,
        }
    }
}

/// What takes the samples of a request: a series, then its samples.
pub trait Sink {
    /// What to learn a spelling by.
    type Spelling;

    /// Begins a series whose labels a sender of version 1 spells with these bytes, if an earlier request has told which
    /// one that is. Else its labels are read, which costs ten times as much.
    ///
    /// # Errors
    /// What is handed over with the labels, so that it is known the next time.
    fn spelled(&mut self, spelling: &[u8]) -> Result<(), Self::Spelling>;

    /// Begins a series: labels that are sorted by name, unique and not empty.
    fn series(&mut self, labels: &[(&str, &str)], spelling: Option<Self::Spelling>);

    /// A sample of that series: milliseconds since 1970, and a value.
    fn sample(&mut self, time: i64, value: f64);

    /// An exemplar of that series, with labels that are sorted by name and unique.
    fn exemplar(&mut self, time: i64, value: f64, labels: &[(&str, &str)]);
}

/// What became of the samples of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// All that were sent: those that the sink was given, and those below.
    pub received: u64,
    /// Those of series without a name, with a label twice, or with more or longer labels than are taken.
    pub invalid_labels: u64,
    /// Native histograms, which are not kept.
    pub native_histograms: u64,
    /// Exemplars that the sink was given, which are no samples.
    pub exemplars: u64,
}

/// A body that is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

/// Gives the samples of a request, which is not compressed any more, to the sink.
///
/// # Errors
/// The bytes are no message. What the sink was given is to be forgotten then.
pub fn decode(version: Version, request: &[u8], sink: &mut impl Sink) -> Result<Counted, Malformed> {
    let malformed = |Broken { what, address }: Broken| {
        Malformed(format!("{what}, at byte {}", address.saturating_sub(request.as_ptr().addr())))
    };
    let mut walk = Walk { labels: Vec::new(), counted: Counted::default(), sink };
    match version {
        Version::One => walk.first(request),
        Version::Two => walk.second(request),
    }
    .map_err(malformed)?;
    Ok(walk.counted)
}

/// The fields of a series in one version.
struct Shape {
    samples: u32,
    value: u32,
    time: u32,
    histograms: u32,
    exemplars: u32,
}

const FIRST: Shape = Shape { samples: 2, value: 1, time: 2, histograms: 4, exemplars: 3 };
const SECOND: Shape = Shape { samples: 2, value: 1, time: 2, histograms: 3, exemplars: 4 };
/// The fields of an exemplar, in both versions.
const EXEMPLAR_VALUE: u32 = 2;
const EXEMPLAR_TIME: u32 = 3;

struct Walk<'a, 's, S> {
    /// The labels of the series that is being read.
    labels: Vec<(&'a str, &'a str)>,
    counted: Counted,
    sink: &'s mut S,
}

impl<'a, S: Sink> Walk<'a, '_, S> {
    fn first(&mut self, request: &'a [u8]) -> Result<(), Broken> {
        let mut fields = Fields::of(request);
        while let Some((number, raw)) = fields.next()? {
            let (1, Raw::Bytes(series)) = (number, raw) else { continue };
            let mut spelling = None;
            if let Some((spelled, measured)) = spelled(series) {
                match (self.sink.spelled(spelled), usual_sample(measured)) {
                    (Err(unknown), _) => spelling = Some(unknown),
                    (Ok(()), Some((time, value))) => {
                        self.counted.received += 1;
                        self.sink.sample(time, value);
                        continue;
                    }
                    (Ok(()), None) => {
                        self.measured(measured, true, &FIRST, &[])?;
                        continue;
                    }
                }
            }
            self.labels.clear();
            let mut is_valid = true;
            let mut inside = Fields::of(series);
            while let Some((number, raw)) = inside.next()? {
                let (1, Raw::Bytes(label)) = (number, raw) else { continue };
                is_valid &= self.label(label)?;
            }
            self.series(series, is_valid.then_some(spelling), &FIRST, &[])?;
        }
        Ok(())
    }

    /// A label of version 1; whether it is one.
    fn label(&mut self, message: &'a [u8]) -> Result<bool, Broken> {
        let (mut name, mut value) = (&b""[..], &b""[..]);
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match (number, raw) {
                (1, Raw::Bytes(bytes)) => name = bytes,
                (2, Raw::Bytes(bytes)) => value = bytes,
                _ => {}
            }
        }
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            return Ok(false);
        };
        Ok(self.push(name, value))
    }

    fn push(&mut self, name: &'a str, value: &'a str) -> bool {
        let fits = self.labels.len() < MAX_LABELS;
        let is_valid =
            fits && !name.is_empty() && name.len() <= MAX_NAME_BYTES && value.len() <= MAX_VALUE_BYTES;
        // A label without a value is none.
        if is_valid && !value.is_empty() {
            self.labels.push((name, value));
        }
        is_valid
    }

    fn second(&mut self, request: &'a [u8]) -> Result<(), Broken> {
        // Symbols may stand behind the series that use them.
        let mut symbols: Vec<Option<&str>> = Vec::new();
        let mut fields = Fields::of(request);
        while let Some((number, raw)) = fields.next()? {
            if let (4, Raw::Bytes(symbol)) = (number, raw) {
                symbols.push(std::str::from_utf8(symbol).ok());
            }
        }
        let mut fields = Fields::of(request);
        while let Some((number, raw)) = fields.next()? {
            let (5, Raw::Bytes(series)) = (number, raw) else { continue };
            self.labels.clear();
            let mut is_valid = true;
            let mut references = References::default();
            let mut inside = Fields::of(series);
            while let Some((number, raw)) = inside.next()? {
                match (number, raw) {
                    (1, Raw::Bytes(packed)) => {
                        // Packed numbers are fields' values without their tags.
                        let mut rest = Fields::of(packed);
                        while let Some(reference) = rest.packed()? {
                            is_valid &= references.take(reference, &symbols, self);
                        }
                    }
                    (1, Raw::Varint(reference)) => is_valid &= references.take(reference, &symbols, self),
                    _ => {}
                }
            }
            is_valid &= references.name.is_none();
            self.series(series, is_valid.then_some(None), &SECOND, &symbols)?;
        }
        Ok(())
    }

    /// Gives a series, whose labels have been read, and its samples to the sink, or counts them where it has no spelling,
    /// not even none.
    fn series(
        &mut self,
        series: &'a [u8],
        spelling: Option<Option<S::Spelling>>,
        shape: &Shape,
        symbols: &[Option<&'a str>],
    ) -> Result<(), Broken> {
        let is_named = self.sort() && self.labels.iter().any(|(name, _)| *name == METRIC_NAME);
        let spelling = spelling.filter(|_| is_named);
        let is_valid = spelling.is_some();
        if let Some(spelling) = spelling {
            self.sink.series(&self.labels, spelling);
        }
        self.measured(series, is_valid, shape, symbols)
    }

    /// Gives what was measured of the series that was begun to the sink, or counts it.
    fn measured(
        &mut self,
        fields: &'a [u8],
        is_valid: bool,
        shape: &Shape,
        symbols: &[Option<&'a str>],
    ) -> Result<(), Broken> {
        let mut fields = Fields::of(fields);
        while let Some((number, raw)) = fields.next()? {
            let Raw::Bytes(message) = raw else { continue };
            if number == shape.histograms {
                self.counted.received += 1;
                self.counted.native_histograms += 1;
            } else if number == shape.exemplars && is_valid {
                self.exemplar(message, symbols)?;
            } else if number == shape.samples {
                let (time, value) = sample(message, shape)?;
                self.counted.received += 1;
                if is_valid {
                    self.sink.sample(time, value);
                } else {
                    self.counted.invalid_labels += 1;
                }
            }
        }
        Ok(())
    }
}

impl<'a, S: Sink> Walk<'a, '_, S> {
    /// Sorts the labels, and says whether no name is there twice.
    fn sort(&mut self) -> bool {
        if !self.labels.is_sorted_by(|(one, _), (other, _)| one < other) {
            self.labels.sort_unstable_by_key(|(name, _)| *name);
        }
        self.labels.is_sorted_by(|(one, _), (other, _)| one < other)
    }

    /// An exemplar of either version: labels as messages, or as positions among the symbols.
    fn exemplar(&mut self, message: &'a [u8], symbols: &[Option<&'a str>]) -> Result<(), Broken> {
        let of_series = std::mem::take(&mut self.labels);
        let (mut is_valid, mut time, mut value) = (true, 0, 0.0);
        let mut references = References::default();
        let mut fields = Fields::of(message);
        while let Some((number, raw)) = fields.next()? {
            match raw {
                Raw::Bytes(label) if number == 1 && symbols.is_empty() => is_valid &= self.label(label)?,
                Raw::Bytes(packed) if number == 1 => {
                    let mut rest = Fields::of(packed);
                    while let Some(reference) = rest.packed()? {
                        is_valid &= references.take(reference, symbols, self);
                    }
                }
                Raw::Varint(reference) if number == 1 => {
                    is_valid &= references.take(reference, symbols, self);
                }
                Raw::Fixed64(bits) if number == EXEMPLAR_VALUE => value = f64::from_bits(bits),
                Raw::Varint(millis) if number == EXEMPLAR_TIME => time = millis.cast_signed(),
                _ => {}
            }
        }
        if self.sort() && is_valid && references.name.is_none() {
            self.sink.exemplar(time, value, &self.labels);
            self.counted.exemplars += 1;
        }
        self.labels = of_series;
        Ok(())
    }
}

/// The labels of a series of version 1 as they are spelled, and the fields behind them; nothing where labels stand behind
/// other fields too, as no known sender writes them.
fn spelled(series: &[u8]) -> Option<(&[u8], &[u8])> {
    /// The tag of a field 1 that has a length.
    const LABEL: u8 = 1 << 3 | 2;
    let mut rest = series;
    while let [LABEL, len, label @ ..] = rest {
        rest = match (len, label) {
            (0..0x80, _) => label.get(usize::from(*len)..)?,
            (_, [more @ 0..0x80, label @ ..]) => {
                label.get(usize::from(len & 0x7f) | usize::from(*more) << 7..)?
            }
            _ => return None,
        };
    }
    let (spelling, measured) = series.split_at(series.len() - rest.len());
    if usual_sample(measured).is_some() {
        return (!spelling.is_empty()).then_some((spelling, measured));
    }
    let mut fields = Fields::of(measured);
    while let Some((number, _)) = fields.next().ok()? {
        (number != 1).then_some(())?;
    }
    (!spelling.is_empty()).then_some((spelling, measured))
}

/// The time and the value of what is one sample and nothing else, as senders write it who send what they scrape.
#[inline]
fn usual_sample(measured: &[u8]) -> Option<(i64, f64)> {
    // Field 2, its length, its field 1, eight bytes, its field 2.
    let ([0x12, len, 0x09], rest) = measured.split_first_chunk()? else { return None };
    let (value, rest) = rest.split_first_chunk::<8>()?;
    let (0x10, time) = rest.split_first().map(|(tag, rest)| (*tag, rest))? else { return None };
    let (last, more) = time.split_last()?;
    let is_whole = usize::from(*len) + 2 == measured.len() && *last < 0x80 && more.len() < 9;
    let all_go_on = more.iter().all(|byte| *byte >= 0x80);
    let millis = time.iter().rev().fold(0_u64, |number, byte| number << 7 | u64::from(byte & 0x7f));
    (is_whole && all_go_on).then_some((millis.cast_signed(), f64::from_le_bytes(*value)))
}

/// Names and values by their positions among the symbols, in turns.
#[derive(Default)]
struct References<'a> {
    name: Option<&'a str>,
}

impl<'a> References<'a> {
    fn take<S: Sink>(
        &mut self,
        reference: u64,
        symbols: &[Option<&'a str>],
        walk: &mut Walk<'a, '_, S>,
    ) -> bool {
        let at = usize::try_from(reference).unwrap_or(usize::MAX);
        let Some(symbol) = symbols.get(at).copied().flatten() else { return false };
        match self.name.take() {
            None => {
                self.name = Some(symbol);
                true
            }
            Some(name) => walk.push(name, symbol),
        }
    }
}

fn sample(message: &[u8], shape: &Shape) -> Result<(i64, f64), Broken> {
    let (mut time, mut value) = (0, 0.0);
    let mut fields = Fields::of(message);
    while let Some((number, raw)) = fields.next()? {
        match raw {
            Raw::Fixed64(bits) if number == shape.value => value = f64::from_bits(bits),
            Raw::Varint(millis) if number == shape.time => time = millis.cast_signed(),
            _ => {}
        }
    }
    Ok((time, value))
}

//! What OpenMetrics says of families: one at a time, each once, and consistent.
//!
//! Names are compared by a hash of 64 bits, since those that a type reserves (`_total`, `_bucket`…) would otherwise
//! have to be put together for each family of each reading.

use std::collections::HashSet;

use super::{Format, Kind, Metadata, Sample, Wrong, line::Pairs};

/// What the checks need to know of a series' labels.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Facts {
    /// All labels but the one that tells the parts of a metric apart.
    group: u64,
    /// That one as a number: a bucket's bound, a quantile.
    bound: Option<f64>,
    /// Whether that one is there.
    is_part: bool,
}

impl Facts {
    pub(super) fn of(kind: Kind, family: &str, pairs: &Pairs<'_>) -> Self {
        let part = match kind {
            Kind::Histogram | Kind::GaugeHistogram => "le",
            Kind::Summary => "quantile",
            Kind::StateSet => family,
            _ => "",
        };
        // The order of labels says nothing.
        let others = pairs.iter().filter(|(name, _)| *name != part);
        let group = others.fold(0, |sum: u64, (name, value)| sum.wrapping_add(hash(&[name, "=", value])));
        let own = pairs.iter().find(|(name, _)| *name == part);
        let bound = own.and_then(|(_, value)| super::line::number(value).ok());
        Self { group, bound, is_part: own.is_some() }
    }
}

/// FNV-1a over all parts as one text.
fn hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The endings of names that belong to a family of this kind.
fn endings(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Unknown | Kind::Gauge | Kind::StateSet => &[""],
        Kind::Counter => &["_total", "_created"],
        Kind::Histogram => &["_bucket", "_count", "_sum", "_created"],
        Kind::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
        Kind::Summary => &["", "_count", "_sum", "_created"],
        Kind::Info => &["_info"],
    }
}

/// The families of a reading: the one that is being read, and the names of those before it.
#[derive(Debug, Default)]
pub(super) struct Families<'a> {
    taken: HashSet<u64>,
    now: Family<'a>,
}

#[derive(Debug, Default)]
struct Family<'a> {
    name: &'a str,
    kind: Option<Kind>,
    unit: Option<&'a str>,
    has_help: bool,
    has_samples: bool,
    groups: HashSet<u64>,
    group: u64,
    /// The time of the last sample of the group.
    time: Option<i64>,
    histogram: Histogram,
}

impl<'a> Families<'a> {
    /// What is said of a family beside its samples.
    pub(super) fn say(&mut self, name: &'a str, said: &Metadata<'a>) -> Result<(), Wrong> {
        if self.now.name != name {
            self.begin(name)?;
        }
        let family = &mut self.now;
        if family.has_samples {
            return Err("what is said of a family stands before its samples".into());
        }
        let is_new = match said {
            Metadata::Kind(kind) => family.kind.replace(*kind).is_none(),
            Metadata::Unit(unit) => family.unit.replace(unit).is_none(),
            Metadata::Help(_) => !std::mem::replace(&mut family.has_help, true),
        };
        match is_new {
            true => Ok(()),
            false => Err("it is said twice of one family".into()),
        }
    }

    /// The name of the family that is being read.
    pub(super) fn name(&self) -> &'a str {
        self.now.name
    }

    /// The kind of the family that a sample of this name belongs to, which begins where it is none of the current one.
    pub(super) fn of(&mut self, format: Format, name: &'a str) -> Result<Kind, Wrong> {
        if format == Format::Text {
            return Ok(Kind::Unknown);
        }
        let kind = self.now.kind.unwrap_or_default();
        let ending = name.strip_prefix(self.now.name).filter(|_| !self.now.name.is_empty());
        if ending.is_some_and(|ending| endings(kind).contains(&ending)) {
            return Ok(kind);
        }
        self.begin(name)?;
        Ok(Kind::Unknown)
    }

    fn begin(&mut self, name: &'a str) -> Result<(), Wrong> {
        self.end()?;
        self.now = Family { name, ..Family::default() };
        Ok(())
    }

    /// Ends the family that is being read.
    pub(super) fn end(&mut self) -> Result<(), Wrong> {
        let family = &mut self.now;
        if family.name.is_empty() {
            return Ok(());
        }
        let kind = family.kind.unwrap_or_default();
        if let Some(unit) = family.unit.filter(|unit| !unit.is_empty()) {
            let base = family.name.strip_suffix(unit);
            if !base.is_some_and(|base| base.ends_with('_')) {
                return Err("a family's name ends with its unit".into());
            }
            if matches!(kind, Kind::Info | Kind::StateSet) {
                return Err("an info or a stateset has no unit".into());
            }
        }
        family.histogram.end(kind)?;
        let own = endings(kind).iter().filter(|ending| !ending.is_empty());
        let mut names = std::iter::once(&"").chain(own);
        match names.all(|ending| self.taken.insert(hash(&[family.name, ending]))) {
            true => Ok(()),
            false => Err("a family stands in two places, or its names are those of another".into()),
        }
    }

    /// Whether a sample may stand where it stands.
    pub(super) fn check(&mut self, name: &str, facts: &Facts, sample: &Sample<'_>) -> Result<(), Wrong> {
        let family = &mut self.now;
        let kind = family.kind.unwrap_or_default();
        let ending = name.strip_prefix(family.name).unwrap_or_default();
        family.has_samples = true;
        values(kind, ending, facts, sample)?;
        if kind != Kind::Info {
            family.order(facts, sample)?;
        }
        family.histogram.take(kind, ending, facts, sample.value)
    }
}

impl Family<'_> {
    fn order(&mut self, facts: &Facts, sample: &Sample<'_>) -> Result<(), Wrong> {
        let kind = self.kind.unwrap_or_default();
        if self.groups.is_empty() || self.group != facts.group {
            self.histogram.end(kind)?;
            if !self.groups.insert(facts.group) {
                return Err("the samples of a metric stand in two places".into());
            }
            (self.group, self.time) = (facts.group, sample.time);
            return Ok(());
        }
        if self.time.is_some() != sample.time.is_some() {
            return Err("some samples of a metric have a timestamp and some have none".into());
        }
        if self.time > sample.time {
            return Err("timestamps of a metric go backwards".into());
        }
        if self.time != sample.time {
            self.histogram.end(kind)?;
        }
        self.time = sample.time;
        Ok(())
    }
}

/// Whether a value is one that this part of a metric may have.
fn values(kind: Kind, ending: &str, facts: &Facts, sample: &Sample<'_>) -> Result<(), Wrong> {
    let value = sample.value;
    let is_bucket = ending == "_bucket";
    match kind {
        Kind::StateSet if !facts.is_part => {
            return Err("a state has its name in a label of the family's".into());
        }
        Kind::StateSet if value != 0.0 && value != 1.0 => return Err("a state is 0 or 1".into()),
        Kind::Info if value != 1.0 => return Err("an info is 1".into()),
        Kind::Summary if ending.is_empty() => {
            if !facts.bound.is_some_and(|quantile| (0.0..=1.0).contains(&quantile)) {
                return Err("a quantile is from 0 to 1".into());
            }
            if value < 0.0 {
                return Err("the value of a quantile is not negative".into());
            }
        }
        Kind::Histogram | Kind::GaugeHistogram if is_bucket && facts.bound.is_none_or(f64::is_nan) => {
            return Err("a bucket has a number in its label \"le\"".into());
        }
        _ => {}
    }
    let counts = is_bucket || ["_count", "_gcount"].contains(&ending);
    if counts && value.is_finite() && value.fract() != 0.0 {
        return Err("a count is a whole number".into());
    }
    if (counts || ["_total", "_sum", "_gsum"].contains(&ending)) && value.is_nan() {
        return Err("a count or a sum is a number".into());
    }
    if (counts || ["_total", "_sum"].contains(&ending)) && value < 0.0 {
        return Err("a count or the sum of a counter's kind is not negative".into());
    }
    let may_have_exemplar = is_bucket || kind == Kind::Counter && ending == "_total";
    if sample.exemplar.is_some() && !may_have_exemplar {
        return Err("only buckets and totals of counters have exemplars".into());
    }
    Ok(())
}

/// The histogram that is being read: one metric at one time.
#[derive(Debug, Default)]
struct Histogram {
    /// The last bucket: its bound and its count.
    bucket: Option<(f64, f64)>,
    has_negative: bool,
    count: Option<f64>,
    sum: Option<f64>,
}

impl Histogram {
    fn take(&mut self, kind: Kind, ending: &str, facts: &Facts, value: f64) -> Result<(), Wrong> {
        if !matches!(kind, Kind::Histogram | Kind::GaugeHistogram) {
            return Ok(());
        }
        match ending {
            "_count" | "_gcount" => self.count = Some(value),
            "_sum" | "_gsum" => self.sum = Some(value),
            "_bucket" => {
                let bound = facts.bound.unwrap_or(f64::NAN);
                if self.bucket.is_some_and(|(before, _)| before >= bound) {
                    return Err("buckets stand in the order of their bounds".into());
                }
                if self.bucket.is_some_and(|(_, before)| before > value) {
                    return Err("a bucket holds those below it too".into());
                }
                self.has_negative |= bound < 0.0;
                self.bucket = Some((bound, value));
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, kind: Kind) -> Result<(), Wrong> {
        let Self { bucket, has_negative, count, sum } = std::mem::take(self);
        if bucket.is_none() && count.is_none() && sum.is_none() {
            return Ok(());
        }
        let Some((_, all)) = bucket.filter(|(bound, _)| *bound == f64::INFINITY) else {
            return Err("a histogram ends with a bucket +Inf".into());
        };
        if count.is_some_and(|count| count != all) {
            return Err("the bucket +Inf holds as many as the count".into());
        }
        if count.is_some() != sum.is_some() {
            return Err("a histogram has both a count and a sum, or neither".into());
        }
        match (kind, sum) {
            (Kind::Histogram, Some(_)) if has_negative => {
                Err("a histogram with negative bounds has no sum".into())
            }
            (Kind::GaugeHistogram, Some(sum)) if sum < 0.0 && !has_negative => {
                Err("a sum is negative, and no bound is".into())
            }
            _ => Ok(()),
        }
    }
}

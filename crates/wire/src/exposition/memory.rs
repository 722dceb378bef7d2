//! What was read at the last time, and the reading.

use std::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};
use monitoring::series::METRIC_NAME;

use super::{
    Format, Kind, Malformed, Metadata, Sink, Wrong,
    family::{Facts, Families},
    line::{self, Cut, Pairs},
};

/// The series of a target, by the bytes that they stood under. `S` is what the sink keeps of each.
#[derive(Debug)]
pub struct Memory<S> {
    known: HashTable<u32>,
    entries: Vec<Entry<S>>,
    hasher: DefaultHashBuilder,
    reading: u64,
}

#[derive(Debug)]
struct Entry<S> {
    raw: Box<str>,
    /// The family's kind, for which the facts hold.
    kind: Kind,
    facts: Facts,
    /// The readings in which it was there first and last.
    first: u64,
    last: u64,
    /// What stood behind it the last time.
    next: u32,
    series: S,
}

impl<S> Default for Memory<S> {
    fn default() -> Self {
        Self {
            known: HashTable::new(),
            entries: Vec::new(),
            hasher: DefaultHashBuilder::default(),
            reading: 0,
        }
    }
}

/// No entry.
const NONE: u32 = u32::MAX;

impl<S> Memory<S> {
    /// How many series are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Reads a body, and gives all that is in it to the sink. At most `most` series are taken.
    ///
    /// # Errors
    /// The first line that is wrong. What the sink was told in this reading does not hold then, and [`Memory::failed`]
    /// is to be called.
    pub fn read<K: Sink<Series = S>>(
        &mut self,
        format: Format,
        body: &str,
        most: usize,
        sink: &mut K,
    ) -> Result<(), Malformed> {
        self.reading += 1;
        let mut reading = Reading { memory: self, format, most, families: Families::default(), at: NONE };
        let mut pairs = Pairs::new();
        let (mut rest, mut number, mut ended) = (body, 0, false);
        while !rest.is_empty() {
            number += 1;
            let (line, after, is_whole) = match rest.split_once('\n') {
                Some((line, after)) => (line, after, true),
                None => (rest, "", false),
            };
            rest = after;
            let wrong = |why: Wrong| Malformed { line: number, why };
            if ended {
                return Err(wrong("something follows \"# EOF\"".into()));
            }
            if format == Format::OpenMetrics && line == "# EOF" {
                ended = true;
                reading.families.end().map_err(wrong)?;
            } else if !is_whole && format == Format::OpenMetrics {
                return Err(wrong("the body is cut off within a line".into()));
            } else {
                reading.line(line, &mut pairs, sink).map_err(wrong)?;
            }
        }
        match ended || format == Format::Text {
            true => Ok(()),
            false => Err(Malformed { line: number, why: "the body has no \"# EOF\"".into() }),
        }
    }

    /// Forgets the series that were not in the last reading, and gives them.
    pub fn gone(&mut self) -> Vec<S> {
        let reading = self.reading;
        self.forget(|entry| entry.last != reading)
    }

    /// After a reading that failed: forgets all, and gives the series that were there before it.
    pub fn failed(&mut self) -> Vec<S> {
        let reading = self.reading;
        self.entries.retain(|entry| entry.first != reading);
        self.clear()
    }

    /// Forgets all, and gives it.
    pub fn clear(&mut self) -> Vec<S> {
        self.known.clear();
        std::mem::take(&mut self.entries).into_iter().map(|entry| entry.series).collect()
    }

    fn forget(&mut self, is_gone: impl Fn(&Entry<S>) -> bool) -> Vec<S> {
        if !self.entries.iter().any(&is_gone) {
            return Vec::new();
        }
        let before = std::mem::take(&mut self.entries);
        self.known.clear();
        let mut gone = Vec::new();
        for entry in before {
            match is_gone(&entry) {
                true => gone.push(entry.series),
                // Places have changed, and the next reading finds what follows what.
                false => drop(self.insert(Entry { next: NONE, ..entry })),
            }
        }
        gone
    }

    fn find(&self, raw: &str) -> Option<u32> {
        let is_it = |at: &u32| self.entries.get(*at as usize).is_some_and(|entry| &*entry.raw == raw);
        self.known.find(hash(&self.hasher, raw), is_it).copied()
    }

    fn insert(&mut self, entry: Entry<S>) -> u32 {
        let at = self.entries.len() as u32;
        let hash_of = hash(&self.hasher, &entry.raw);
        self.entries.push(entry);
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.known.insert_unique(hash_of, at, |at| {
            entries.get(*at as usize).map_or(0, |entry| hash(hasher, &entry.raw))
        });
        at
    }
}

fn hash(hasher: &DefaultHashBuilder, raw: &str) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(raw.as_bytes());
    hasher.finish()
}

/// One reading.
struct Reading<'m, 'a, S> {
    memory: &'m mut Memory<S>,
    format: Format,
    most: usize,
    families: Families<'a>,
    /// The entry of the last sample.
    at: u32,
}

impl<'a, S> Reading<'_, 'a, S> {
    fn line<K: Sink<Series = S>>(
        &mut self,
        line: &'a str,
        pairs: &mut Pairs<'a>,
        sink: &mut K,
    ) -> Result<(), Wrong> {
        let line = match self.format {
            Format::Text => line.trim_start_matches([' ', '\t']),
            Format::OpenMetrics => line,
        };
        match (line.strip_prefix('#'), self.format) {
            (Some(comment), Format::Text) => self.comment(comment, sink),
            (Some(comment), Format::OpenMetrics) => self.strict_comment(comment, sink),
            (None, Format::Text) if line.is_empty() => Ok(()),
            (None, _) => self.sample(line, pairs, sink),
        }
    }

    /// `# TYPE`, `# HELP`, or anything else, which is a comment.
    fn comment<K: Sink<Series = S>>(&mut self, comment: &'a str, sink: &mut K) -> Result<(), Wrong> {
        let blanks = [' ', '\t'];
        let part = |text: &'a str| {
            let text = text.trim_start_matches(blanks);
            text.split_once(blanks).unwrap_or((text, ""))
        };
        let (word, rest) = part(comment);
        if !["TYPE", "HELP"].contains(&word) {
            return Ok(());
        }
        let (name, rest) = part(rest);
        line::name(name)?;
        if word == "HELP" {
            sink.metadata(name, Metadata::Help(line::unescape(rest.trim_start_matches(blanks), false)));
            return Ok(());
        }
        let kind = Kind::named(self.format, rest.trim_matches(blanks)).ok_or("a type that is none")?;
        sink.metadata(name, Metadata::Kind(kind));
        Ok(())
    }

    fn strict_comment<K: Sink<Series = S>>(&mut self, comment: &'a str, sink: &mut K) -> Result<(), Wrong> {
        let mut parts = comment.strip_prefix(' ').unwrap_or_default().splitn(3, ' ');
        let word = parts.next().unwrap_or_default();
        if !["TYPE", "HELP", "UNIT"].contains(&word) {
            return Err("a comment is one of # TYPE, # HELP, # UNIT and # EOF".into());
        }
        let (Some(name), Some(rest)) = (parts.next(), parts.next()) else {
            return Err("a name and what is said of it follow, each after one blank".into());
        };
        line::name(name)?;
        let said = match word {
            "TYPE" => Metadata::Kind(Kind::named(self.format, rest).ok_or("a type that is none")?),
            "UNIT" => Metadata::Unit(rest),
            _ => Metadata::Help(line::unescape(rest, true)),
        };
        self.families.say(name, &said)?;
        sink.metadata(name, said);
        Ok(())
    }

    fn sample<K: Sink<Series = S>>(
        &mut self,
        line: &'a str,
        pairs: &mut Pairs<'a>,
        sink: &mut K,
    ) -> Result<(), Wrong> {
        let (at, name, rest) = match self.expected(line) {
            Some(expected) => expected,
            None => {
                let cut = line::cut(self.format, line)?;
                let (name, rest) = (cut.name, cut.rest);
                (self.found(&cut, pairs, sink)?, name, rest)
            }
        };
        let sample = line::sample(self.format, rest)?;
        if let Some(before) = self.memory.entries.get_mut(self.at as usize) {
            before.next = at;
        }
        self.at = at;
        let (strict, kind) = (self.format == Format::OpenMetrics, self.families.of(self.format, name)?);
        let Some(entry) = self.memory.entries.get_mut(at as usize) else { return Ok(()) };
        if strict {
            if entry.kind != kind {
                // The target has changed its mind about the type, for which other labels count.
                let cut = line::cut(self.format, line)?;
                line::labels(self.format, cut.labels, pairs)?;
                (entry.kind, entry.facts) = (kind, Facts::of(kind, self.families.name(), pairs));
            }
            self.families.check(name, &entry.facts, &sample)?;
        }
        entry.last = self.memory.reading;
        sink.sample(&mut entry.series, sample);
        Ok(())
    }

    /// The series that stood behind the last one the last time, where it stands there again.
    fn expected(&self, line: &'a str) -> Option<(u32, &'a str, &'a str)> {
        let at = match self.memory.entries.get(self.at as usize) {
            Some(before) => before.next,
            None => 0,
        };
        let entry = self.memory.entries.get(at as usize)?;
        let rest = line.strip_prefix(&*entry.raw)?;
        // The name may be the beginning of another, and labels may follow it.
        if !rest.starts_with([' ', '\t']) || rest.trim_start_matches([' ', '\t']).starts_with('{') {
            return None;
        }
        let raw = line.get(..entry.raw.len())?;
        let name_end = raw.find(['{', ' ', '\t']).unwrap_or(raw.len());
        Some((at, raw.get(..name_end)?, rest))
    }

    /// The entry of a series, which is made where it is new.
    fn found<K: Sink<Series = S>>(
        &mut self,
        cut: &Cut<'a>,
        pairs: &mut Pairs<'a>,
        sink: &mut K,
    ) -> Result<u32, Wrong> {
        if let Some(at) = self.memory.find(cut.raw) {
            return Ok(at);
        }
        if self.memory.entries.len() >= self.most {
            return Err(format!("there are more than {} series", self.most).into());
        }
        line::name(cut.name)?;
        line::labels(self.format, cut.labels, pairs)?;
        if pairs.iter().any(|(name, _)| *name == METRIC_NAME) {
            return Err("the name of a metric stands before its labels".into());
        }
        let kind = self.families.of(self.format, cut.name)?;
        let facts = Facts::of(kind, self.families.name(), pairs);
        let mut labels: Vec<(&str, &str)> = vec![(METRIC_NAME, cut.name)];
        labels.extend(
            pairs.iter().map(|(name, value)| (*name, &**value)).filter(|(_, value)| !value.is_empty()),
        );
        labels.sort_unstable();
        let entry = Entry {
            raw: cut.raw.into(),
            kind,
            facts,
            first: self.memory.reading,
            last: self.memory.reading,
            next: NONE,
            series: sink.series(&labels),
        };
        Ok(self.memory.insert(entry))
    }
}

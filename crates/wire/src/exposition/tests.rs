//! Documents, and what becomes of them.

mod documents;
mod properties;
mod steady;

use std::collections::BTreeMap;

use super::*;

/// Writes down all that it is told.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// How many series were new.
    pub(super) parsed: usize,
    pub(super) samples: Vec<(String, f64, Option<i64>)>,
    pub(super) exemplars: Vec<(String, f64)>,
    pub(super) kinds: BTreeMap<String, Kind>,
    pub(super) helps: BTreeMap<String, String>,
}

impl Sink for Notes {
    type Series = String;

    fn series(&mut self, labels: &[(&str, &str)]) -> String {
        self.parsed += 1;
        labels.iter().map(|(name, value)| format!("{name}={value:?};")).collect()
    }

    fn sample(&mut self, series: &mut String, sample: Sample<'_>) {
        self.samples.push((series.clone(), sample.value, sample.time));
        self.exemplars.extend(sample.exemplar.map(|of| (format!("{:?}", of.labels), of.value)));
    }

    fn metadata(&mut self, family: &str, metadata: Metadata<'_>) {
        match metadata {
            Metadata::Kind(kind) => drop(self.kinds.insert(family.to_owned(), kind)),
            Metadata::Help(help) => drop(self.helps.insert(family.to_owned(), help.into())),
            Metadata::Unit(_) => {}
        }
    }
}

pub(super) fn read(format: Format, body: &str) -> Result<Notes, Malformed> {
    let mut notes = Notes::default();
    Memory::default().read(format, body, 1_000, &mut notes)?;
    Ok(notes)
}

/// What is wrong with a document of OpenMetrics.
pub(super) fn refused(body: &str) -> String {
    match read(Format::OpenMetrics, body) {
        Ok(_) => panic!("{body:?} was taken"),
        Err(error) => error.to_string(),
    }
}

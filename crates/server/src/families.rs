//! What is known of metrics beside their samples: kind, help and unit, as those who measure say it.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use wire::{exposition::Metadata, prometheus::MetricMetadata};

/// Of how many metrics something is kept. At most some 600 bytes each, and 12 MB of all.
const MAX_FAMILIES: usize = 20_000;
/// How many characters of a help are kept.
const MAX_HELP_CHARS: usize = 512;

/// What is known, by the name of the metric. What is said last holds.
#[derive(Debug, Default)]
pub(crate) struct Families(Mutex<BTreeMap<Box<str>, Known>>);

#[derive(Debug, Default, Clone, PartialEq)]
struct Known {
    kind: &'static str,
    help: Box<str>,
    unit: Box<str>,
}

impl Families {
    /// Takes in what is said of a metric. Beyond the most, what is new is left out: it is shown and nothing else.
    pub(crate) fn say(&self, name: &str, said: &Metadata<'_>) {
        match said {
            Metadata::Kind(kind) => self.describe(name, Some(kind.as_str()), None, None),
            Metadata::Help(help) => self.describe(name, None, Some(help), None),
            Metadata::Unit(unit) => self.describe(name, None, None, Some(unit)),
        }
    }

    /// The same, of what is given.
    pub(crate) fn describe(
        &self,
        name: &str,
        kind: Option<&'static str>,
        help: Option<&str>,
        unit: Option<&str>,
    ) {
        let mut all = self.lock();
        if !all.contains_key(name) {
            if all.len() >= MAX_FAMILIES {
                return;
            }
            all.insert(name.into(), Known { kind: "unknown", ..Known::default() });
        }
        let Some(known) = all.get_mut(name) else { return };
        known.kind = kind.unwrap_or(known.kind);
        if let Some(help) = help {
            let end = help.char_indices().nth(MAX_HELP_CHARS).map_or(help.len(), |(at, _)| at);
            replace(&mut known.help, help.get(..end).unwrap_or_default());
        }
        if let Some(unit) = unit {
            replace(&mut known.unit, unit);
        }
    }

    /// All that is known, or of one metric.
    pub(crate) fn known(&self, wanted: Option<&str>) -> Vec<MetricMetadata> {
        let all = self.lock();
        let wanted = all.iter().filter(|(name, _)| wanted.is_none_or(|wanted| &***name == wanted));
        let shown = wanted.map(|(name, known)| MetricMetadata {
            name: Cow::Owned(name.to_string()),
            kind: known.kind,
            help: Cow::Owned(known.help.to_string()),
            unit: Cow::Owned(known.unit.to_string()),
        });
        shown.collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing is built for what is said again.
fn replace(known: &mut Box<str>, said: &str) {
    if **known != *said {
        *known = said.into();
    }
}

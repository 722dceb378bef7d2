//! What spans are named by: services and their operations, and the keys of attributes with their types.
//!
//! Every part of the store (what is in memory, and each block) has a table of its own names, with counts, so
//! that names come and go with the spans that have them. [`Directory`] is the sum of all.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// A service within its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    /// The namespace.
    pub namespace: Box<str>,
    /// The service.
    pub service: Box<str>,
}

/// An operation of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The name of its spans.
    pub name: Arc<str>,
    /// How many spans there are.
    pub spans: u64,
}

/// A key of span attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeKey {
    /// The key.
    pub key: Box<str>,
    /// With how many values of each type, the most frequent first.
    pub types: Vec<(KeyType, u64)>,
}

/// The type of an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyType {
    /// Text.
    Text,
    /// A truth value.
    Bool,
    /// A whole number.
    Int,
    /// A floating-point number.
    Double,
    /// Bytes, an array, a map, or nothing.
    Other,
}

impl KeyType {
    /// All types.
    pub const ALL: [KeyType; 5] =
        [KeyType::Text, KeyType::Bool, KeyType::Int, KeyType::Double, KeyType::Other];

    /// The type as a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyType::Text => "text",
            KeyType::Bool => "bool",
            KeyType::Int => "int",
            KeyType::Double => "double",
            KeyType::Other => "other",
        }
    }
}

/// Where spans belong: an operation of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) namespace: Arc<str>,
    pub(crate) service: Arc<str>,
    pub(crate) operation: Arc<str>,
    /// The spans are a proxy's, of calls to this service.
    pub(crate) is_called: bool,
}

/// How many values of each type.
pub(crate) type KeyCounts = [u64; KeyType::ALL.len()];

/// The names of a part.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Names {
    pub(crate) places: Vec<Place>,
    /// How many spans each place has, and how many of them failed.
    pub(crate) counts: Vec<(u64, u64)>,
    pub(crate) keys: HashMap<Box<str>, KeyCounts>,
}

impl Names {
    pub(crate) fn count_key(&mut self, key: &str, counts: KeyCounts) {
        match self.keys.get_mut(key) {
            Some(sums) => sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count),
            None => drop(self.keys.insert(key.into(), counts)),
        }
    }
}

/// The names of everything that is stored.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    services: BTreeMap<ServiceKey, BTreeMap<Arc<str>, u64>>,
    operations: usize,
    keys: BTreeMap<Box<str>, KeyCounts>,
}

/// Operations that a directory knows, of all services together. A sender that puts ids into its names has the
/// further ones left out of the lists; searches find them all the same. Some 150 bytes each.
const MAX_OPERATIONS: usize = 50_000;

/// Keys of attributes that a directory knows; some 150 bytes each.
const MAX_KEYS: usize = 20_000;

impl Directory {
    /// Adds the names of a part.
    pub(crate) fn add(&mut self, names: &Names) {
        // What was taken out again is counted as nothing.
        let counted = names.places.iter().zip(&names.counts).filter(|(_, (spans, _))| *spans > 0);
        for (place, (spans, _)) in counted {
            let key = place.service();
            let operations = self.services.get_mut(&key);
            if let Some(count) = operations.and_then(|known| known.get_mut(&place.operation)) {
                *count += spans;
            } else if self.operations < MAX_OPERATIONS {
                self.operations += 1;
                self.services.entry(key).or_default().insert(Arc::clone(&place.operation), *spans);
            }
        }
        for (key, counts) in names.keys.iter().filter(|(_, counts)| **counts != KeyCounts::default()) {
            if let Some(sums) = self.keys.get_mut(key) {
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            } else if self.keys.len() < MAX_KEYS {
                self.keys.insert(key.clone(), *counts);
            }
        }
    }

    /// Takes the names of a part that is gone out again.
    pub(crate) fn remove(&mut self, names: &Names) {
        for (place, (spans, _)) in names.places.iter().zip(&names.counts) {
            let key = place.service();
            let Some(operations) = self.services.get_mut(&key) else { continue };
            if let Some(count) = operations.get_mut(&place.operation) {
                *count = count.saturating_sub(*spans);
                if *count == 0 {
                    operations.remove(&place.operation);
                    self.operations -= 1;
                }
            }
            if operations.is_empty() {
                self.services.remove(&key);
            }
        }
        for (key, counts) in &names.keys {
            let Some(sums) = self.keys.get_mut(key) else { continue };
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_sub(*count));
            if *sums == KeyCounts::default() {
                self.keys.remove(key);
            }
        }
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.services.keys()
    }

    pub(crate) fn operations(&self, key: &ServiceKey) -> Vec<Operation> {
        let operations = self.services.get(key).into_iter().flatten();
        operations.map(|(name, spans)| Operation { name: Arc::clone(name), spans: *spans }).collect()
    }

    pub(crate) fn key_counts(&self) -> &BTreeMap<Box<str>, KeyCounts> {
        &self.keys
    }
}

impl Place {
    pub(crate) fn service(&self) -> ServiceKey {
        ServiceKey { namespace: (*self.namespace).into(), service: (*self.service).into() }
    }
}

impl AttributeKey {
    pub(crate) fn of(key: &str, counts: &KeyCounts) -> Self {
        let mut types: Vec<_> = KeyType::ALL.into_iter().zip(*counts).collect();
        types.retain(|(_, count)| *count > 0);
        types.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Self { key: key.into(), types }
    }
}

//! Finds the traces of a block of which a span has something, by looking at as few columns as that takes.

mod columns;
mod expression;
mod rows;

use std::fmt;

use traces::{Value, borrowed::ValueRef, query::Expression};

use super::{Block, layout::Unreadable, read::Reader};
use crate::names::{KeyCounts, KeyType};

use columns::Columns;
pub(crate) use columns::may_be_number;
use expression::weigh;
use rows::Rows;

/// What a span has to have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// This text, in its name, its service, its status message, a value of its attributes, or the name of an
    /// event.
    Text(&'a str),
    /// An attribute of this name, with this value or any.
    Attribute(&'a str, Option<&'a Value>),
    /// Whatever an expression says.
    Criterion(Criterion<'a>),
}

/// What has to hold of a span that may be seen.
#[derive(Clone, Copy)]
pub(crate) struct Criterion<'a> {
    pub(crate) expression: &'a Expression,
    /// Whether spans of services of a namespace may be seen.
    pub(crate) may_see: &'a (dyn Fn(&str) -> bool + Sync),
}

impl fmt::Debug for Criterion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.fmt(f)
    }
}

/// A set of traces by position.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn set(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    pub(crate) fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }
}

/// Types of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Types([bool; KeyType::ALL.len()]);

impl Types {
    const ALL: Self = Self([true; KeyType::ALL.len()]);

    fn only(kind: KeyType) -> Self {
        let mut types = Self([false; KeyType::ALL.len()]);
        types.add(kind);
        types
    }

    fn add(&mut self, kind: KeyType) {
        self.0[kind as usize] = true;
    }

    fn has(self, kind: KeyType) -> bool {
        self.0[kind as usize]
    }

    /// How many values there are of each of them.
    fn of(self, counts: &KeyCounts) -> impl Iterator<Item = u64> {
        counts.iter().zip(self.0).filter(|(_, is_one)| *is_one).map(|(count, _)| *count)
    }
}

impl Block {
    /// The traces of which a span has what is wanted.
    pub(crate) fn having(&self, wanted: &Wanted<'_>) -> Result<Bits, Unreadable> {
        let (table, names) = (self.table()?, self.names()?);
        let (mut bits, open) = match wanted {
            Wanted::Text(_) => (Bits::new(table.rows.len()), Rows::all(table.spans)),
            Wanted::Attribute(key, _) if !names.keys.contains_key(*key) => return Ok(Bits::default()),
            Wanted::Attribute(..) => (Bits::new(table.rows.len()), Rows::all(table.spans)),
            Wanted::Criterion(criterion) => {
                let verdict = weigh(criterion, &table, &names);
                (verdict.bits, verdict.open)
            }
        };
        if open.is_empty() {
            return Ok(bits);
        }
        let columns = Columns { reader: Reader::open(self)?, names: &names, rows: table.spans };
        let found = match wanted {
            Wanted::Text(text) => columns.text(text, &open)?,
            Wanted::Attribute(key, value) => columns.attribute(key, *value, &open)?,
            Wanted::Criterion(criterion) => columns.criterion(criterion, &open)?,
        };
        for row in found.iter() {
            bits.set(table.trace_of(row));
        }
        Ok(bits)
    }
}

fn type_of(value: &Value) -> KeyType {
    match value {
        Value::Str(_) => KeyType::Text,
        Value::Bool(_) => KeyType::Bool,
        Value::Int(_) => KeyType::Int,
        Value::Double(_) => KeyType::Double,
        _ => KeyType::Other,
    }
}

/// Equal, where a number that is none equals itself.
pub(crate) fn is_same(one: &ValueRef<'_>, other: &ValueRef<'_>) -> bool {
    match (one, other) {
        (ValueRef::Double(one), ValueRef::Double(other)) => one == other || (one.is_nan() && other.is_nan()),
        (one, other) => one == other,
    }
}

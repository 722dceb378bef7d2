//! An expression of the query language, asked of a block.
//!
//! The table of traces and the names decide what they can: of most traces that settles it, and of most blocks
//! all of them. What is left is asked of columns, part by part, and each part only where the ones before left
//! something open. What is found is exactly what asking every span would find.

use parquet::data_type::Int64Type;
use traces::{
    StatusCode, Value,
    borrowed::ValueRef,
    query::{Comparison, Expression, Key, Leaf, Literal, Number, Owner, Term, Test},
};

use super::{
    Bits, Criterion, Types,
    columns::{Asked, Columns},
    rows::Rows,
};
use crate::{
    block::{
        Shape, Table,
        layout::Unreadable,
        read::{code, kind},
        schema::Column,
    },
    names::{KeyType, Names, Place},
};

const CALLED_SERVICE: &str = "bellwether.service";
const CALLED_NAMESPACE: &str = "bellwether.namespace";

/// What the table and the names say.
pub(super) struct Verdict {
    /// The traces of which it is settled that they have such a span.
    pub(super) bits: Bits,
    /// The rows of those of which it is not.
    pub(super) open: Rows,
}

/// Asks the table and the names.
pub(super) fn weigh(criterion: &Criterion<'_>, table: &Table, names: &Names) -> Verdict {
    let mut verdict = Verdict { bits: Bits::new(table.rows.len()), open: Rows::none(table.spans) };
    let shapes: Vec<Option<bool>> =
        table.shapes.iter().map(|shape| weigh_shape(criterion, shape, names)).collect();
    let least = least_duration(criterion.expression);
    for (at, trace) in table.rows.iter().enumerate().filter(|(_, trace)| trace.duration_ns >= least) {
        match shapes[trace.shape as usize] {
            Some(true) => verdict.bits.set(at),
            Some(false) => {}
            None => verdict.open.add(table.spans_of(at as u32)),
        }
    }
    verdict
}

/// The duration that a span has to have at the least. A trace takes at least as long as each of its spans.
fn least_duration(expression: &Expression) -> u64 {
    let least = |term: &Term| match (&term.key, &term.test) {
        (Key::Duration, Test::Compare(Comparison::Greater | Comparison::GreaterOrEqual, literal)) => {
            match literal.number {
                Some(Number::Int(nanos)) => u64::try_from(nanos).ok(),
                _ => None,
            }
        }
        _ => None,
    };
    expression.necessary().into_iter().filter_map(least).max().unwrap_or(0)
}

/// Whether a trace of this shape has a span of which it holds.
fn weigh_shape(criterion: &Criterion<'_>, shape: &Shape, names: &Names) -> Option<bool> {
    let is_called = shape.places.iter().any(|(_, spans, _)| *spans == 0);
    let mut sum = Some(false);
    for (at, spans, errors) in shape.places.iter().filter(|(_, spans, _)| *spans > 0) {
        let place = names.places.get(*at as usize)?;
        if !(criterion.may_see)(&place.namespace) {
            continue;
        }
        let failed = match errors {
            0 => Some(false),
            errors => (errors == spans).then_some(true),
        };
        let mut known = |leaf: Leaf<'_>| weigh_leaf(leaf, place, failed, is_called, names);
        match criterion.expression.decide(&mut known) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => sum = None,
        }
    }
    sum
}

/// Whether a leaf holds of the spans of a place, of which all failed, or none, or some.
fn weigh_leaf(
    leaf: Leaf<'_>,
    place: &Place,
    failed: Option<bool>,
    is_called: bool,
    names: &Names,
) -> Option<bool> {
    let Term { key, test } = match leaf {
        Leaf::Term(term) => term,
        Leaf::Text(text) => {
            return (place.operation.contains(text) || place.service.contains(text)).then_some(true);
        }
    };
    let of = |text: &str| test.holds(&ValueRef::Str(text));
    match key {
        Key::Operation => Some(of(&place.operation)),
        // A proxy's span is one of the service that it called as well.
        Key::Service => Some(of(&place.service)).filter(|truth| *truth || !is_called),
        Key::Namespace => Some(of(&place.namespace)).filter(|truth| *truth || !is_called),
        Key::Error => failed.map(|failed| test.holds(&ValueRef::Bool(failed))),
        Key::Attribute { of: Owner::Span, name } => {
            let may_be =
                names.keys.get(name).is_some_and(|counts| Types::of_test(test).of(counts).sum::<u64>() > 0);
            (!may_be).then_some(false)
        }
        _ => None,
    }
}

impl Columns<'_> {
    /// Those of these rows of which it holds, and which may be seen.
    pub(super) fn criterion(&self, criterion: &Criterion<'_>, within: &Rows) -> Result<Rows, Unreadable> {
        let found = self.expression(criterion.expression, within)?;
        if found.is_empty() {
            return Ok(found);
        }
        self.of_resources(&found, |resource| (criterion.may_see)(resource.namespace()))
    }

    fn expression(&self, expression: &Expression, within: &Rows) -> Result<Rows, Unreadable> {
        if within.is_empty() {
            return Ok(within.clone());
        }
        match expression {
            Expression::All(parts) => {
                let mut left = within.clone();
                for part in in_order(parts) {
                    left = self.expression(part, &left)?;
                }
                Ok(left)
            }
            Expression::Any(parts) => {
                let (mut found, mut left) = (Rows::none(self.rows), within.clone());
                for part in in_order(parts) {
                    let more = self.expression(part, &left)?;
                    left = left.without(&more);
                    found = found.or(&more);
                }
                Ok(found)
            }
            Expression::Not(part) => Ok(within.clone().without(&self.expression(part, within)?)),
            Expression::Text(text) => self.text(text, within),
            Expression::Term(term) => self.term(term, within),
        }
    }

    /// Rows with this text somewhere.
    pub(super) fn text(&self, wanted: &str, within: &Rows) -> Result<Rows, Unreadable> {
        let holds = |value: &ValueRef<'_>| value.contains(wanted);
        let asked = Asked { holds: &holds, types: Types::ALL, needle: Some(wanted) };
        let mut found = self.of_any_attribute(wanted, within)?;
        for column in [Column::SpanName, Column::ServiceName, Column::StatusMessage] {
            found = found.or(&self.of_texts(column, within, &asked)?);
        }
        Ok(found.or(&self.of_events(within, &asked)?))
    }

    fn term(&self, term: &Term, within: &Rows) -> Result<Rows, Unreadable> {
        let holds = |value: &ValueRef<'_>| term.test.holds(value);
        let of = |text: &str| holds(&ValueRef::Str(text));
        let asked = Asked { holds: &holds, types: Types::of_test(&term.test), needle: needle(&term.test) };
        match &term.key {
            Key::Service => {
                let own = self.of_resources(within, |resource| of(resource.service()))?;
                Ok(own.or(&self.text_attribute(CALLED_SERVICE, within, &of)?))
            }
            Key::Namespace => {
                let own = self.of_resources(within, |resource| of(resource.namespace()))?;
                Ok(own.or(&self.called_namespace(within, &of)?))
            }
            Key::Operation => self.of_texts(Column::SpanName, within, &asked),
            Key::Kind => {
                self.texts(Column::SpanKind as usize, within, None, |text| Ok(of(kind(text)?.as_str())))
            }
            Key::Status => {
                self.texts(Column::StatusCode as usize, within, None, |text| Ok(of(code(text)?.as_str())))
            }
            Key::StatusMessage => self.of_texts(Column::StatusMessage, within, &asked),
            Key::Duration => {
                let mut found = Rows::none(self.rows);
                self.reader.visit::<Int64Type>(
                    Column::Duration as usize,
                    &within.pages(),
                    |row, nanos| {
                        let nanos = i64::try_from(*nanos as u64).unwrap_or(i64::MAX);
                        if within.has(row) && holds(&ValueRef::Int(nanos)) {
                            found.insert(row);
                        }
                        Ok(())
                    },
                )?;
                Ok(found)
            }
            Key::Error => self.errors(within, holds(&ValueRef::Bool(true)), holds(&ValueRef::Bool(false))),
            Key::Event => self.of_events(within, &asked),
            Key::Attribute { of: Owner::Span, name } => self.of_attribute(name, within, &asked),
            Key::Attribute { of: Owner::Resource, name } => self.of_resource_attribute(name, within, &asked),
            Key::Attribute { of: Owner::Scope, name } => self.of_scopes(name, within, &asked),
            Key::Attribute { of: Owner::Either, name } => {
                let found = self.of_attribute(name, within, &asked)?;
                let of_resource = self.of_resource_attribute(name, within, &asked)?;
                if of_resource.is_empty() {
                    return Ok(found);
                }
                // The span's own value hides that of its resource.
                let any = Asked::of(Types::ALL, &|_| true);
                let hidden = self.of_attribute(name, &of_resource, &any)?;
                Ok(found.or(&of_resource.without(&hidden)))
            }
        }
    }

    fn of_resource_attribute(
        &self,
        name: &str,
        within: &Rows,
        asked: &Asked<'_>,
    ) -> Result<Rows, Unreadable> {
        self.of_resources(within, |resource| {
            resource.attributes.get(name).is_some_and(|value| (asked.holds)(&ValueRef::from(value)))
        })
    }

    /// Rows with a text as this attribute, of which this holds.
    fn text_attribute(
        &self,
        key: &str,
        within: &Rows,
        of: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<Rows, Unreadable> {
        let holds = |value: &ValueRef<'_>| matches!(value, ValueRef::Str(text) if of(text));
        self.of_attribute(key, within, &Asked::of(Types::only(KeyType::Text), &holds))
    }

    /// Rows that tell of a call to a namespace of which this holds.
    fn called_namespace(
        &self,
        within: &Rows,
        of: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<Rows, Unreadable> {
        let called = self.text_attribute(CALLED_SERVICE, within, &|_| true)?;
        if called.is_empty() {
            return Ok(called);
        }
        let found = self.text_attribute(CALLED_NAMESPACE, &called, of)?;
        if !of("default") {
            return Ok(found);
        }
        let named = self.text_attribute(CALLED_NAMESPACE, &called, &|_| true)?;
        Ok(found.or(&called.without(&named)))
    }

    /// Rows of spans that failed, or that did not, or both.
    fn errors(&self, within: &Rows, of_failed: bool, of_others: bool) -> Result<Rows, Unreadable> {
        if of_failed == of_others {
            return Ok(if of_failed { within.clone() } else { Rows::none(self.rows) });
        }
        let by_status = self
            .texts(Column::StatusCode as usize, within, None, |text| Ok(code(text)? == StatusCode::Error))?;
        let is_true = |value: &ValueRef<'_>| {
            matches!(value, ValueRef::Bool(true)) || matches!(value, ValueRef::Str("true"))
        };
        let failed = by_status.or(&self.of_attribute("error", within, &Asked::of(Types::ALL, &is_true))?);
        Ok(if of_failed { failed } else { within.clone().without(&failed) })
    }

    /// Rows with an attribute of this name, and of this value or any.
    pub(super) fn attribute(
        &self,
        key: &str,
        value: Option<&Value>,
        within: &Rows,
    ) -> Result<Rows, Unreadable> {
        let holds =
            |found: &ValueRef<'_>| value.is_none_or(|value| super::is_same(found, &ValueRef::from(value)));
        let types = value.map_or(Types::ALL, |value| Types::only(super::type_of(value)));
        let needle = match value {
            Some(Value::Str(text)) => Some(&**text),
            _ => None,
        };
        self.of_attribute(key, within, &Asked { holds: &holds, types, needle })
    }
}

/// Parts of an expression, those first that take the least to ask.
fn in_order(parts: &[Expression]) -> Vec<&Expression> {
    fn cost(expression: &Expression) -> u32 {
        match expression {
            Expression::All(parts) | Expression::Any(parts) => parts.iter().map(cost).sum(),
            Expression::Not(part) => cost(part),
            Expression::Text(_) => 64,
            Expression::Term(term) => match (&term.key, &term.test) {
                (Key::Event, _) => 16,
                // One value of many leaves little for the parts that follow.
                (Key::Attribute { .. }, Test::Compare(Comparison::Equal, _)) => 2,
                (Key::Attribute { .. }, _) => 8,
                (Key::Duration, _) => 4,
                _ => 1,
            },
        }
    }
    let mut parts: Vec<&Expression> = parts.iter().collect();
    parts.sort_by_key(|part| cost(part));
    parts
}

/// What a text has to contain for a test to hold of it.
fn needle(test: &Test) -> Option<&str> {
    match test {
        Test::Compare(Comparison::Equal, literal) => Some(&literal.text),
        _ => None,
    }
}

impl Types {
    /// Those of values of which a test may hold. One of an array's values may be of any type.
    pub(super) fn of_test(test: &Test) -> Self {
        let Test::Compare(comparison, Literal { text, number }) = test else { return Self::ALL };
        let mut types = Self::only(KeyType::Other);
        match comparison {
            Comparison::NotEqual => return Self::ALL,
            Comparison::Equal => {
                types.add(KeyType::Text);
                if matches!(&**text, "true" | "false") {
                    types.add(KeyType::Bool);
                }
            }
            _ => {}
        }
        if number.is_some() {
            types.add(KeyType::Int);
            types.add(KeyType::Double);
        }
        types
    }
}

//! The conditions of a query, as numbers that the parts of a trace add up.
//!
//! Each condition that some span has to fulfil is a bit. A part of a trace has the bits that its spans fulfil,
//! the trace has those of all its parts, and it is found when it has them all and its times are right.

use std::sync::Arc;

use identity::{TraceId, Wall};
use traces::{
    Resource, Scope,
    borrowed::ValueRef,
    query::{Borrowed, Comparison, Facts as _, Key, Leaf, Owner, Term, Test},
};

use super::{PageToken, Query};
use crate::{
    block::{Criterion, Shape, Wanted, is_same, may_be_number},
    chunk::{Chunk, Head},
    names::{Names, Place},
};

/// The bit of a span of the right service and operation.
const PLACE: u32 = 1;
/// The bit of a failure.
const ERROR: u32 = 2;
/// The first bit of what is looked for in spans.
const FIRST: usize = 2;

/// What is known of a trace or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) start: Wall,
    pub(crate) end: Wall,
    pub(crate) bits: u32,
}

impl Facts {
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
            bits: self.bits | other.bits,
        }
    }
}

/// The conditions of a query.
#[derive(Debug)]
pub(crate) struct Conditions<'a> {
    query: &'a Query,
    /// What spans have to have, in the order of their bits.
    pub(crate) wanted: Vec<Wanted<'a>>,
    all: u32,
}

impl<'a> Conditions<'a> {
    pub(crate) fn of(query: &'a Query, criterion: Option<Criterion<'a>>) -> Self {
        let text = query.text.as_deref().filter(|text| !text.is_empty()).map(Wanted::Text);
        let attributes = query.attributes.iter().take(Query::MAX_ATTRIBUTES);
        let attributes = attributes.map(|of| Wanted::Attribute(&of.key, of.value.as_ref()));
        let wanted: Vec<_> =
            text.into_iter().chain(attributes).chain(criterion.map(Wanted::Criterion)).collect();
        let has_place = query.namespace.is_some() || query.service.is_some() || query.operation.is_some();
        let place = if has_place { PLACE } else { 0 };
        let error = if query.errors_only { ERROR } else { 0 };
        let all = (0..wanted.len()).fold(place | error, |all, at| all | bit(at));
        Self { query, wanted, all }
    }

    /// Whether the trace is found.
    pub(crate) fn fit(&self, facts: &Facts) -> bool {
        let duration = facts.end.0.saturating_sub(facts.start.0);
        facts.bits & self.all == self.all
            && self.query.min_duration_ns.is_none_or(|least| duration >= least)
            && self.query.max_duration_ns.is_none_or(|most| duration <= most)
            && self.query.start.is_none_or(|first| facts.start >= first)
            && self.query.end.is_none_or(|end| facts.start < end)
            && self.query.page.is_none_or(|PageToken(start, _)| facts.start <= start)
    }

    /// Whether a trace that began at this time or later may be found.
    pub(crate) fn may_begin(&self, first: Wall, last: Wall) -> bool {
        self.query.end.is_none_or(|end| first < end)
            && self.query.page.is_none_or(|PageToken(start, _)| first <= start)
            && self.query.start.is_none_or(|start| last >= start)
    }

    /// Whether this trace comes after the page before.
    pub(crate) fn is_next(&self, start: Wall, id: TraceId) -> bool {
        self.query.page.is_none_or(|PageToken(at, last)| (start, id) < (at, last))
    }

    /// Which places are those of the query.
    pub(crate) fn places(&self, names: &Names) -> Vec<bool> {
        let fits = |place: &Place| {
            let is =
                |wanted: &Option<Box<str>>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
            is(&self.query.namespace, &place.namespace)
                && is(&self.query.service, &place.service)
                && is(&self.query.operation, &place.operation)
        };
        names.places.iter().map(fits).collect()
    }

    /// The bits of a shape.
    pub(crate) fn of_shape(&self, shape: &Shape, places: &[bool]) -> u32 {
        let is_there = shape.places.iter().any(|(at, ..)| places.get(*at as usize) == Some(&true));
        let has_failed = shape.places.iter().any(|(.., errors)| *errors > 0);
        (u32::from(is_there) * PLACE) | (u32::from(has_failed) * ERROR)
    }

    /// The bits of what memory knows of a trace.
    pub(crate) fn of_entry(&self, entry: &crate::memory::Entry, places: &[bool]) -> u32 {
        let is_there = entry.places.iter().any(|at| places.get(*at as usize) == Some(&true));
        (u32::from(is_there) * PLACE) | (u32::from(entry.errors > 0) * ERROR)
    }

    /// Whether a block or a memory can have the place that is asked for.
    pub(crate) fn needs_place(&self) -> bool {
        self.all & PLACE != 0
    }
}

/// The bit of the condition at this position of [`Conditions::wanted`].
pub(crate) fn bit(at: usize) -> u32 {
    1 << (FIRST + at)
}

/// Whether a span has what is wanted.
pub(crate) fn has(chunk: &Chunk, at: u32, wanted: &Wanted<'_>) -> Option<bool> {
    let head = chunk.head(at)?;
    let none = Resource::default();
    let resource = chunk.resource(head.resource).map_or(&none, |resource| resource);
    if let Wanted::Criterion(criterion) = wanted {
        if !(criterion.may_see)(resource.namespace()) {
            return Some(false);
        }
        // Most is settled by what stands at the beginning of a span.
        let decided = criterion.expression.decide(&mut |leaf| of_head(chunk, &head, resource, leaf));
        if decided.is_some() {
            return decided;
        }
    }
    let span = chunk.span(at)?;
    let none = Scope::default();
    let scope = chunk.scope(head.scope).map_or(&none, |scope| scope);
    let span = Borrowed { span: &span, resource, scope };
    Some(match wanted {
        Wanted::Text(text) => span.contains(text),
        Wanted::Criterion(criterion) => criterion.expression.holds(&span),
        Wanted::Attribute(key, value) => {
            let same = |found| value.is_none_or(|value| is_same(found, &ValueRef::from(value)));
            span.span.get(key).is_some_and(same)
        }
    })
}

/// Whether a leaf holds of a span, as far as it can be told without its attributes.
fn of_head(chunk: &Chunk, head: &Head<'_>, resource: &Resource, leaf: Leaf<'_>) -> Option<bool> {
    let Leaf::Term(Term { key, test }) = leaf else { return None };
    let of = |text: &str| test.holds(&ValueRef::Str(text));
    match key {
        Key::Service => Some(of(resource.service())).filter(|truth| *truth || head.called.is_none()),
        Key::Namespace => Some(of(resource.namespace())).filter(|truth| *truth || head.called.is_none()),
        Key::Operation => chunk.text(head.name).map(of),
        Key::Kind => Some(of(head.kind.as_str())),
        Key::Status => Some(of(head.status.as_str())),
        Key::Duration => {
            Some(test.holds(&ValueRef::Int(i64::try_from(head.duration_ns).unwrap_or(i64::MAX))))
        }
        Key::Error => Some(test.holds(&ValueRef::Bool(head.is_error()))),
        Key::StatusMessage if head.status_message.is_none() => Some(false),
        _ => None,
    }
}

/// Whether any span of a chunk can have what is wanted: a look at its texts, which is much less than one at
/// all its spans.
pub(crate) fn may_have(chunk: &Chunk, wanted: &Wanted<'_>) -> bool {
    let all = &chunk.text_buffer().0;
    match wanted {
        Wanted::Text(text) => {
            all.contains(text)
                || may_be_number(text)
                || chunk.resources().iter().any(|resource| resource.service().contains(text))
        }
        Wanted::Attribute(key, _) => all.contains(key),
        Wanted::Criterion(criterion) => {
            criterion.expression.necessary().into_iter().all(|Term { key, test }| match (key, test) {
                (Key::Operation, Test::Compare(Comparison::Equal, literal)) => all.contains(&*literal.text),
                (Key::Attribute { of: Owner::Span, name }, _) => all.contains(&**name),
                (Key::Attribute { of: Owner::Scope, name }, _) => {
                    chunk.scopes().iter().any(|scope| scope.attributes.get(name).is_some())
                }
                (Key::Attribute { of: Owner::Either, name }, _) => {
                    let has = |resource: &Arc<Resource>| resource.attributes.get(name).is_some();
                    all.contains(&**name) || chunk.resources().iter().any(has)
                }
                _ => true,
            })
        }
    }
}

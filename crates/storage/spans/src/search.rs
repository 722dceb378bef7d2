//! What is asked of the traces, and what is answered.

use std::{fmt, str::FromStr};

use identity::{Invalid, TraceId, Wall};
use traces::{Span, Summary, Trace};

use crate::index::{ByStart, Entry, Index};

/// Which traces are asked for: those that fulfil every condition that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// A span of this namespace, or a proxy's span of a call to it. The conditions up to `operation` have
    /// to be fulfilled by one and the same span.
    pub namespace: Option<Box<str>>,
    /// A span of this service, or a proxy's span of a call to it.
    pub service: Option<Box<str>>,
    /// A span of this name.
    pub operation: Option<Box<str>>,
    /// The whole trace took at least so long, in nanoseconds.
    pub min_duration_ns: Option<u64>,
    /// The whole trace took at most so long, in nanoseconds.
    pub max_duration_ns: Option<u64>,
    /// At least one span failed.
    pub errors_only: bool,
    /// The trace began at this time or later.
    pub start: Option<Wall>,
    /// The trace began before this time.
    pub end: Option<Wall>,
    /// A span whose service, name, status message, values of attributes or names of events contain this
    /// text. Case matters.
    pub text: Option<Box<str>>,
    /// How many traces to answer with: [`Query::DEFAULT_LIMIT`] for zero, at most [`Query::MAX_LIMIT`].
    pub limit: usize,
    /// Where to go on: the token of the page before.
    pub page: Option<PageToken>,
}

impl Query {
    /// Traces on a page of which nobody said how many.
    pub const DEFAULT_LIMIT: usize = 20;
    /// Traces on the largest page.
    pub const MAX_LIMIT: usize = 1_000;
    /// Traces that are looked at for one page. A page that ends here has fewer traces than asked for,
    /// and a token to go on.
    pub const MAX_EXAMINED: usize = 50_000;
}

/// Traces, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What a list shows of each.
    pub traces: Vec<Summary>,
    /// The token of the next page, `None` where this was the last.
    pub next: Option<PageToken>,
}

/// A place in the order of traces. Its text is opaque to whoever it is given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageToken(Wall, TraceId);

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{}", self.0.0, self.1)
    }
}

impl FromStr for PageToken {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("page token", text, "a token that the page before ended with");
        if text.len() != 48 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let start = u64::from_str_radix(&text[..16], 16).map_err(|_| invalid())?;
        Ok(Self(Wall(start), text[16..].parse().map_err(|_| invalid())?))
    }
}

/// How many traces are looked at in one go. Between two goes whoever wants to add spans gets his turn, so
/// that a search for something that is nowhere holds nobody up.
const EXAMINED_AT_ONCE: usize = 500;

/// Looks for traces where `with_index` lets it look, in as many goes as it takes.
pub(crate) fn search(with_index: impl Fn(&dyn Fn(&Index) -> Part) -> Part, query: &Query) -> Page {
    let limit = match query.limit {
        0 => Query::DEFAULT_LIMIT,
        limit => limit.min(Query::MAX_LIMIT),
    };
    let mut page = Page { traces: Vec::new(), next: query.page };
    let mut examined = 0;
    loop {
        let (room, from) = (limit - page.traces.len(), page.next);
        let part = with_index(&|index| search_part(index, query, from, room));
        examined += EXAMINED_AT_ONCE;
        page.traces.extend(part.traces);
        page.next = part.next;
        if page.next.is_none() || page.traces.len() == limit || examined >= Query::MAX_EXAMINED {
            return page;
        }
    }
}

/// What was found in one go, and where to go on.
pub(crate) type Part = Page;

fn search_part(index: &Index, query: &Query, from: Option<PageToken>, room: usize) -> Part {
    let mut part = Part { traces: Vec::new(), next: None };
    let Some(candidates) = candidates(index, query) else { return part };
    let mut last = None;
    for (examined, (start, id)) in before(candidates, from, query.end).enumerate() {
        if query.start.is_some_and(|first| *start < first) {
            return part;
        }
        if part.traces.len() == room || examined == EXAMINED_AT_ONCE {
            part.next = last;
            return part;
        }
        last = Some(PageToken(*start, *id));
        let found = index.trace(*id).filter(|entry| matches(entry, query));
        let trace = found.and_then(|entry| Trace::assemble(entry.spans().cloned()));
        part.traces.extend(trace.map(|trace| trace.summary()));
    }
    part
}

/// The smallest sorted set that holds all traces that could match.
fn candidates<'a>(index: &'a Index, query: &'a Query) -> Option<&'a ByStart> {
    let Some(service) = &query.service else { return Some(index.by_start()) };
    let mut named = index.services_named(query.namespace.as_deref(), service);
    match (named.next(), named.next()) {
        (None, _) => None,
        (only, None) => only,
        // The same name in several namespaces: rare, so it is looked for among all.
        _ => Some(index.by_start()),
    }
}

/// From the newest one that may still be shown, backwards.
fn before(
    candidates: &ByStart,
    page: Option<PageToken>,
    end: Option<Wall>,
) -> impl Iterator<Item = &(Wall, TraceId)> {
    let page = page.map(|PageToken(start, id)| (start, id));
    // No id is smaller than one, so this excludes every trace that began at `end`.
    let end = end.and_then(|end| Some((end, TraceId::new(1)?)));
    let bound = match (page, end) {
        (Some(page), Some(end)) => Some(page.min(end)),
        (page, end) => page.or(end),
    };
    match bound {
        Some(bound) => candidates.range(..bound).rev(),
        None => candidates.range(..).rev(),
    }
}

fn matches(entry: &Entry, query: &Query) -> bool {
    let duration = entry.end.0.saturating_sub(entry.start.0);
    let service = |key: &crate::ServiceKey| {
        query.namespace.as_ref().is_none_or(|namespace| key.namespace == *namespace)
            && query.service.as_ref().is_none_or(|service| key.service == *service)
    };
    query.min_duration_ns.is_none_or(|least| duration >= least)
        && query.max_duration_ns.is_none_or(|most| duration <= most)
        && (!query.errors_only || entry.errors > 0)
        && entry.services().any(service)
        && query
            .operation
            .as_ref()
            .is_none_or(|name| entry.spans().any(|span| is_operation(span, name, query)))
        && query.text.as_ref().is_none_or(|text| entry.spans().any(|span| contains(span, text)))
}

fn is_operation(span: &Span, name: &str, query: &Query) -> bool {
    span.name.as_ref() == name
        && span.concerns().any(|(namespace, service)| {
            query.service.as_deref().is_none_or(|of| of == service)
                && query.namespace.as_deref().is_none_or(|of| of == namespace)
        })
}

fn contains(span: &Span, text: &str) -> bool {
    span.name.contains(text)
        || span.service().contains(text)
        || span.status.message.contains(text)
        || span.attributes.iter().any(|(_, value)| value.contains(text))
        || span.events.iter().any(|event| event.name.contains(text))
}

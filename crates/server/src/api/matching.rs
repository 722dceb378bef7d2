//! A search by the query language. What the store knows by itself narrows it down, and of what is left the spans
//! are looked at, trace by trace, so many at a time.

use std::sync::Arc;

use storage_spans::{AttributeCondition, Page, PageToken, Query, Spans};
use traces::{
    Span,
    query::{Comparison, Expression, Key, Number, Owner, Term, Test},
};

/// Traces whose spans are looked at for one page, some 0.1 ms each in memory and more on disk. A page that ends
/// here has fewer traces than asked for, and a token to go on.
const EXAMINED: usize = 2_000;
/// How many are asked of the store at once.
const AT_ONCE: usize = 100;

/// Traces with a span of which the expression holds, among those that `may_see` lets be seen; newest first.
pub(super) fn search(
    spans: &Spans,
    mut query: Query,
    expression: &Expression,
    may_see: impl Fn(&Span) -> bool,
) -> Page {
    let limit = query.limit;
    narrow(&mut query, expression);
    if matches!(expression, Expression::Text(_)) {
        return spans.search(&query);
    }
    let holds = |span: &Arc<Span>| may_see(span) && expression.holds(&**span);
    let (mut page, mut examined) = (Page::default(), 0);
    query.limit = AT_ONCE;
    loop {
        let found = spans.search(&query);
        page.unreadable = page.unreadable.max(found.unreadable);
        for summary in found.traces {
            examined += 1;
            let place = PageToken::after(&summary);
            if spans.trace(summary.trace_id).is_some_and(|spans| spans.iter().any(holds)) {
                page.traces.push(summary);
            }
            if page.traces.len() >= limit || examined >= EXAMINED {
                page.next = Some(place);
                return page;
            }
        }
        query.page = found.next;
        if query.page.is_none() {
            return page;
        }
    }
}

/// Has the store leave out what the expression cannot hold of.
fn narrow(query: &mut Query, expression: &Expression) {
    let parts = match expression {
        Expression::All(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    for part in parts {
        if let Expression::Text(text) = part
            && query.text.is_none()
        {
            query.text = Some(text.clone());
        }
    }
    // A place that was asked for elsewhere may be that of another span.
    let place_is_free = query.namespace.is_none() && query.service.is_none() && query.operation.is_none();
    for Term { key, test } in expression.necessary() {
        match (key, test) {
            (Key::Service, Test::Compare(Comparison::Equal, service)) if place_is_free => {
                query.service = Some(service.text.clone());
            }
            (Key::Operation, Test::Compare(Comparison::Equal, operation)) if place_is_free => {
                query.operation = Some(operation.text.clone());
            }
            (Key::Error, Test::Compare(Comparison::Equal, truth)) if &*truth.text == "true" => {
                query.errors_only = true;
            }
            // A trace takes at least as long as each of its spans.
            (Key::Duration, Test::Compare(Comparison::Greater | Comparison::GreaterOrEqual, least)) => {
                if let Some(Number::Int(nanos)) = least.number {
                    let least = query.min_duration_ns.unwrap_or(0).max(u64::try_from(nanos).unwrap_or(0));
                    query.min_duration_ns = Some(least);
                }
            }
            (Key::Attribute { of: Owner::Span, name }, _) => {
                query.attributes.push(AttributeCondition { key: name.clone(), value: None });
            }
            _ => {}
        }
    }
}

//! Traces for consumers that are not ours: what the query APIs of the dialects share.
//!
//! They have conditions on spans where our own has conditions on traces: service, operation, tags and duration
//! belong together. So the store gives the traces that may be meant, newest first, and each is looked through.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::extract::Query as Asked;
use identity::{Namespace, TraceId, Wall};
use storage_catalog::Scope;
use storage_spans::{AttributeCondition, AttributeKey, Query};
use traces::{Span, graph::NodeKind};
use wire::native::problem::{Code, Problem};

use crate::{access::Principal, clock, pins, problems, state::State};

/// Traces that are looked through for one answer: some seconds of work.
const EXAMINED: usize = 20_000;
/// Traces whose values of an attribute are listed: some 0.1 ms each.
const VALUES_FROM: usize = 500;
/// Values of a list …
const MAX_VALUES: usize = 1_000;
/// … and bytes of the longest of them: what is longer is nothing to choose from.
const MAX_VALUE: usize = 512;
/// How far back an answer looks where nobody says.
const DAY_NS: u64 = 86_400_000_000_000;

/// The parameters of a request, in order. Some may be given more than once.
#[derive(Debug, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Parameters(Vec<(String, String)>);

/// How a handler is given them.
pub(crate) type Given = Asked<Parameters>;

impl Parameters {
    /// All values of a parameter that are not empty.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(key, value)| key == name && !value.is_empty());
        named.map(|(_, value)| value.as_str())
    }

    /// The first of them.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// A parameter without which there is no answer.
    pub(crate) fn needed(&self, name: &'static str) -> Result<String, Problem> {
        let missing =
            || Problem::new(Code::MissingField, format!("the parameter {name} is missing")).at(name);
        self.one(name).map(str::to_owned).ok_or_else(missing)
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &'static str) -> Result<Option<u64>, Problem> {
        self.one(name).map(|text| text.parse().map_err(|_| bad(name, "a whole number"))).transpose()
    }

    /// How many are asked for, at least one.
    pub(crate) fn limit(&self, usual: usize, most: usize) -> Result<usize, Problem> {
        let given = self.number("limit")?;
        Ok(given.map_or(usual, |limit| usize::try_from(limit).unwrap_or(most)).clamp(1, most))
    }

    /// The time range that ends at `endTs` and is `lookback` long, both in milliseconds; the last day where
    /// nothing is said.
    pub(crate) fn range(&self) -> Result<(Wall, Wall), Problem> {
        let nanos = |name| Ok::<_, Problem>(self.number(name)?.map(|ms| ms.saturating_mul(1_000_000)));
        let end = nanos("endTs")?.map_or_else(|| clock::now().wall, Wall);
        let lookback = nanos("lookback")?.unwrap_or(DAY_NS);
        Ok((Wall(end.0.saturating_sub(lookback)), end))
    }
}

/// A parameter that breaks its rule.
pub(crate) fn bad(name: &'static str, rule: &str) -> Problem {
    Problem::new(Code::InvalidValue, format!("{name} is not valid: {rule}")).at(name)
}

/// The id of a trace, in any spelling.
pub(crate) fn id(text: &str) -> Result<TraceId, Problem> {
    traces::spelling::trace_id(text).map_err(|error| problems::invalid(&error))
}

pub(crate) fn no_such_trace(id: TraceId) -> Problem {
    Problem::new(Code::NoSuchTrace, format!("there is no trace {id}, or not any more"))
}

fn may_read(caller: &Principal, namespace: &str) -> bool {
    let namespace = namespace.parse::<Namespace>().ok();
    caller.require(Scope::Read, namespace.as_ref()).is_ok()
}

/// The names of all services, in all namespaces that the caller may read.
pub(crate) fn services(state: &State, caller: &Principal) -> BTreeSet<String> {
    let services = state.spans.services().into_iter();
    services.filter(|key| may_read(caller, &key.namespace)).map(|key| key.service.to_string()).collect()
}

/// The names of the operations of a service, in all namespaces that the caller may read.
pub(crate) fn operations(state: &State, caller: &Principal, service: &str) -> BTreeSet<String> {
    let keys = state.spans.services().into_iter();
    let keys = keys.filter(|key| *key.service == *service && may_read(caller, &key.namespace));
    keys.flat_map(|key| state.spans.operations(&key.namespace, service))
        .map(|operation| operation.name.to_string())
        .collect()
}

/// The spans of a trace that the caller may read; none where there is no such trace.
pub(crate) fn shown(state: &State, caller: &Principal, id: TraceId) -> Vec<Arc<Span>> {
    let mut spans = pins::spans(state, id);
    spans.retain(|span| may_read(caller, span.resource.namespace()));
    spans
}

/// The newest traces of which `holds` is true, of those that the store finds by `query`.
pub(crate) fn found(
    state: &State,
    caller: &Principal,
    mut query: Query,
    limit: usize,
    holds: impl Fn(&[Arc<Span>]) -> bool,
) -> Vec<Vec<Arc<Span>>> {
    let (mut found, mut examined) = (Vec::new(), 0);
    query.limit = Query::MAX_LIMIT.min(4 * limit);
    loop {
        let page = state.spans.search(&query);
        examined += page.traces.len().max(1);
        for summary in page.traces {
            let spans = shown(state, caller, summary.trace_id);
            if !spans.is_empty() && holds(&spans) {
                found.push(spans);
            }
            if found.len() == limit {
                return found;
            }
        }
        query.page = page.next;
        if query.page.is_none() || examined >= EXAMINED {
            return found;
        }
    }
}

/// The keys of the attributes of spans.
pub(crate) fn keys(state: &State, caller: &Principal) -> Result<Vec<AttributeKey>, Problem> {
    caller.require(Scope::Read, None)?;
    Ok(state.spans.attribute_keys())
}

/// The values of an attribute, as texts, and how often each was seen, in the newest traces with the key that
/// `query` finds. A rare value of a frequent key may be missing.
pub(crate) fn values(
    state: &State,
    caller: &Principal,
    mut query: Query,
    key: &str,
) -> BTreeMap<String, u64> {
    query.attributes.push(AttributeCondition { key: key.into(), value: None });
    let mut values = BTreeMap::new();
    for spans in found(state, caller, query, VALUES_FROM, |_| true) {
        for value in spans.iter().filter_map(|span| span.attributes.get(key)) {
            let text = value.to_string();
            if text.len() <= MAX_VALUE && (values.len() < MAX_VALUES || values.contains_key(&text)) {
                *values.entry(text).or_default() += 1;
            }
        }
    }
    values
}

/// By caller and callee: calls, and how many of them failed.
pub(crate) type Calls = BTreeMap<(String, String), (u64, u64)>;

/// The calls between services.
pub(crate) fn dependencies(
    state: &State,
    caller: &Principal,
    parameters: &Parameters,
) -> Result<Calls, Problem> {
    caller.require(Scope::Read, None)?;
    let (start, end) = parameters.range()?;
    let mut calls = Calls::new();
    for edge in state.graph.view(start, end, None, clock::now().wall).edges {
        let (from, to) = (&edge.key.from, &edge.key.to);
        if from.kind == NodeKind::Service && to.kind == NodeKind::Service {
            let sums: &mut (u64, u64) =
                calls.entry((from.name.to_string(), to.name.to_string())).or_default();
            sums.0 += edge.figures.calls;
            sums.1 += edge.figures.errors;
        }
    }
    Ok(calls)
}

//! A graph of services as the API shows it.

use std::collections::{BTreeMap, BTreeSet};

use monitoring::RedRow;
use traces::graph::{Edge, Figures, Losses, Node, NodeKind};
use wire::native::api;

/// Whose names are short, and over how long a time rates are.
pub(crate) struct Frame<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) seconds: f64,
}

/// What proxies counted.
#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) services: Vec<RedRow>,
    pub(crate) edges: Vec<RedRow>,
}

/// Nodes and edges of spans with what proxies counted. An edge that only proxies counted is drawn where spans
/// know no call through a proxy to that service; where they do, they know better who called.
pub(crate) fn graph(
    frame: &Frame<'_>,
    edges: &[Edge],
    counted: &Counted,
) -> (Vec<api::GraphNode>, Vec<api::GraphEdge>) {
    let mut nodes: BTreeMap<String, api::GraphNode> = BTreeMap::new();
    let mut drawn: BTreeMap<(String, String, &str), api::GraphEdge> = BTreeMap::new();
    for Edge { key, figures } in edges {
        let (from, to) = (node(frame, &key.from), node(frame, &key.to));
        let edge = edge(frame, &from.id, &to.id, key.kind.as_str(), figures);
        drawn.insert((from.id.clone(), to.id.clone(), key.kind.as_str()), edge);
        nodes.extend([from, to].map(|node| (node.id.clone(), node)));
    }
    let service = |row: &RedRow, name: &str| {
        let (namespace, name) = (&*row.namespace, name);
        node(frame, &Node { kind: NodeKind::Service, namespace: namespace.into(), name: name.into() })
    };
    let known: BTreeSet<String> =
        drawn.values().filter(|edge| edge.proxied > 0).map(|edge| edge.to.clone()).collect();
    for row in &counted.edges {
        let (from, to) =
            (service(row, row.caller.as_deref().unwrap_or_default()), service(row, &row.service));
        let place = (from.id.clone(), to.id.clone(), "call");
        if known.contains(&to.id) && !drawn.contains_key(&place) {
            continue;
        }
        let none = || edge(frame, &from.id, &to.id, "call", &Figures::default());
        drawn.entry(place).or_insert_with(none).proxies = Some(super::red(row));
        for node in [from, to] {
            nodes.entry(node.id.clone()).or_insert(node);
        }
    }
    for row in &counted.services {
        if let Some(node) = nodes.get_mut(&service(row, &row.service).id) {
            node.proxies = Some(super::red(row));
        }
    }
    (nodes.into_values().collect(), drawn.into_values().collect())
}

fn node(frame: &Frame<'_>, node: &Node) -> api::GraphNode {
    let is_service = node.kind == NodeKind::Service;
    let id = match node.kind {
        NodeKind::Service if *node.namespace == *frame.namespace => node.name.to_string(),
        NodeKind::Service => format!("{}/{}", node.namespace, node.name),
        kind if node.name.is_empty() => kind.as_str().to_owned() + ":",
        kind => format!("{}:{}", kind.as_str(), node.name),
    };
    api::GraphNode {
        id,
        kind: node.kind.as_str().to_owned(),
        namespace: is_service.then(|| node.namespace.to_string()),
        name: node.name.to_string(),
        proxies: None,
    }
}

fn edge(frame: &Frame<'_>, from: &str, to: &str, kind: &str, figures: &Figures) -> api::GraphEdge {
    let durations = &figures.durations;
    let quantile = |q| durations.quantile(q).unwrap_or(0);
    api::GraphEdge {
        from: from.to_owned(),
        to: to.to_owned(),
        kind: kind.to_owned(),
        calls: figures.calls,
        errors: figures.errors,
        unpaired: figures.unpaired,
        proxied: figures.proxied,
        sampled: figures.sampled,
        left_out: figures.left_out,
        rate_per_second: figures.calls as f64 / frame.seconds,
        error_ratio: figures.errors as f64 / figures.calls.max(1) as f64,
        mean_ns: durations.mean_ns().unwrap_or(0),
        p50_ns: quantile(0.50),
        p90_ns: quantile(0.90),
        p99_ns: quantile(0.99),
        max_ns: durations.max_ns(),
        proxies: None,
    }
}

/// What did not fit.
pub(crate) fn losses(losses: Losses) -> api::GraphLosses {
    let Losses { hurried, crowded, late, forgotten } = losses;
    api::GraphLosses { hurried, crowded, late, forgotten }
}

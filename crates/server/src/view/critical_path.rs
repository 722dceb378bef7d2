//! A critical path as the API shows it.

use std::cmp::Reverse;

use traces::{CriticalPath, Doer, Node, Part, Share, Trace};
use wire::native::api;

/// The path, what took how long, and what it rests on.
pub(crate) fn critical_path(trace: &Trace, path: &CriticalPath) -> api::CriticalPath {
    let others = trace.roots().iter().filter(|at| **at != path.root);
    let operation = |(doer, share): &(Doer<'_>, Share)| api::OperationTime {
        operation: doer.operation.to_owned(),
        time: time(doer, share),
    };
    api::CriticalPath {
        trace_id: trace.id().to_string(),
        root: name(&trace.nodes()[path.root]),
        other_roots: others.map(|at| name(&trace.nodes()[*at])).collect(),
        incomplete: path.incomplete,
        start: path.start.to_string(),
        duration_ns: path.duration_ns,
        makespan_ns: path.makespan_ns,
        wire_ns: path.wire_ns,
        wire_assumed_ns: path.wire_assumed_ns,
        services: longest_first(path.services(trace)).iter().map(|(doer, share)| time(doer, share)).collect(),
        operations: longest_first(path.operations(trace)).iter().map(operation).collect(),
        segments: path.segments.iter().map(|of| segment(trace, of)).collect(),
        skew: skew(trace, path).collect(),
        asynchronous: asynchronous(trace, path).collect(),
    }
}

fn longest_first<'a>(shares: impl IntoIterator<Item = (Doer<'a>, Share)>) -> Vec<(Doer<'a>, Share)> {
    let mut shares: Vec<_> = shares.into_iter().collect();
    shares.sort_by_key(|(doer, share)| (Reverse(share.critical_ns), *doer));
    shares
}

fn time(doer: &Doer<'_>, share: &Share) -> api::ServiceTime {
    api::ServiceTime {
        namespace: doer.namespace.to_owned(),
        service: doer.service.to_owned(),
        critical_ns: share.critical_ns,
        wire_ns: share.wire_ns,
        self_ns: share.self_ns,
        total_ns: share.total_ns,
        spans: share.spans,
        errors: share.errors,
    }
}

fn name(node: &Node) -> api::SpanName {
    api::SpanName {
        span_id: node.span.span_id.to_string(),
        service: node.span.service().to_owned(),
        operation: node.span.name.to_string(),
    }
}

fn segment(trace: &Trace, segment: &traces::Segment) -> api::PathSegment {
    let doer = traces::doer(trace, segment.node);
    api::PathSegment {
        span_id: trace.nodes()[segment.node].span.span_id.to_string(),
        service: doer.service.to_owned(),
        operation: doer.operation.to_owned(),
        offset_ns: segment.offset_ns,
        duration_ns: segment.duration_ns,
        wire: segment.wire,
    }
}

fn skew<'a>(trace: &'a Trace, path: &'a CriticalPath) -> impl Iterator<Item = api::Skew> + 'a {
    let spans = trace.nodes().iter().zip(&path.spans);
    spans.filter(|(_, time)| time.delta_ns != 0 || time.beyond).map(|(node, time)| api::Skew {
        span_id: node.span.span_id.to_string(),
        service: node.span.service().to_owned(),
        delta_ns: time.delta_ns,
        beyond: time.beyond,
    })
}

/// The spans with which asynchronous work begins; what belongs to it is not told again.
fn asynchronous<'a>(
    trace: &'a Trace,
    path: &'a CriticalPath,
) -> impl Iterator<Item = api::AsynchronousWork> + 'a {
    let reason = |at: usize| match path.spans[at].part {
        Part::Asynchronous(reason) => Some(reason),
        Part::Root | Part::Waited | Part::Outside => None,
    };
    trace.nodes().iter().enumerate().filter_map(move |(at, node)| {
        let why = reason(at)?;
        if node.parent.is_some_and(|parent| reason(parent).is_some()) {
            return None;
        }
        let begin = i128::from(node.span.start.0) + i128::from(path.spans[at].delta_ns);
        let offset = begin - i128::from(path.start.0);
        let api::SpanName { span_id, service, operation } = name(node);
        Some(api::AsynchronousWork {
            span_id,
            service,
            operation,
            reason: why.as_str().to_owned(),
            offset_ns: i64::try_from(offset).unwrap_or(i64::MAX),
            duration_ns: node.span.duration_ns,
        })
    })
}

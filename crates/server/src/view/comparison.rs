//! A comparison as the API shows it.

use traces::compare::{Change, Comparison, Of};
use wire::native::api;

/// The comparison; whether each set has more traces than were looked at.
pub(crate) fn comparison(comparison: &Comparison, more: (bool, bool)) -> api::Comparison {
    let set = |traces, more, errors, mean_ns| api::ComparedSet { traces, more, errors, mean_ns };
    let Comparison { traces, errors, before_ns, after_ns, changes } = comparison;
    api::Comparison {
        before: set(traces.0, more.0, errors.0, *before_ns),
        after: set(traces.1, more.1, errors.1, *after_ns),
        difference_ns: after_ns.cast_signed().wrapping_sub_unsigned(*before_ns),
        changes: changes.iter().map(change).collect(),
    }
}

fn change(change: &Change) -> api::ComparedChange {
    let (of, name) = match &change.of {
        Of::Operation { namespace, service, operation } => {
            ("operation", Some([namespace, service, operation]))
        }
        Of::Wire => ("wire", None),
    };
    let part = |at: usize| name.map(|name| name[at].to_string());
    api::ComparedChange {
        of: of.to_owned(),
        namespace: part(0),
        service: part(1),
        operation: part(2),
        before_ns: change.before_ns,
        after_ns: change.after_ns,
        difference_ns: change.difference_ns(),
        uncertainty_ns: change.uncertainty_ns,
        before_traces: change.traces.0,
        after_traces: change.traces.1,
        before_example: change.examples.0.map(|id| id.to_string()),
        after_example: change.examples.1.map(|id| id.to_string()),
    }
}

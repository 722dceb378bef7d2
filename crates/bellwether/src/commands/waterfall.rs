//! A trace in the terminal: one line for each span, its bar where and as long as it ran.

use std::collections::HashMap;

use wire::native::api;

use super::figures;
use crate::output::{Style, Table, strip};

/// The width of the time line. With the columns beside it, a line fits into 120.
const WIDTH: u64 = 40;

/// Deeper spans are not indented any further.
const DEPTH: usize = 16;

/// The whole trace.
pub(super) fn text(trace: &api::Trace) -> String {
    let style = Style::of_stdout();
    let depths = depths(&trace.spans);
    let mut table = Table::new(&["service", "kind", "operation", "start", "duration", "timeline"]);
    for (span, depth) in trace.spans.iter().zip(depths) {
        let failed = span.status.code == "error";
        table.row([
            format!("{}{}", "· ".repeat(depth.min(DEPTH)), span.service),
            span.kind.clone(),
            format!("{}{}", span.operation, if failed { " ✗" } else { "" }),
            figures::nanos(span.offset_ns),
            figures::nanos(span.duration_ns),
            bar(span.offset_ns, span.duration_ns, trace.duration_ns),
        ]);
    }
    let missing = if trace.incomplete { ", incomplete: parents are missing" } else { "" };
    let title = format!(
        "{} {} in {} spans, {}{missing}",
        strip(&trace.trace_id),
        figures::time(&trace.start),
        trace.spans.len(),
        figures::nanos(trace.duration_ns),
    );
    format!("{}\n{}", style.strong(&title), table.text("no spans"))
}

/// How many ancestors each span has. Parents stand before their children.
fn depths(spans: &[api::Span]) -> Vec<usize> {
    let mut known: HashMap<&str, usize> = HashMap::with_capacity(spans.len());
    let mut depths = Vec::with_capacity(spans.len());
    for span in spans {
        let parent = span.parent_span_id.as_deref().and_then(|parent| known.get(parent));
        let depth = parent.map_or(0, |depth| depth + 1);
        known.insert(&span.span_id, depth);
        depths.push(depth);
    }
    depths
}

/// A bar of at least one character within the line.
fn bar(offset: u64, duration: u64, whole: u64) -> String {
    let scale = |nanos: u64| {
        let cells = u128::from(nanos) * u128::from(WIDTH) / u128::from(whole.max(1));
        usize::try_from(cells.min(u128::from(WIDTH))).unwrap_or(0)
    };
    let width = usize::try_from(WIDTH).unwrap_or(0);
    let from = scale(offset).min(width - 1);
    let to = scale(offset.saturating_add(duration)).clamp(from + 1, width);
    format!("{}{}{}", "·".repeat(from), "━".repeat(to - from), "·".repeat(width - to))
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, bar};

    #[test]
    fn a_bar_is_never_empty_and_never_leaves_the_line() {
        for (offset, duration, whole) in
            [(0, 0, 0), (0, 10, 10), (10, 0, 10), (99, 99, 10), (u64::MAX, u64::MAX, 1)]
        {
            let bar = bar(offset, duration, whole);
            assert!(bar.contains('━'), "{bar}");
            assert_eq!(bar.chars().count() as u64, WIDTH);
        }
    }
}

//! A trace in the terminal: a line for each span, its bar where and as long as it ran, and on the bar the
//! pieces for which everything else waited.
//!
//! The marks differ by shape, so that they are told apart without colour: `█` is the critical path, `▒` the
//! part of it between caller and callee, `─` a span that nobody waited for at that moment, `┄` work that
//! nobody waited for at all.

use std::collections::HashMap;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
use wire::native::api;

use super::figures;
use crate::output::{Style, Table, strip};

/// Narrower terminals are written as if they were so wide, and wrap.
const NARROWEST: usize = 40;
/// In terminals narrower than this there is no column of critical times; the bar shows them.
const NARROW: usize = 72;
/// Columns of a duration with the space before it.
const FIGURE: usize = 9;

/// What is drawn, and how.
#[derive(Debug)]
pub(super) struct Waterfall<'a> {
    pub(super) trace: &'a api::Trace,
    pub(super) path: &'a api::CriticalPath,
    /// Columns of the terminal.
    pub(super) width: usize,
    pub(super) style: Style,
    /// Whether only the spans on the critical path are drawn.
    pub(super) critical_only: bool,
}

/// The time that the picture shows, and the columns for it.
#[derive(Debug, Clone, Copy)]
struct Scale {
    begin: i128,
    end: i128,
    columns: usize,
}

/// A span as it is drawn. Times are since the trace's start.
#[derive(Debug)]
struct Row<'a> {
    span: &'a api::Span,
    begin: i128,
    end: i128,
    critical_ns: u64,
    /// Its pieces of the path; wire or not.
    pieces: Vec<(i128, i128, bool)>,
    asynchronous: bool,
}

impl Waterfall<'_> {
    /// The picture: what it is, the spans, and what each service took.
    pub(super) fn text(&self) -> String {
        let width = self.width.max(NARROWEST);
        let rows = self.rows();
        let begin = rows.iter().map(|row| row.begin).min().unwrap_or(0);
        let end = rows.iter().map(|row| row.end).max().unwrap_or(0);
        let figures = if width < NARROW { FIGURE } else { 2 * FIGURE };
        let columns = ((width - figures) * 2 / 5).clamp(12, 60);
        let label = width - figures - columns - 1;
        let scale = Scale { begin, end, columns };

        let mut text = self.title();
        text.push_str(&self.header(label, &scale, width));
        for (row, guide) in rows.iter().zip(guides(&rows, label / 2)) {
            text.push_str(&self.line(row, &guide, label, &scale, width));
        }
        text.push('\n');
        text.push_str(&self.services(width));
        text
    }

    fn title(&self) -> String {
        let trace = self.trace;
        let errors = trace.spans.iter().filter(|span| span.status.code == "error").count();
        let mut about = format!(
            "{}, {}, {}",
            figures::time(&trace.start),
            counted(trace.spans.len(), "span"),
            figures::nanos(self.path.duration_ns),
        );
        if self.path.makespan_ns > self.path.duration_ns {
            about.push_str(&format!(", {} with asynchronous work", figures::nanos(self.path.makespan_ns)));
        }
        let mut text = format!("{}\n{about}\n", self.style.strong(&strip(&trace.trace_id)));
        if errors > 0 {
            text.push_str(&format!("{}\n", self.style.bad(&format!("✗ {} failed", counted(errors, "span")))));
        }
        if trace.incomplete {
            text.push_str("incomplete: parents are missing, so this may be a part of the call\n");
        }
        if let Some(one_in) = trace.kept_one_in {
            text.push_str(&format!("sampled: its senders kept one in {} traces\n", figures::one_in(one_in)));
        }
        let furthest = self.path.skew.iter().max_by_key(|skew| skew.delta_ns.unsigned_abs());
        if let Some(skew) = furthest.filter(|skew| skew.delta_ns != 0) {
            text.push_str(&format!(
                "clocks disagree: {} moved, at most by {} ({})\n",
                counted(self.path.skew.iter().filter(|skew| skew.delta_ns != 0).count(), "span"),
                figures::signed_nanos(skew.delta_ns),
                strip(&skew.service),
            ));
        }
        text
    }

    fn header(&self, label: usize, scale: &Scale, width: usize) -> String {
        let critical = if width < NARROW { String::new() } else { format!("{:>FIGURE$}", "CRITICAL") };
        let whole = figures::nanos(u64::try_from(scale.end - scale.begin).unwrap_or(u64::MAX));
        let axis = format!("0{whole:>width$}", width = scale.columns - 1);
        let line = format!("{}{:>FIGURE$}{critical} {axis}", fitted("SPAN", label), "DURATION");
        format!("{}\n", self.style.faint(&line))
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let ids = |id: &api::SpanName| self.trace.spans.iter().find(|span| span.span_id == id.span_id);
        let base = ids(&self.path.root).map_or(0, |root| i128::from(root.offset_ns));
        let mut pieces: HashMap<&str, Vec<(i128, i128, bool)>> = HashMap::new();
        for segment in &self.path.segments {
            let begin = base + i128::from(segment.offset_ns);
            let piece = (begin, begin + i128::from(segment.duration_ns), segment.wire);
            pieces.entry(&segment.span_id).or_default().push(piece);
        }
        let skew: HashMap<&str, i64> =
            self.path.skew.iter().map(|skew| (skew.span_id.as_str(), skew.delta_ns)).collect();
        let apart: HashMap<&str, ()> =
            self.path.asynchronous.iter().map(|work| (work.span_id.as_str(), ())).collect();

        let mut within: Option<u64> = None;
        let mut rows = Vec::with_capacity(self.trace.spans.len());
        for span in &self.trace.spans {
            within = within.filter(|depth| span.depth > *depth);
            if within.is_none() && apart.contains_key(span.span_id.as_str()) {
                within = Some(span.depth);
            }
            let delta = skew.get(span.span_id.as_str()).copied().unwrap_or(0);
            let begin = i128::from(span.offset_ns) + i128::from(delta);
            let pieces = pieces.get(span.span_id.as_str()).cloned().unwrap_or_default();
            if self.critical_only && pieces.is_empty() {
                continue;
            }
            rows.push(Row {
                span,
                begin,
                end: begin + i128::from(span.duration_ns),
                critical_ns: pieces
                    .iter()
                    .map(|(begin, end, _)| u64::try_from(end - begin).unwrap_or(0))
                    .sum(),
                pieces,
                asynchronous: within.is_some(),
            });
        }
        rows
    }

    fn line(&self, row: &Row<'_>, guide: &str, label: usize, scale: &Scale, width: usize) -> String {
        let failed = row.span.status.code == "error";
        let mark = if failed { " ✗" } else { "" };
        let room = label.saturating_sub(guide.width() + mark.width());
        let name = format!("{}  {}", strip(&row.span.service), strip(&row.span.operation));
        let name = if room == 0 { String::new() } else { cut(&name, room) };
        let shown = fitted(&format!("{guide}{name}{mark}"), label);
        let shown = if failed { self.style.bad(&shown) } else { shown };
        let critical = match row.critical_ns {
            _ if width < NARROW => String::new(),
            0 => format!("{:>FIGURE$}", "·"),
            nanos => format!("{:>FIGURE$}", figures::nanos(nanos)),
        };
        let duration = figures::nanos(row.span.duration_ns);
        format!("{shown}{duration:>FIGURE$}{critical} {}\n", self.bar(row, scale).trim_end())
    }

    /// The bar, of at least one character.
    fn bar(&self, row: &Row<'_>, scale: &Scale) -> String {
        let mut cells = vec![' '; scale.columns];
        let mut draw = |begin, end, with: char| {
            let (from, to) = scale.cells(begin, end);
            // What is shorter than a column must not hide what was drawn there for good.
            cells[from..to].iter_mut().filter(|cell| rank(**cell) < rank(with)).for_each(|cell| *cell = with);
        };
        draw(row.begin, row.end, if row.asynchronous { '┄' } else { '─' });
        for (begin, end, wire) in &row.pieces {
            draw(*begin, *end, if *wire { '▒' } else { '█' });
        }
        let text: String = cells.into_iter().collect();
        if row.pieces.is_empty() { self.style.faint(&text) } else { text }
    }

    /// What each service took, and that it adds up.
    fn services(&self, width: usize) -> String {
        let whole = self.path.duration_ns;
        let share = |nanos: u64| figures::percent(nanos as f64 / whole.max(1) as f64);
        let roomy = width >= NARROW;
        let mut table = if roomy {
            Table::new(&["service", "critical", "share", "self", "total", "spans"])
        } else {
            Table::new(&["service", "critical", "share"])
        };
        let mut row = |name: &str, critical: u64, rest: [String; 3]| {
            let [own, total, spans] = rest;
            let (name, critical, share) = (name.to_owned(), figures::nanos(critical), share(critical));
            if roomy {
                table.row([name, critical, share, own, total, spans]);
            } else {
                table.row([name, critical, share]);
            }
        };
        for of in &self.path.services {
            let rest = [figures::nanos(of.self_ns), figures::nanos(of.total_ns), of.spans.to_string()];
            row(&of.service, of.critical_ns, rest);
        }
        let none = || ["".to_owned(), "".to_owned(), "".to_owned()];
        if self.path.wire_ns > 0 {
            row("(wire)", self.path.wire_ns, none());
        }
        row("(sum)", whole, none());
        table.text("no services")
    }
}

impl Scale {
    /// The cells of a time; at least one, and never outside.
    fn cells(&self, begin: i128, end: i128) -> (usize, usize) {
        let whole = (self.end - self.begin).max(1);
        let columns = self.columns as i128;
        let cell = |time: i128, up: i128| {
            let cells = ((time - self.begin) * columns + up) / whole;
            usize::try_from(cells.clamp(0, columns)).unwrap_or(0)
        };
        let from = cell(begin, 0).min(self.columns - 1);
        (from, cell(end, whole - 1).max(from + 1))
    }
}

/// What covers what where several things share a column.
fn rank(cell: char) -> u8 {
    match cell {
        '█' => 3,
        '▒' => 2,
        '─' | '┄' => 1,
        _ => 0,
    }
}

/// For each row the lines that lead to it from its parent, at most so many columns wide.
fn guides(rows: &[Row<'_>], widest: usize) -> Vec<String> {
    let levels = (widest / 2).max(1);
    // Whether a level goes on below: looked at from the last row upwards.
    let mut goes_on: Vec<bool> = Vec::new();
    let mut guides = Vec::with_capacity(rows.len());
    for row in rows.iter().rev() {
        let depth = usize::try_from(row.span.depth).unwrap_or(usize::MAX);
        let shown = depth.min(levels);
        let mut guide = String::new();
        for level in 1..shown {
            guide.push_str(if goes_on.get(level) == Some(&true) { "│ " } else { "  " });
        }
        if depth > levels {
            guide.push_str("» ");
        } else if depth > 0 {
            guide.push_str(if goes_on.get(depth) == Some(&true) { "├ " } else { "└ " });
        }
        goes_on.resize(shown + 1, false);
        goes_on[shown] = true;
        guides.push(guide);
    }
    guides.reverse();
    guides
}

/// The text in exactly so many columns.
fn fitted(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let missing = columns.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(missing))
}

/// The text in at most so many columns, with an ellipsis where some of it is left out.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let (mut shown, mut used) = (String::new(), 1);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        shown.push(c);
    }
    shown + "…"
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;

//! `trace`: where the time went.

mod export;
mod pin;

use clap::{Args, Subcommand};
use identity::{ServiceName, TraceId};
use wire::native::{api, problem::Problem};

use super::{Page, Reading, figures, waterfall::Waterfall};
use crate::{
    client::Path,
    output::{self, Style, Table},
};

/// Traces of calls
#[derive(Debug, Subcommand)]
pub(crate) enum Trace {
    #[command(visible_alias = "list")]
    Search(Search),
    Show(Show),
    Compare(Compare),
    Export(export::Export),
    Pin(pin::Pin),
    Unpin(pin::Unpin),
}

/// Search traces, newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether trace search --service payments --min-duration 250ms")]
pub(crate) struct Search {
    /// Only traces with a span of which this holds, such as 'service=shop AND (duration>250ms OR error=true)'
    query: Option<String>,
    /// Only traces that this service took part in
    #[arg(long)]
    service: Option<ServiceName>,
    /// Only traces with this operation, such as "GET /"
    #[arg(long)]
    operation: Option<String>,
    /// Only traces that took at least so long
    #[arg(long, value_name = "DURATION")]
    min_duration: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 20)]
    limit: u32,
    #[command(flatten)]
    reading: Reading,
}

/// Show a trace as a waterfall, with the critical path marked
#[derive(Debug, Args)]
#[command(
    after_help = "Marks:\n  █ the call waited for this span    ▒ … for the way to what it called and back\n  ─ the call waited for another one  ┄ nobody waited\n\nExample:\n  bellwether trace show 0af7651916cd43dd8448eb211c80319c"
)]
pub(crate) struct Show {
    /// The trace's id, in any spelling
    #[arg(value_parser = traces::spelling::trace_id)]
    id: TraceId,
    /// Only the spans on the critical path: those that the call waited for
    #[arg(long)]
    critical: bool,
    #[command(flatten)]
    reading: Reading,
}

/// Compare two traces, or two sets of them: whose time has changed, and by how much
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether trace compare 0af7651916cd43dd8448eb211c80319c 4bf92f3577b34da6a3ce929d0e0e4736\n  bellwether trace compare --service payments --before-version 1.0 --after-version 1.1\n  bellwether trace compare --service payments --before-end 2026-01-31T09:30:00Z --after-start 2026-01-31T09:30:00Z"
)]
pub(crate) struct Compare {
    /// The trace to begin with, in any spelling
    #[arg(value_parser = traces::spelling::trace_id, requires = "after")]
    before: Option<TraceId>,
    /// The trace that it is compared with
    #[arg(value_parser = traces::spelling::trace_id, conflicts_with = "sets")]
    after: Option<TraceId>,
    #[command(flatten)]
    sets: Sets,
    #[command(flatten)]
    reading: Reading,
}

/// Which sets of traces
#[derive(Debug, Args)]
#[group(id = "sets", multiple = true)]
struct Sets {
    /// Of sets: only traces that this service took part in
    #[arg(long)]
    service: Option<ServiceName>,
    /// Only traces with this operation
    #[arg(long)]
    operation: Option<String>,
    /// Before: only traces with this version of the service
    #[arg(long, value_name = "VERSION")]
    before_version: Option<String>,
    /// After: only traces with this version of it
    #[arg(long, value_name = "VERSION")]
    after_version: Option<String>,
    /// Before: only traces that began at this time or later
    #[arg(long, value_name = "TIME")]
    before_start: Option<String>,
    /// Before: only traces that began before this time
    #[arg(long, value_name = "TIME")]
    before_end: Option<String>,
    /// After: only traces that began at this time or later
    #[arg(long, value_name = "TIME")]
    after_start: Option<String>,
    /// After: only traces that began before this time
    #[arg(long, value_name = "TIME")]
    after_end: Option<String>,
    /// How many traces of each set are looked at
    #[arg(long)]
    limit: Option<u32>,
}

impl Trace {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self {
            Self::Search(command) => command.run(),
            Self::Show(command) => command.run(),
            Self::Compare(command) => command.run(),
            Self::Export(command) => command.run(),
            Self::Pin(command) => command.run(),
            Self::Unpin(command) => command.run(),
        }
    }
}

impl Search {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let path = Path::v1()
                .segment("traces")
                .query("namespace", client.namespace().as_str())
                .maybe("service", self.service.as_ref())
                .maybe("operation", self.operation.as_deref())
                .maybe("min_duration", self.min_duration.as_deref())
                .maybe("q", self.query.as_deref())
                .query("limit", &self.limit.to_string());
            let answer = client.get(path).await?;
            Ok(Page::new(answer, "/traces", |traces: api::Traces| {
                let mut table = Table::new(&[
                    "trace",
                    "start",
                    "service",
                    "operation",
                    "duration",
                    "spans",
                    "errors",
                    "kept one in",
                ]);
                for trace in traces.traces {
                    table.row([
                        trace.trace_id,
                        figures::time(&trace.start),
                        trace.root.service,
                        trace.root.operation,
                        figures::nanos(trace.duration_ns),
                        trace.spans.to_string(),
                        trace.errors.to_string(),
                        trace.kept_one_in.map(figures::one_in).unwrap_or_default(),
                    ]);
                }
                table.text("no traces")
            }))
        })
    }
}

impl Show {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let trace = Path::v1().segment("traces").segment(&self.id.to_string());
            let path = client.get::<api::CriticalPath>(trace.clone().segment("critical-path")).await?.value;
            let answer = client.get(trace).await?;
            Ok(Page::new(answer, "/spans", |trace: api::Trace| {
                let (width, style) = (output::columns(), Style::of_stdout());
                let critical_only = self.critical;
                let waterfall = Waterfall { trace: &trace, path: &path, width, style, critical_only }.text();
                match &trace.pinned {
                    Some(pin) => format!("{}\n\n{waterfall}", pin::told(pin)),
                    None => waterfall,
                }
            }))
        })
    }
}

impl Compare {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let path = Path::v1().segment("traces").segment("compare");
            let path = match (self.before, self.after) {
                (Some(before), Some(after)) => {
                    path.query("before", &before.to_string()).query("after", &after.to_string())
                }
                _ => self.sets.of(path.query("namespace", client.namespace().as_str())),
            };
            let answer = client.get(path).await?;
            Ok(Page::new(answer, "/changes", |of: api::Comparison| comparison(&of)))
        })
    }
}

impl Sets {
    fn of(&self, path: Path) -> Path {
        path.maybe("service", self.service.as_ref())
            .maybe("operation", self.operation.as_deref())
            .maybe("before_version", self.before_version.as_deref())
            .maybe("after_version", self.after_version.as_deref())
            .maybe("before_start", self.before_start.as_deref())
            .maybe("before_end", self.before_end.as_deref())
            .maybe("after_start", self.after_start.as_deref())
            .maybe("after_end", self.after_end.as_deref())
            .maybe("limit", self.limit)
    }
}

/// The sets in words, and the changes in rows.
fn comparison(of: &api::Comparison) -> String {
    let set = |set: &api::ComparedSet| {
        let (number, mean) = (set.traces, figures::nanos(set.mean_ns));
        let more = if set.more { "the newest " } else { "" };
        format!("{mean} in {more}{number} trace{}, {} failed", if number == 1 { "" } else { "s" }, set.errors)
    };
    let mut table = Table::new(&["change", "before", "after", "service", "operation", "example"]);
    for change in &of.changes {
        let difference = figures::signed_nanos(change.difference_ns);
        let doubt = match change.uncertainty_ns {
            0 => String::new(),
            of => format!(" ±{}", figures::nanos(of)),
        };
        table.row([
            format!("{difference}{doubt}"),
            figures::nanos(change.before_ns),
            figures::nanos(change.after_ns),
            change.service.clone().unwrap_or_else(|| "(wire)".to_owned()),
            change.operation.clone().unwrap_or_default(),
            change.after_example.clone().or_else(|| change.before_example.clone()).unwrap_or_default(),
        ]);
    }
    let difference = figures::signed_nanos(of.difference_ns);
    format!(
        "before: {}\nafter:  {}, {difference}\n\n{}",
        set(&of.before),
        set(&of.after),
        table.text("no time on any path")
    )
}

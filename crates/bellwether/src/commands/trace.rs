//! `trace`: where the time went.

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
}

/// Search traces, newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether trace search --service payments --min-duration 250ms")]
pub(crate) struct Search {
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

impl Trace {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self {
            Self::Search(command) => command.run(),
            Self::Show(command) => command.run(),
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
                .query("limit", &self.limit.to_string());
            let answer = client.get(path).await?;
            Ok(Page::new(answer, "/traces", |traces: api::Traces| {
                let mut table =
                    Table::new(&["trace", "start", "service", "operation", "duration", "spans", "errors"]);
                for trace in traces.traces {
                    table.row([
                        trace.trace_id,
                        figures::time(&trace.start),
                        trace.root.service,
                        trace.root.operation,
                        figures::nanos(trace.duration_ns),
                        trace.spans.to_string(),
                        trace.errors.to_string(),
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
                Waterfall { trace: &trace, path: &path, width, style, critical_only }.text()
            }))
        })
    }
}

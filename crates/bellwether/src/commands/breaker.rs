//! `breaker`: which calls are refused, and why.

use clap::{Args, Subcommand};
use identity::ServiceName;
use wire::native::{api, problem::Problem};

use super::{Page, Reading, figures};
use crate::{client::Path, output::Table};

/// Circuit breakers as the proxies report them
#[derive(Debug, Subcommand)]
pub(crate) enum Breaker {
    List(List),
}

/// List circuit breakers with their state and what they have counted
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether breaker list --service payments --watch")]
pub(crate) struct List {
    /// Only breakers of this service
    #[arg(long)]
    service: Option<ServiceName>,
    #[command(flatten)]
    reading: Reading,
}

impl Breaker {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self {
            Self::List(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let path = Path::v1().segment("breakers").query("namespace", client.namespace().as_str());
            let answer = client.get(path.maybe("service", self.service.as_ref())).await?;
            Ok(Page::new(answer, "/breakers", |breakers: api::Breakers| {
                let header = [
                    "service", "route", "caller", "proxy", "state", "since", "ok", "failed", "refused",
                    "reason",
                ];
                let mut table = Table::new(&header);
                for row in breakers.breakers {
                    table.row([
                        row.service,
                        row.route,
                        row.caller,
                        row.proxy,
                        row.state,
                        figures::time(&row.since),
                        row.counts.successes.to_string(),
                        row.counts.failures.to_string(),
                        row.counts.refused.to_string(),
                        row.reason,
                    ]);
                }
                table.text("no breakers: no proxy has called a service yet")
            }))
        })
    }
}

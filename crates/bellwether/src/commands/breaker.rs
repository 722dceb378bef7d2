//! `breaker`: which calls are refused, and why; and an operator's word on it.

use clap::{Args, Subcommand};
use identity::ServiceName;
use wire::native::{api, problem::Problem};

use super::{Page, Reading, figures};
use crate::{
    client::Path,
    output::{Table, strip},
};

mod force;
mod show;

use force::{ForATime, Reset};
use show::Show;

/// Circuit breakers as the proxies report them
#[derive(Debug, Subcommand)]
pub(crate) enum Breaker {
    List(List),
    Show(Show),
    /// Refuse every call of a service for a time
    #[command(
        after_help = "Example:\n  bellwether breaker force-open payments --for 5m --reason 'it charges twice'"
    )]
    ForceOpen(ForATime),
    /// Let every call of a service pass for a time, and count it
    #[command(
        after_help = "Example:\n  bellwether breaker force-close payments --for 5m --reason 'a false alarm'"
    )]
    ForceClose(ForATime),
    /// Let every call of a service pass for a time, and count nothing
    #[command(after_help = "Example:\n  bellwether breaker disable payments --for 1h --reason 'a load test'")]
    Disable(ForATime),
    Reset(Reset),
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
            Self::Show(command) => command.run(),
            Self::ForceOpen(command) => command.run("force_open"),
            Self::ForceClose(command) => command.run("force_close"),
            Self::Disable(command) => command.run("disable"),
            Self::Reset(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let path = Path::v1().segment("breakers").query("namespace", client.namespace().as_str());
            let answer = client.get(path.maybe("service", self.service.as_ref())).await?;
            Ok(Page::new(answer, "/breakers", |found: api::Breakers| {
                let mut text = breakers(found.breakers);
                text.extend(found.overrides.iter().map(word));
                text
            }))
        })
    }
}

/// What an operator has said, which holds also where no proxy has reported the breaker yet.
fn word(of: &api::BreakerOverride) -> String {
    let until =
        of.until.as_deref().map(|until| format!(" until {}", figures::time(until))).unwrap_or_default();
    strip(&format!("{}: {} by {}{until}: {}", of.service, of.action, of.actor, of.reason)) + "\n"
}

/// Breakers as rows.
fn breakers(rows: Vec<api::Breaker>) -> String {
    let header =
        ["service", "route", "caller", "proxy", "state", "since", "ok", "failed", "refused", "reason"];
    let mut table = Table::new(&header);
    for row in rows {
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
    table.text("no breakers: no proxy has reported one yet")
}

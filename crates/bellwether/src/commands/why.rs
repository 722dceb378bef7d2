//! `why`: the causes of a state.

use clap::{Args, Subcommand};
use wire::native::{api, problem::Problem};

use super::{Page, Reading, figures, history, instance::Which};
use crate::output::{Table, strip};

/// Explain why something is as it is
#[derive(Debug, Subcommand)]
pub(crate) enum Why {
    Instance(OfInstance),
}

/// Explain why an instance has its status: what speaks against it, its lease, its checks, its last changes
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether why instance payments payments-1")]
pub(crate) struct OfInstance {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    reading: Reading,
}

impl Why {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self {
            Self::Instance(command) => command.run(),
        }
    }
}

impl OfInstance {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let answer = client.get(self.which.path(client).segment("why")).await?;
            Ok(Page::new(answer, "", |why: api::Why| text(&why)))
        })
    }
}

/// The sentence first, then each of its parts that there is.
fn text(why: &api::Why) -> String {
    let mut text = format!("{}\n", strip(&why.sentence));
    let mut part = |title: &str, table: String| text.push_str(&format!("\n{title}\n{table}"));
    if !why.facts.is_empty() {
        let mut table = Table::new(&["fact", "status", "since", "until", "by", "says"]);
        for fact in &why.facts {
            let time = |at: &Option<String>| at.as_deref().map(figures::time).unwrap_or_default();
            let by = fact.by.clone().unwrap_or_default();
            let (since, until) = (time(&fact.since), time(&fact.until));
            table.row([fact.fact.clone(), fact.status.clone(), since, until, by, fact.says.clone()]);
        }
        part("What speaks against it, or for it", table.text(""));
    }
    if let Some(lease) = &why.lease {
        let mut table = Table::new(&["ttl", "state", "left", "forgotten after", "zone"]);
        let left = lease.left_ns.map(figures::nanos).unwrap_or_default();
        let zone = if lease.zone_protected { "protected" } else { "" }.to_owned();
        table.row([lease.ttl.clone(), lease.state.clone(), left, lease.deregister_after.clone(), zone]);
        part("Its lease", table.text(""));
    }
    if !why.checks.is_empty() {
        let mut table = Table::new(&["check", "verdict", "why"]);
        for state in &why.checks {
            let check = serde_json::to_string(&state.check).unwrap_or_default();
            table.row([check, state.verdict.clone(), state.why.clone().unwrap_or_default()]);
        }
        part("Its checks", table.text(""));
    }
    if !why.proxies.is_empty() {
        let mut table = Table::new(&["proxy", "in flight", "ejected"]);
        for seen in &why.proxies {
            table.row([seen.proxy.clone(), seen.in_flight.to_string(), seen.ejected.clone()]);
        }
        part("How proxies see it", table.text(""));
    }
    if !why.changes.is_empty() {
        part("What happened to it last", history::table(&why.changes).text(""));
    }
    text
}

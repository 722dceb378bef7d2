//! `breaker show`: everything about the breakers of one service and of its endpoints.

use clap::Args;
use identity::ServiceName;
use wire::native::{api, problem::Problem};

use super::breakers;
use crate::{
    client::Path,
    commands::{Page, Reading, figures},
    output::Table,
};

/// Show the breakers of a service in every proxy, its endpoints', and what operators say
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether breaker show payments --watch")]
pub(crate) struct Show {
    /// The service
    service: ServiceName,
    #[command(flatten)]
    reading: Reading,
}

impl Show {
    pub(super) fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let path = Path::v1().segment("breakers").query("namespace", client.namespace().as_str());
            let answer = client.get(path.query("service", self.service.as_str())).await?;
            Ok(Page::new(answer, "", |found: api::Breakers| {
                let api::Breakers { breakers: rows, endpoints: seen, overrides } = found;
                [breakers(rows), endpoints(seen), said(overrides)].join("\n")
            }))
        })
    }
}

fn endpoints(rows: Vec<api::Endpoint>) -> String {
    let mut table =
        Table::new(&["instance", "proxy", "state", "in flight", "ok", "failed", "in a row", "ejected"]);
    for row in rows {
        table.row([
            row.instance,
            row.proxy,
            row.state,
            row.in_flight.to_string(),
            row.counts.successes.to_string(),
            row.counts.failures.to_string(),
            row.counts.consecutive_failures.to_string(),
            row.ejected,
        ]);
    }
    table.text("no endpoints: no proxy has called one of its instances yet")
}

fn said(words: Vec<api::BreakerOverride>) -> String {
    let mut table = Table::new(&["override", "since", "until", "by", "reason"]);
    for word in words {
        let until = word.until.as_deref().map(figures::time).unwrap_or_default();
        table.row([word.action, figures::time(&word.since), until, word.actor, word.reason]);
    }
    table.text("no operator has forced it")
}

//! `ledger`: where all telemetry went.

use clap::Args;
use wire::native::{api, problem::Problem};

use super::{Page, Reading};
use crate::{client::Path, output::Table};

/// Show the account of all telemetry: received = stored + sampled out + dropped + spooled
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether ledger -o json")]
pub(crate) struct Ledger {
    #[command(flatten)]
    reading: Reading,
}

impl Ledger {
    pub(crate) fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let answer = client.get(Path::v1().segment("ledger")).await?;
            Ok(Page::new(answer, "", |ledgers: api::Ledgers| {
                let header =
                    ["of", "received", "stored", "sampled out", "dropped", "spooled", "expired", "balance"];
                let mut table = Table::new(&header);
                for (name, ledger) in [("spans", &ledgers.spans), ("samples", &ledgers.samples)] {
                    table.row([
                        name.to_owned(),
                        ledger.received.to_string(),
                        ledger.stored.to_string(),
                        ledger.sampled_out.to_string(),
                        dropped(ledger),
                        ledger.spooled.to_string(),
                        ledger.expired.to_string(),
                        if balances(ledger) { "balances" } else { "DOES NOT BALANCE" }.to_owned(),
                    ]);
                }
                table.text("")
            }))
        })
    }
}

fn dropped(ledger: &api::Ledger) -> String {
    let total: u64 = ledger.dropped.values().sum();
    let reasons: Vec<String> =
        ledger.dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    if reasons.is_empty() { total.to_string() } else { format!("{total} ({})", reasons.join(", ")) }
}

/// Whether all that came is accounted for.
pub(super) fn balances(ledger: &api::Ledger) -> bool {
    let dropped: u64 = ledger.dropped.values().sum();
    ledger.received == ledger.stored + ledger.sampled_out + dropped + ledger.spooled
}

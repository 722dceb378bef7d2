//! What became of services and instances.

use clap::Args;
use identity::{InstanceId, ServiceName};
use wire::native::{api, problem::Problem};

use super::{Page, Reading, figures};
use crate::output::Table;

/// Show what became of an instance, or of all of a service, newest first: who, what, when and why
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether instance history payments payments-1\n  bellwether instance history payments --limit 20"
)]
pub(crate) struct History {
    /// The service
    service: ServiceName,
    /// The instance's id; without it all of the service, also those that are gone
    id: Option<InstanceId>,
    /// How many changes at most
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Only what was recorded before this event
    #[arg(long, value_name = "REVISION")]
    before: Option<u64>,
    #[command(flatten)]
    reading: Reading,
}

impl History {
    pub(super) fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let mut path = client.in_namespace().segment("services").segment(self.service.as_str());
            if let Some(id) = &self.id {
                path = path.segment("instances").segment(id.as_str());
            }
            let path = path.segment("history").query("limit", &self.limit.to_string());
            let answer = client.get(path.maybe("before", self.before)).await?;
            Ok(Page::new(answer, "/changes", |history: api::History| {
                let mut text = table(&history.changes).text("nothing that is recorded");
                if let Some(next) = history.next {
                    text.push_str(&format!("older ones with --before {next}\n"));
                }
                text
            }))
        })
    }
}

/// Changes as rows.
pub(super) fn table(changes: &[api::Recorded]) -> Table {
    let mut table =
        Table::new(&["at", "revision", "instance", "action", "status", "actor", "from", "reason"]);
    for change in changes {
        table.row([
            figures::time(&change.at),
            change.registry_revision.map(|revision| revision.to_string()).unwrap_or_default(),
            change.instance_id.clone(),
            change.action.clone(),
            change.status.clone().unwrap_or_default(),
            change.actor.clone(),
            change.from.clone().unwrap_or_default(),
            change.reason.clone(),
        ]);
    }
    table
}

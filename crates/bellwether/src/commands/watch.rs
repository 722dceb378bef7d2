//! `watch`: what changes, as it changes.

use clap::Args;
use identity::ServiceName;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use wire::native::{api, problem::Problem};

use super::{Asking, figures, follow::follow, service::address};
use crate::{
    client::Message,
    output::{self, Format, strip},
};

/// Follow instances as they come, go and change
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether watch --service payments -o jsonl")]
pub(crate) struct Watch {
    /// Only this service
    #[arg(long)]
    service: Option<ServiceName>,
    /// Only what came after this revision
    #[arg(long, value_name = "REVISION")]
    since: Option<u64>,
    #[command(flatten)]
    asking: Asking,
}

impl Watch {
    pub(crate) fn run(self) -> Result<(), Problem> {
        self.asking.run(async |client, format| {
            let path = |since| {
                let path = client.in_namespace().segment("watch");
                path.maybe("service", self.service.as_ref()).maybe("since", since)
            };
            follow(&client, self.since, path, |message, data| show(format, message, data)).await
        })
    }
}

fn show(format: Format, message: &Message, data: &Json) -> Result<(), Problem> {
    let document = json!({ "event": message.event, "data": data });
    output::item(format, &document, || {
        let lines = match message.event.as_str() {
            "snapshot" | "resync" => api::WatchSnapshot::deserialize(data).ok().as_ref().map(snapshot_lines),
            "change" => api::Change::deserialize(data).ok().as_ref().map(change_line),
            _ => None,
        };
        // What a newer server adds is shown as it came.
        lines.unwrap_or_else(|| strip(&document.to_string()))
    })
}

fn snapshot_lines(snapshot: &api::WatchSnapshot) -> String {
    let mut lines = format!("at revision {}:", snapshot.revision);
    for service in &snapshot.services {
        for instance in &service.instances {
            let place = address(&instance.address, instance.port);
            let line = format!("  {} {} {place} {}", service.service, instance.id, instance.status);
            lines.push('\n');
            lines.push_str(&strip(&line));
        }
    }
    lines
}

fn change_line(change: &api::Change) -> String {
    let now = change.instance.as_ref().map(|instance| instance.status.as_str()).unwrap_or("gone");
    let because = if change.reason.is_empty() { String::new() } else { format!(" ({})", change.reason) };
    strip(&format!(
        "{} {} {} {} {} → {now}{because}",
        figures::time(&change.at),
        change.revision,
        change.service,
        change.instance_id,
        change.action,
    ))
}

//! `event`: who did what, and why.

use clap::{Args, Subcommand};
use identity::ServiceName;
use serde::Deserialize;
use serde_json::Value as Json;
use wire::native::{api, problem::Problem};

use super::{Asking, Page, figures, follow::follow};
use crate::{
    client::{Client, Message, Path},
    output::{self, Format, Table, strip},
};

/// What happened, who did it and why
#[derive(Debug, Subcommand)]
pub(crate) enum Event {
    List(List),
}

/// List events, newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bellwether event list --kind breaker\n  bellwether event list --watch")]
pub(crate) struct List {
    /// Only events of this kind: instance, breaker, policy, token, proxy or server
    #[arg(long)]
    kind: Option<String>,
    /// Only events of this service
    #[arg(long)]
    service: Option<ServiceName>,
    /// Only events after this revision
    #[arg(long, value_name = "REVISION")]
    since: Option<u64>,
    /// How many at most
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Go on, and print each event as it happens, oldest first
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    asking: Asking,
}

impl Event {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self {
            Self::List(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Problem> {
        self.asking.run(async |client, format| {
            if self.watch {
                return self.follow(&client, format).await;
            }
            let path = self.query(&client, Path::v1().segment("events"), self.since);
            let answer = client.get(path.query("limit", &self.limit.to_string())).await?;
            Page::new(answer, "/events", |events: api::Events| {
                let mut table =
                    Table::new(&["at", "kind", "action", "service", "instance", "actor", "reason"]);
                for event in events.events {
                    table.row([
                        figures::time(&event.at),
                        event.kind,
                        event.action,
                        event.service.unwrap_or_default(),
                        event.instance.unwrap_or_default(),
                        event.actor,
                        event.reason,
                    ]);
                }
                table.text("no events")
            })
            .print(format)
        })
    }

    /// The parameters of both the list and the feed.
    fn query(&self, client: &Client, path: Path, since: Option<u64>) -> Path {
        path.query("namespace", client.namespace().as_str())
            .maybe("kind", self.kind.as_deref())
            .maybe("service", self.service.as_ref())
            .maybe("since", since)
    }

    async fn follow(&self, client: &Client, format: Format) -> Result<(), Problem> {
        let path = |since| self.query(client, Path::v1().segment("events").segment("stream"), since);
        let shown = |_: &Message, data: &Json| {
            output::item(format, data, || match api::Event::deserialize(data) {
                Ok(event) => line(&event),
                Err(_) => strip(&data.to_string()),
            })
        };
        follow(client, self.since, path, shown).await
    }
}

fn line(event: &api::Event) -> String {
    let mut text = format!("{} {} {}", figures::time(&event.at), event.kind, event.action);
    for part in [event.service.as_deref(), event.instance.as_deref()].into_iter().flatten() {
        text.push_str(&format!(" {part}"));
    }
    if !event.reason.is_empty() {
        text.push_str(&format!(": {}", event.reason));
    }
    strip(&format!("{text} [{}]", event.actor))
}

//! `breaker force-open` and its siblings: an operator's word, for a time and with a reason.

use clap::Args;
use http::Method;
use identity::ServiceName;
use wire::native::{
    api,
    problem::{Code, Problem},
};

use crate::{
    client,
    commands::{Asking, Page, figures},
    output::Table,
};

#[derive(Debug, Args)]
pub(crate) struct ForATime {
    /// The service
    service: ServiceName,
    /// For how long, 1s to 1d
    #[arg(long = "for", value_name = "DURATION")]
    lasts: String,
    /// Why; people will ask
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    asking: Asking,
}

/// End what operators force a breaker to; nothing is held against it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether breaker reset payments --reason 'repaired'")]
pub(crate) struct Reset {
    /// The service
    service: ServiceName,
    /// Why; people will ask
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    asking: Asking,
}

impl ForATime {
    pub(super) fn run(self, action: &str) -> Result<(), Problem> {
        let Self { service, lasts, reason, asking } = self;
        say(&asking, &service, api::BreakerCommand { action: action.to_owned(), lasts: Some(lasts), reason })
    }
}

impl Reset {
    pub(super) fn run(self) -> Result<(), Problem> {
        let Self { service, reason, asking } = self;
        say(&asking, &service, api::BreakerCommand { action: "reset".to_owned(), lasts: None, reason })
    }
}

fn say(asking: &Asking, service: &ServiceName, command: api::BreakerCommand) -> Result<(), Problem> {
    asking.run(async |client, format| {
        let path = client.in_namespace().segment("services").segment(service.as_str()).segment("breaker");
        let body = serde_json::to_value(&command)
            .map_err(|error| Problem::new(Code::InvalidArgument, format!("cannot be sent: {error}")))?;
        let (_, answer) = client.send(Method::POST, path, Some(&body), None).await?;
        Page::new(client::understood(&answer)?, "", |said: api::BreakerOverride| {
            let mut table = Table::new(&["service", "override", "until", "by", "reason"]);
            let until = said.until.as_deref().map(figures::time).unwrap_or_default();
            table.row([said.service, said.action, until, said.actor, said.reason]);
            table.text("")
        })
        .print(format)
    })
}

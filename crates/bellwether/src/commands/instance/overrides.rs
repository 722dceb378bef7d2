//! `instance override`: an operator's word on what an instance is.

use clap::Args;
use http::Method;
use wire::native::{
    api,
    problem::{Code, Problem},
};

use super::Which;
use crate::{
    client,
    commands::{Asking, Page, service},
    output::{self, Table},
};

/// Say what an instance is, whatever its lease and its checks say; or with --clear no more
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether instance override payments payments-1 maintenance --reason 'new disk' --for 30m\n  bellwether instance override payments payments-1 --clear"
)]
pub(crate) struct Override {
    #[command(flatten)]
    which: Which,
    /// What it shall be: up, down or maintenance
    #[arg(required_unless_present = "clear", conflicts_with = "clear")]
    status: Option<String>,
    /// Why; people will ask
    #[arg(long, required_unless_present = "clear")]
    reason: Option<String>,
    /// For how long; without it until it is cleared
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "clear")]
    lasts: Option<String>,
    /// End the override: the instance is again what its lease, its drain and its checks say
    #[arg(long)]
    clear: bool,
    #[command(flatten)]
    asking: Asking,
}

impl Override {
    pub(super) fn run(self) -> Result<(), Problem> {
        let Self { which, status, reason, lasts, clear, asking } = self;
        asking.run(async |client, format| {
            let path = which.path(&client).segment("override");
            let (Some(status), false) = (status, clear) else {
                client.send(Method::DELETE, path.maybe("reason", reason.as_deref()), None, None).await?;
                output::tell(&format!("{} of {} is overridden no more", which.id, which.service));
                return Ok(());
            };
            let body = api::OverrideBody { status, reason: reason.unwrap_or_default(), lasts };
            let body = serde_json::to_value(&body)
                .map_err(|error| Problem::new(Code::InvalidArgument, format!("cannot be sent: {error}")))?;
            let (_, answer) = client.send(Method::PUT, path, Some(&body), None).await?;
            Page::new(client::understood(&answer)?, "", |instance: api::Instance| {
                let mut table = Table::new(&["instance", "address", "status", "reason"]);
                let place = service::address(&instance.address, instance.port);
                table.row([instance.id, place, instance.status, instance.reason]);
                table.text("")
            })
            .print(format)
        })
    }
}

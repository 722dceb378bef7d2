//! `instance weight`: an operator's word on an instance's share of the calls.

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

/// Say what an instance's share of the calls is, whatever it registers; or with --clear no more
#[derive(Debug, Args)]
#[command(
    after_help = "With a weight of 0 an instance stays up and gets no new calls; to stop it safely, drain it.\n\nExamples:\n  bellwether instance weight payments payments-1 50 --reason 'half to the new version'\n  bellwether instance weight payments payments-1 --clear"
)]
pub(crate) struct Weight {
    #[command(flatten)]
    which: Which,
    /// From 0 to 10000, relative to its siblings: 100 is a full share, 0 none
    #[arg(required_unless_present = "clear", conflicts_with = "clear")]
    weight: Option<u32>,
    /// Why; people will ask
    #[arg(long, required_unless_present = "clear")]
    reason: Option<String>,
    /// Also a weight of 0 for the last instance that takes calls
    #[arg(long, conflicts_with = "clear")]
    force: bool,
    /// Take the word back: the share is again what the instance registers
    #[arg(long)]
    clear: bool,
    #[command(flatten)]
    asking: Asking,
}

impl Weight {
    pub(super) fn run(self) -> Result<(), Problem> {
        let Self { which, weight, reason, force, clear, asking } = self;
        asking.run(async |client, format| {
            let path = which.path(&client).segment("weight");
            let (Some(weight), false) = (weight, clear) else {
                client.send(Method::DELETE, path.maybe("reason", reason.as_deref()), None, None).await?;
                output::tell(&format!("{} of {} has the weight that it registers", which.id, which.service));
                return Ok(());
            };
            let body = api::WeightBody { weight, reason: reason.unwrap_or_default(), force };
            let body = serde_json::to_value(&body)
                .map_err(|error| Problem::new(Code::InvalidArgument, format!("cannot be sent: {error}")))?;
            let (_, answer) = client.send(Method::PUT, path, Some(&body), None).await?;
            Page::new(client::understood(&answer)?, "", |instance: api::Instance| {
                let mut table = Table::new(&["instance", "address", "status", "weight", "registered"]);
                let registered = instance.weighed.map_or(instance.weight, |weighed| weighed.registered);
                let place = service::address(&instance.address, instance.port);
                let weights = [instance.weight, registered].map(|weight| weight.to_string());
                let [weight, registered] = weights;
                table.row([instance.id, place, instance.status, weight, registered]);
                table.text("")
            })
            .print(format)
        })
    }
}

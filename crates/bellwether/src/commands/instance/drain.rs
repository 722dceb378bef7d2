//! `instance drain`: no new calls, and a receipt that says when the last one has ended.

use clap::Args;
use http::Method;
use serde::Deserialize;
use serde_json::Value as Json;
use wire::native::{
    api,
    problem::{Code, Problem},
};

use super::Which;
use crate::{
    client::{Client, Path},
    commands::{Asking, Page, figures},
    output::{self, Table},
};

/// Drain an instance, and wait until it is safe to kill; exits with 0 if it is, and with 1 if not
///
/// It waits for --timeout, here 30s where that is not given and 1h at most. The drain stays when the time is
/// over, and asking again waits for the rest.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether instance drain payments payments-1 --reason 'new kernel'\n  bellwether instance drain payments payments-1 --timeout 5m --deregister && kill 4711"
)]
pub(crate) struct Drain {
    #[command(flatten)]
    which: Which,
    /// Drain it also where no other instance of its service takes calls
    #[arg(long)]
    force: bool,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// Remove it once it is safe
    #[arg(long)]
    deregister: bool,
    /// The lease that the registration answered; without it the scope admin is needed
    #[arg(long, value_name = "LEASE")]
    lease: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

impl Drain {
    pub(super) fn run(self) -> Result<(), Problem> {
        let Self { which, force, reason, deregister, lease, mut asking } = self;
        // What is waited for is the receipt, and not the beginning of an answer.
        let timeout = asking.settings.flags.given.remove("timeout").map(|(_, text)| text);
        let body = api::DrainBody { lease_id: None, timeout, force, reason };
        asking.run(async |client, format| {
            let document =
                receipt(&client, which.path(&client).segment("drain"), &body, lease.as_deref()).await?;
            let receipt = api::Receipt::deserialize(&document).map_err(|error| {
                Problem::new(Code::AnswerNotUnderstood, format!("the receipt cannot be read: {error}"))
            })?;
            Page { document, items: "/subscribers", table: table(&receipt) }.print(format)?;
            if !receipt.safe {
                return Err(Problem::new(Code::NotSafe, receipt.reason));
            }
            output::tell(&format!("{} of {} is safe to kill: {}", which.id, which.service, receipt.reason));
            if deregister {
                client.send(Method::DELETE, which.path(&client), None, lease.as_deref()).await?;
                output::tell(&format!("{} of {} is deregistered", which.id, which.service));
            }
            Ok(())
        })
    }
}

/// End a drain, so that calls go to the instance again
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  bellwether instance undrain payments payments-1 --reason 'the kernel can wait'"
)]
pub(crate) struct Undrain {
    #[command(flatten)]
    which: Which,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// The lease that the registration answered; without it the scope admin is needed
    #[arg(long, value_name = "LEASE")]
    lease: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

impl Undrain {
    pub(super) fn run(self) -> Result<(), Problem> {
        let Self { which, reason, lease, asking } = self;
        asking.run(async |client, _| {
            let path = which.path(&client).segment("drain").maybe("reason", reason.as_deref());
            client.send(Method::DELETE, path, None, lease.as_deref()).await?;
            output::tell(&format!("{} of {} drains no more", which.id, which.service));
            Ok(())
        })
    }
}

/// Drains, tells of the progress, and gives the receipt as it came.
async fn receipt(
    client: &Client,
    path: Path,
    body: &api::DrainBody,
    lease: Option<&str>,
) -> Result<Json, Problem> {
    let body = serde_json::to_value(body)
        .map_err(|error| Problem::new(Code::InvalidArgument, format!("cannot be sent: {error}")))?;
    let mut stream = client.stream_of(Method::POST, path, Some(&body), lease).await?;
    let mut told = String::new();
    while let Some(message) = stream.next().await? {
        let picture: Json = serde_json::from_str(&message.data).map_err(|error| {
            Problem::new(Code::AnswerNotUnderstood, format!("a message of the stream is no JSON: {error}"))
        })?;
        if message.event == "receipt" {
            return Ok(picture);
        }
        let line = picture["reason"].as_str().unwrap_or_default().to_owned();
        if line != told {
            output::tell(&output::strip(&line));
            told = line;
        }
    }
    let detail = format!("{} ended the stream before the receipt came", client.url());
    Err(Problem::new(Code::ServerUnreachable, detail)
        .next("ask again: the instance drains on, and the same drain is waited for"))
}

fn table(receipt: &api::Receipt) -> String {
    let mut table = Table::new(&["subscriber", "kind", "state", "revision", "in flight", "heard"]);
    for one in &receipt.subscribers {
        table.row([
            one.subscriber.clone(),
            one.kind.clone(),
            one.state.clone(),
            one.revision.to_string(),
            one.in_flight.to_string(),
            one.heard_at.as_deref().map(figures::time).unwrap_or_default(),
        ]);
    }
    table.text("no subscribers")
}

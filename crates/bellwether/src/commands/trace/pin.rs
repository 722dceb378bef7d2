//! `trace pin` and `trace unpin`: traces that stay, past the retention of others.

use clap::Args;
use http::Method;
use identity::TraceId;
use serde_json::json;
use wire::native::{api, problem::Problem};

use super::super::{Asking, Page, figures};
use crate::{
    client::{self, Path},
    output,
};

/// Keep a trace, also when others of its age go
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  bellwether trace pin 0af7651916cd43dd8448eb211c80319c --reason 'the outage of the 31st' --for 90d"
)]
pub(crate) struct Pin {
    /// The trace's id, in any spelling
    #[arg(value_parser = traces::spelling::trace_id)]
    id: TraceId,
    /// Why it has to stay, for those who find it
    #[arg(long)]
    reason: String,
    /// For how long; for ever where it is not given
    #[arg(long = "for", value_name = "DURATION")]
    keep_for: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

/// Let a pinned trace go with the others of its age
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether trace unpin 0af7651916cd43dd8448eb211c80319c")]
pub(crate) struct Unpin {
    /// The trace's id, in any spelling
    #[arg(value_parser = traces::spelling::trace_id)]
    id: TraceId,
    #[command(flatten)]
    asking: Asking,
}

fn path(id: TraceId) -> Path {
    Path::v1().segment("traces").segment(&id.to_string()).segment("pin")
}

/// A pin in words.
pub(super) fn told(pin: &api::Pin) -> String {
    let until = pin
        .until
        .as_deref()
        .map_or_else(|| "for ever".to_owned(), |at| format!("until {}", figures::time(at)));
    format!("pinned by {} {until}: {}", pin.actor, pin.reason)
}

impl Pin {
    pub(crate) fn run(self) -> Result<(), Problem> {
        self.asking.run(async |client, format| {
            let body = json!({ "reason": self.reason, "for": self.keep_for });
            let (_, answer) = client.send(Method::POST, path(self.id), Some(&body), None).await?;
            let answer = client::understood(&answer)?;
            Page::new(answer, "", |pin: api::Pin| format!("{}\n", told(&pin))).print(format)
        })
    }
}

impl Unpin {
    pub(crate) fn run(self) -> Result<(), Problem> {
        self.asking.run(async |client, _| {
            client.send(Method::DELETE, path(self.id), None, None).await?;
            output::tell(&format!("trace {} is pinned no longer", self.id));
            Ok(())
        })
    }
}

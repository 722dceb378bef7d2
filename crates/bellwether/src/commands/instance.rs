//! `instance`: being there, staying there, leaving.

use clap::{Args, Subcommand};
use http::Method;
use identity::{InstanceId, ServiceName};
use serde_json::json;
use wire::native::problem::Problem;

use super::{Asking, history::History};
use crate::{
    client::{Client, Path},
    output,
};

mod drain;
mod overrides;
mod register;
mod weight;

use drain::{Drain, Undrain};
use overrides::Override;
use register::Register;
use weight::Weight;

/// Register, keep, drain, weigh, override and remove instances
#[derive(Debug, Subcommand)]
pub(crate) enum Instance {
    Register(Register),
    Heartbeat(Heartbeat),
    Deregister(Deregister),
    Drain(Drain),
    Undrain(Undrain),
    Override(Override),
    Weight(Weight),
    History(History),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The service
    service: ServiceName,
    /// The instance's id, unique within the service
    id: InstanceId,
}

/// Say that an instance is alive
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether instance heartbeat payments payments-1 --lease LEASE")]
pub(crate) struct Heartbeat {
    #[command(flatten)]
    which: Which,
    /// The lease that the registration answered
    #[arg(long, value_name = "LEASE")]
    lease: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

/// Remove an instance
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether instance deregister payments payments-1 --lease LEASE")]
pub(crate) struct Deregister {
    #[command(flatten)]
    which: Which,
    /// The lease that the registration answered; without it the scope admin is needed
    #[arg(long, value_name = "LEASE")]
    lease: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

impl Instance {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self {
            Self::Register(command) => command.run(),
            Self::Heartbeat(command) => command.run(),
            Self::Deregister(command) => command.run(),
            Self::Drain(command) => command.run(),
            Self::Undrain(command) => command.run(),
            Self::Override(command) => command.run(),
            Self::Weight(command) => command.run(),
            Self::History(command) => command.run(),
        }
    }
}

impl Which {
    /// Where it is.
    pub(super) fn path(&self, client: &Client) -> Path {
        let services = client.in_namespace().segment("services").segment(self.service.as_str());
        services.segment("instances").segment(self.id.as_str())
    }
}

impl Heartbeat {
    fn run(self) -> Result<(), Problem> {
        let Self { which, lease, asking } = self;
        asking.run(async |client, _| {
            let path = which.path(&client).segment("heartbeat");
            client.send(Method::POST, path, Some(&json!({})), lease.as_deref()).await?;
            output::tell(&format!("{} of {} is alive", which.id, which.service));
            Ok(())
        })
    }
}

impl Deregister {
    fn run(self) -> Result<(), Problem> {
        let Self { which, lease, asking } = self;
        asking.run(async |client, _| {
            client.send(Method::DELETE, which.path(&client), None, lease.as_deref()).await?;
            output::tell(&format!("{} of {} is deregistered", which.id, which.service));
            Ok(())
        })
    }
}

//! `instance`: being there, staying there, leaving.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use http::Method;
use identity::{InstanceId, ServiceName};
use serde_json::{Value as Json, json};
use wire::native::{
    api,
    problem::{Code, Problem},
};

use super::{Asking, Page};
use crate::{
    client::{self, Client, Path},
    output,
};

mod drain;

use drain::Drain;

/// Register, keep, drain and remove instances
#[derive(Debug, Subcommand)]
pub(crate) enum Instance {
    Register(Register),
    Heartbeat(Heartbeat),
    Deregister(Deregister),
    Drain(Drain),
}

#[derive(Debug, Args)]
struct Which {
    /// The service
    service: ServiceName,
    /// The instance's id, unique within the service
    id: InstanceId,
}

/// Register an instance, or change what is registered
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  bellwether instance register payments payments-1 --address 10.0.0.7 --port 8080 --ttl 15s"
)]
pub(crate) struct Register {
    #[command(flatten)]
    which: Which,
    /// The IP address or DNS name at which it listens
    #[arg(long)]
    address: String,
    /// The port at which it listens
    #[arg(long)]
    port: u16,
    /// How long it counts as alive without a heartbeat; without it until it is deregistered
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// How long after its lease lapsed it is forgotten
    #[arg(long, value_name = "DURATION")]
    deregister_after: Option<String>,
    /// The version that it runs
    #[arg(long)]
    version: Option<String>,
    /// The failure domain that it runs in
    #[arg(long)]
    zone: Option<String>,
    /// Its share of the calls; 100 is a full share
    #[arg(long)]
    weight: Option<u32>,
    /// Anything else that should be known about it
    #[arg(long = "metadata", value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// The lease that is held already, to keep it
    #[arg(long, value_name = "LEASE")]
    lease: Option<String>,
    #[command(flatten)]
    asking: Asking,
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

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is needed, such as team=checkout")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Instance {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self {
            Self::Register(command) => command.run(),
            Self::Heartbeat(command) => command.run(),
            Self::Deregister(command) => command.run(),
            Self::Drain(command) => command.run(),
        }
    }
}

impl Which {
    fn path(&self, client: &Client) -> Path {
        let services = client.in_namespace().segment("services").segment(self.service.as_str());
        services.segment("instances").segment(self.id.as_str())
    }
}

impl Register {
    fn run(self) -> Result<(), Problem> {
        let Self {
            which,
            address,
            port,
            ttl,
            deregister_after,
            version,
            zone,
            weight,
            metadata,
            lease,
            asking,
        } = self;
        let body = api::RegistrationBody {
            address,
            port,
            zone,
            version,
            weight,
            metadata: BTreeMap::from_iter(metadata),
            ttl,
            deregister_after,
            ..api::RegistrationBody::default()
        };
        asking.run(async |client, format| {
            let body = serde_json::to_value(&body)
                .map_err(|error| Problem::new(Code::InvalidArgument, format!("cannot be sent: {error}")))?;
            let (_, answer) =
                client.send(Method::PUT, which.path(&client), Some(&body), lease.as_deref()).await?;
            let page = Page::new(client::understood(&answer)?, "", |registered: api::Registered| {
                format!("{}\n", registered.lease_id.unwrap_or_default())
            });
            let created = page.document["created"] == Json::Bool(true);
            page.print(format)?;
            let word = if created { "registered" } else { "was there already; it is now as given" };
            output::tell(&format!("{} of {} {word}; above is its lease", which.id, which.service));
            Ok(())
        })
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

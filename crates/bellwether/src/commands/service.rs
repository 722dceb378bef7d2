//! `service`: what there is.

use clap::{Args, Subcommand};
use identity::ServiceName;
use wire::native::{api, problem::Problem};

use super::{Page, Reading};
use crate::output::Table;

/// Services and their instances
#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    List(List),
    Show(Show),
}

/// List the services of a namespace
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether service list --namespace default -o json")]
pub(crate) struct List {
    #[command(flatten)]
    reading: Reading,
}

/// Show a service with its instances
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether service show payments --status up")]
pub(crate) struct Show {
    /// The service
    service: ServiceName,
    /// Only instances with this status: starting, up, draining, maintenance or down
    #[arg(long)]
    status: Option<String>,
    #[command(flatten)]
    reading: Reading,
}

impl Service {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self {
            Self::List(command) => command.run(),
            Self::Show(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let path = client.in_namespace().segment("services");
            let answer = client.get_all(path, "services", usize::MAX).await?;
            let namespace = client.namespace().clone();
            Ok(Page::new(answer, "/services", |services: api::Services| {
                let mut table = Table::new(&["service", "up", "total", "not up", "revision"]);
                for entry in services.services {
                    let counts = entry.instances;
                    table.row([
                        entry.service,
                        counts.up.to_string(),
                        counts.total.to_string(),
                        not_up(counts),
                        entry.revision.to_string(),
                    ]);
                }
                table.text(&format!("no services in namespace {namespace}"))
            }))
        })
    }
}

fn not_up(counts: api::InstanceCounts) -> String {
    let parts = [
        (counts.starting, "starting"),
        (counts.draining, "draining"),
        (counts.maintenance, "in maintenance"),
        (counts.down, "down"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    parts.collect::<Vec<_>>().join(", ")
}

impl Show {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let path = client.in_namespace().segment("services").segment(self.service.as_str());
            let answer = client.get(path.maybe("status", self.status.as_deref())).await?;
            Ok(Page::new(answer, "/instances", |service: api::Service| {
                let mut table =
                    Table::new(&["instance", "address", "status", "reason", "version", "zone", "weight"]);
                for instance in service.instances {
                    table.row([
                        instance.id,
                        address(&instance.address, instance.port),
                        instance.status,
                        instance.reason,
                        instance.version.unwrap_or_default(),
                        instance.zone.unwrap_or_default(),
                        instance.weight.to_string(),
                    ]);
                }
                table.text(&format!("{} has no such instance", service.service))
            }))
        })
    }
}

/// Host and port; an IPv6 address in brackets.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

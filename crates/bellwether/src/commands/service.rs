//! `service`: what there is.

use clap::{Args, Subcommand};
use http::Method;
use identity::ServiceName;
use wire::native::{api, problem::Problem};

use super::{Asking, Page, Reading};
use crate::{
    client,
    output::{self, Table},
};

/// Services and their instances
#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    List(List),
    Show(Show),
    Delete(Delete),
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

/// Remove all instances of a service
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether service delete payments --dry-run")]
pub(crate) struct Delete {
    /// The service
    service: ServiceName,
    /// Also while instances of it are up
    #[arg(long)]
    force: bool,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    asking: Asking,
}

impl Service {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self {
            Self::List(command) => command.run(),
            Self::Show(command) => command.run(),
            Self::Delete(command) => command.run(),
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

impl Delete {
    fn run(self) -> Result<(), Problem> {
        let Self { service, force, reason, dry_run, asking } = self;
        asking.run(async |client, format| {
            let path = client.in_namespace().segment("services").segment(service.as_str());
            let path = path
                .maybe("force", force.then_some("true"))
                .maybe("dry_run", dry_run.then_some("true"))
                .maybe("reason", reason.as_deref());
            let (_, answer) = client.send(Method::DELETE, path, None, None).await?;
            let page = Page::new(client::understood(&answer)?, "", |deleted: api::ServiceDeleted| {
                let mut table = Table::new(&["instance", "is"]);
                let word = if dry_run { "would be removed" } else { "removed" };
                let removed = deleted.removed.into_iter().map(|id| [id, word.to_owned()]);
                let kept = deleted.kept.into_iter().map(|id| [id, "there again".to_owned()]);
                removed.chain(kept).for_each(|row| table.row(row));
                table.text("no instances")
            });
            page.print(format)?;
            output::tell(if dry_run { "nothing was changed" } else { "deleted" });
            Ok(())
        })
    }
}

/// Host and port; an IPv6 address in brackets.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

//! `proxy`: the data planes that are known.

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use identity::{ProxyId, ServiceName, Wall, duration};
use wire::native::{api, problem::Problem};

use super::{Asking, Page, Reading, figures};
use crate::{
    client::Path,
    clock,
    output::{self, Table, strip},
};

/// Gateways and other data planes
#[derive(Debug, Subcommand)]
pub(crate) enum Proxy {
    List(List),
    View(View),
    /// The same as list
    #[command(name = "status")]
    Status(List),
    Forget(Forget),
}

/// List the proxies with the revision that they route by
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether proxy list --watch")]
pub(crate) struct List {
    #[command(flatten)]
    reading: Reading,
}

/// Show what a proxy saw of a service at a moment
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether proxy view gateway payments --at 14:03\n  bellwether proxy view gateway@host:8000 payments --at 2026-01-31T14:03:00Z"
)]
pub(crate) struct View {
    /// The proxy's id
    proxy: ProxyId,
    /// The service
    service: ServiceName,
    /// When: a timestamp, the last time that it was so late in UTC (14:03 or 14:03:20), or how long ago
    /// (10m); now where it is not given
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Wall>,
    #[command(flatten)]
    reading: Reading,
}

/// A moment as people write it.
fn moment(text: &str) -> Result<Wall, String> {
    moment_before(text, clock::wall())
}

fn moment_before(text: &str, now: Wall) -> Result<Wall, String> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    if let Ok(at) = text.parse::<Wall>() {
        return Ok(at);
    }
    if let Ok(ago) = duration::parse(text) {
        return Ok(now - ago);
    }
    let today = now.to_string();
    let date = today.split('T').next().unwrap_or_default();
    let at = match text.matches(':').count() {
        1 => format!("{date}T{text}:00Z").parse().ok(),
        2 => format!("{date}T{text}Z").parse().ok(),
        _ => None,
    };
    let rule =
        "a timestamp such as 2026-01-31T14:03:00Z, a time of day such as 14:03, or how long ago, such as 10m";
    let at: Wall = at.ok_or(rule)?;
    Ok(if at > now { at - DAY } else { at })
}

/// Forget a proxy that will not come back, so that drains do not wait for it; one that stops in an orderly
/// way leaves by itself
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether proxy forget gateway@host:8000")]
pub(crate) struct Forget {
    /// The proxy's id
    proxy: ProxyId,
    #[command(flatten)]
    asking: Asking,
}

impl Proxy {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self {
            Self::List(command) | Self::Status(command) => command.run(),
            Self::View(command) => command.run(),
            Self::Forget(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let answer = client.get(Path::v1().segment("proxies")).await?;
            Ok(Page::new(answer, "/proxies", |proxies: api::Proxies| {
                let mut table = Table::new(&[
                    "proxy",
                    "version",
                    "connected",
                    "revision",
                    "state",
                    "age",
                    "policy",
                    "policies",
                    "clients",
                    "last report",
                ]);
                for proxy in proxies.proxies {
                    table.row([
                        proxy.proxy,
                        proxy.version,
                        if proxy.connected { "yes" } else { "no" }.to_owned(),
                        proxy.revision.to_string(),
                        proxy.state,
                        proxy.snapshot_age_ns.map(age).unwrap_or_default(),
                        proxy.policy_revision.to_string(),
                        proxy.policy_state,
                        proxy.client_connections.to_string(),
                        proxy.reported_at.as_deref().map(figures::time).unwrap_or_default(),
                    ]);
                }
                table.text("no proxies")
            }))
        })
    }
}

/// For how long a proxy has not routed by what holds, in whole seconds.
fn age(nanos: u64) -> String {
    duration::format(Duration::from_secs(nanos / 1_000_000_000))
}

impl View {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let path = Path::v1().segment("proxies").segment(self.proxy.as_str()).segment("view");
            let path = path.query("service", self.service.as_str());
            let path = path.query("namespace", client.namespace().as_str()).maybe("at", self.at);
            let answer = client.get(path).await?;
            Ok(Page::new(answer, "/instances", |view: api::ProxyView| {
                let mut table = Table::new(&["instance", "address", "status", "revision"]);
                for seen in view.instances {
                    table.row([seen.instance, seen.address, seen.status, seen.revision.to_string()]);
                }
                let since =
                    view.since.map(|since| format!(" since {}", figures::time(&since))).unwrap_or_default();
                let complete = if view.complete { "" } else { "not complete: " };
                let head =
                    strip(&format!("at {}: {complete}{}{since}", figures::time(&view.at), view.reason));
                format!("{head}\n{}", table.text("no instances"))
            }))
        })
    }
}

impl Forget {
    fn run(self) -> Result<(), Problem> {
        let Self { proxy, asking } = self;
        asking.run(async |client, _| {
            let path = Path::v1().segment("proxies").segment(proxy.as_str());
            client.send(Method::DELETE, path, None, None).await?;
            output::tell(&format!("{proxy} is forgotten"));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_people_write_it() {
        let wall = |text: &str| text.parse::<Wall>().unwrap();
        let now = wall("2026-01-31T14:30:00Z");
        for (text, at) in [
            ("2026-01-30T10:00:00Z", "2026-01-30T10:00:00Z"),
            ("14:03", "2026-01-31T14:03:00Z"),
            ("14:03:20", "2026-01-31T14:03:20Z"),
            ("23:00", "2026-01-30T23:00:00Z"),
            ("10m", "2026-01-31T14:20:00Z"),
        ] {
            assert_eq!(moment_before(text, now), Ok(wall(at)), "{text}");
        }
        for bad in ["noon", "25:00", "", "14"] {
            assert!(moment_before(bad, now).is_err(), "{bad}");
        }
    }
}

//! `proxy`: the data planes that are known.

use clap::{Args, Subcommand};
use http::Method;
use identity::ProxyId;
use wire::native::{api, problem::Problem};

use super::{Asking, Page, Reading, figures};
use crate::{
    client::Path,
    output::{self, Table},
};

/// Gateways and other data planes
#[derive(Debug, Subcommand)]
pub(crate) enum Proxy {
    List(List),
    Forget(Forget),
}

/// List the proxies with the revision that they route by
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether proxy list --watch")]
pub(crate) struct List {
    #[command(flatten)]
    reading: Reading,
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
            Self::List(command) => command.run(),
            Self::Forget(command) => command.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let answer = client.get(Path::v1().segment("proxies")).await?;
            Ok(Page::new(answer, "/proxies", |proxies: api::Proxies| {
                let mut table =
                    Table::new(&["proxy", "version", "connected", "revision", "state", "last report"]);
                for proxy in proxies.proxies {
                    table.row([
                        proxy.proxy,
                        proxy.version,
                        if proxy.connected { "yes" } else { "no" }.to_owned(),
                        proxy.revision.to_string(),
                        proxy.state,
                        proxy.reported_at.as_deref().map(figures::time).unwrap_or_default(),
                    ]);
                }
                table.text("no proxies")
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

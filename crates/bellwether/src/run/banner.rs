//! What a process says when it serves: a few lines for people, one line of JSON for programs.

use std::{net::SocketAddr, path::Path};

use serde_json::{Map, Value as Json, json};
use wire::native::problem::Problem;

use crate::{
    config::Url,
    log::Log,
    output::{self, Format, Style},
};

/// What is served, and where.
#[derive(Debug, Default)]
pub(super) struct Banner<'a> {
    /// The control plane, and whether it speaks TLS.
    pub(super) listen: Option<(SocketAddr, bool)>,
    /// The data plane.
    pub(super) gateway: Option<SocketAddr>,
    /// The control plane of a gateway that is alone.
    pub(super) control: Option<&'a Url>,
    /// The data folder.
    pub(super) data: Option<&'a Path>,
    /// What else programs should know.
    pub(super) more: Map<String, Json>,
    /// What else people should know.
    pub(super) hints: Vec<String>,
}

impl Banner<'_> {
    /// Says it: to people on standard error, unless a machine reads the log there, which gets a line of its
    /// own; and to programs on standard output, where they asked for it.
    pub(super) fn show(&self, format: Format, log: &Log) -> Result<(), Problem> {
        if format != Format::Table {
            return output::item(format, &self.document(), String::new);
        }
        if log.is_for_people() {
            output::tell(&self.words());
        } else {
            let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
            let (listen, gateway) = (address(self.listen.map(|(address, _)| address)), address(self.gateway));
            let data = self.data.map(|path| path.display().to_string());
            let console = self.console();
            tracing::info!(console, listen, gateway, data, version = env!("CARGO_PKG_VERSION"), "serving");
        }
        Ok(())
    }

    fn document(&self) -> Json {
        let mut document = Map::new();
        let mut put = |key: &str, value: Option<Json>| {
            if let Some(value) = value {
                document.insert(key.to_owned(), value);
            }
        };
        // Where there is only a gateway, that is what listens.
        put("listen", self.listen.map(|(address, _)| address).or(self.gateway).map(|address| json!(address)));
        put("console", self.console().map(|link| json!(link)));
        put("gateway", self.gateway.map(|address| json!(address)));
        put("control", self.control.map(|url| json!(url.to_string())));
        put("data", self.data.map(|path| json!(path.to_string_lossy())));
        put("pid", Some(json!(std::process::id())));
        put("version", Some(json!(env!("CARGO_PKG_VERSION"))));
        document.extend(self.more.clone());
        Json::Object(document)
    }

    /// The console's link.
    fn console(&self) -> Option<String> {
        self.listen.map(|(address, tls)| format!("{}/", Url::of(reachable(address), tls)))
    }

    fn words(&self) -> String {
        let style = Style::of_stderr();
        let mut text = format!("\n  {} {}\n\n", style.strong("bellwether"), env!("CARGO_PKG_VERSION"));
        let mut line = |name: &str, value: String| {
            text.push_str(&format!("  {} {value}\n", style.faint(&format!("{name:<9}"))))
        };
        if let Some(console) = self.console() {
            line("console", style.strong(&console));
        }
        if let Some(address) = self.gateway {
            line("gateway", Url::of(reachable(address), false).to_string());
        }
        if let Some(url) = self.control {
            line("control", url.to_string());
        }
        if let Some(path) = self.data {
            line("data", path.display().to_string());
        }
        for hint in &self.hints {
            text.push_str(&format!("\n  {}\n", hint.replace('\n', "\n  ")));
        }
        text
    }
}

/// An address that can be opened, for one that stands for all of the machine's.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(_) if address.ip().is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) if address.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        _ => address.ip(),
    };
    SocketAddr::new(ip, address.port())
}

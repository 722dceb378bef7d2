//! `gateway`: the data plane alone.

use std::net::SocketAddr;

use clap::Args;
use identity::ProxyId;
use wire::native::problem::{Code, Problem};

use super::{banner::Banner, parts, signals::Signals, stay};
use crate::{
    channel::Grpc,
    config::{self, FlagsOf, ForGateway, Settings},
    log::Log,
    output::Format,
};

/// Start a gateway alone; it follows a control plane in another process and survives its restarts
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  bellwether gateway --control http://127.0.0.1:2355 --listen 127.0.0.1:8000"
)]
pub(crate) struct Gateway {
    /// How to say where it listens: for people on standard error, else on standard output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Format,
    #[command(flatten)]
    settings: FlagsOf<ForGateway>,
}

impl Gateway {
    pub(crate) fn run(self) -> Result<(), Problem> {
        let flags = self.settings.flags;
        let (settings, _) = config::load(&flags)?;
        let log = Log::start(&settings);
        stay(async {
            let signals = Signals::listen()?;
            let config::Gateway::At(address) = settings.gateway else {
                let problem = Problem::new(Code::InvalidArgument, "a gateway cannot be off");
                return Err(problem.at("--listen").next("give the address that it listens on"));
            };
            let socket = parts::bind_gateway(address, &settings)?;
            let id = id(&settings, parts::address(&socket)?)?;
            let gateway = parts::gateway(&settings, socket, id, Grpc::new(&settings)?)?;
            let banner = Banner {
                gateway: Some(gateway.local_addr()),
                control: Some(&settings.control),
                ..Banner::default()
            };
            banner.show(self.output, &log)?;
            parts::stay(signals, &flags, &log, None).await;
            gateway.shutdown().await;
            Ok(())
        })
    }
}

/// The id that was given, else one that says which machine and port: the same after a restart.
fn id(settings: &Settings, address: SocketAddr) -> Result<ProxyId, Problem> {
    if let Some(id) = &settings.proxy_id {
        return Ok(id.clone());
    }
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let machine: String = machine.chars().filter(|c| sound(*c)).take(64).collect();
    ProxyId::new(&format!("gateway@{machine}:{}", address.port()))
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

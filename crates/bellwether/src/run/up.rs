//! `up`: control plane and data plane in one process.

use clap::Args;
use proxy::Proxy;
use server::listener;
use wire::native::problem::Problem;

use super::{banner::Banner, parts, signals::Signals, stay};
use crate::{
    channel::Local,
    config::{self, FlagsOf, ForUp, Gateway, Url},
    log::Log,
    output::Format,
};

/// Start everything in one process: control plane, console and gateway
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether up\n  bellwether up --data ./data --listen 127.0.0.1:0 --gateway 127.0.0.1:0 -o json"
)]
pub(crate) struct Up {
    /// How to say where it listens: for people on standard error, else on standard output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Format,
    #[command(flatten)]
    settings: FlagsOf<ForUp>,
}

impl Up {
    pub(crate) fn run(self) -> Result<(), Problem> {
        let flags = self.settings.flags;
        let (settings, _) = config::load(&flags)?;
        let log = Log::start(&settings);
        stay(async {
            let signals = Signals::listen()?;
            let control = listener::bind(settings.listen)?;
            let data_plane = match settings.gateway {
                Gateway::Off => None,
                Gateway::At(address) => Some(parts::bind_gateway(address, &settings)?),
            };
            let server = parts::server(&settings, control).await?;
            let gateway = match data_plane {
                None => None,
                Some(socket) => {
                    let channel = Local(server.channel());
                    let gateway = parts::gateway(&settings, socket, parts::id_within()?, channel, None)?;
                    gateway.ready().await;
                    Some(gateway)
                }
            };
            let tls = settings.tls_cert.is_some();
            let listen = server.local_addr();
            let banner = Banner {
                listen: Some((listen, tls)),
                gateway: gateway.as_ref().map(Proxy::local_addr),
                data: Some(&parts::absolute(&settings.data)),
                hints: vec![how_to_register(&Url::of(listen, tls))],
                ..Banner::default()
            };
            banner.show(self.output, &log)?;
            parts::stay(signals, &flags, &log, Some(&server)).await;
            // The gateway's last report needs the server.
            if let Some(gateway) = gateway {
                gateway.shutdown().await;
            }
            server.shutdown().await;
            Ok(())
        })
    }
}

/// The first thing that somebody wants to do.
pub(super) fn how_to_register(url: &Url) -> String {
    format!(
        "Register a service, here one on port 8080:\n  \
         curl -X PUT {url}/bellwether/v1/namespaces/default/services/hello/instances/hello-1 \\\n    \
         -d '{{\"address\": \"127.0.0.1\", \"port\": 8080}}'"
    )
}

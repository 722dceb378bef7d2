//! `server`: the control plane alone.

use clap::Args;
use server::listener;
use wire::native::problem::Problem;

use super::{banner::Banner, parts, signals::Signals, stay, up::how_to_register};
use crate::{
    config::{self, FlagsOf, ForServer, Url},
    log::Log,
    output::Format,
};

/// Start the control plane and the console, without a gateway
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  bellwether server --listen 0.0.0.0:2355 --tls-cert cert.pem --tls-key key.pem --auth"
)]
pub(crate) struct Server {
    /// How to say where it listens: for people on standard error, else on standard output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Format,
    #[command(flatten)]
    settings: FlagsOf<ForServer>,
}

impl Server {
    pub(crate) fn run(self) -> Result<(), Problem> {
        let flags = self.settings.flags;
        let (settings, _) = config::load(&flags)?;
        let log = Log::start(&settings);
        stay(async {
            let signals = Signals::listen()?;
            let server = parts::server(&settings, listener::bind(settings.listen)?).await?;
            let tls = settings.tls_cert.is_some();
            let listen = server.local_addr();
            let banner = Banner {
                listen: Some((listen, tls)),
                data: Some(&parts::absolute(&settings.data)),
                hints: vec![how_to_register(&Url::of(listen, tls))],
                ..Banner::default()
            };
            banner.show(self.output, &log)?;
            parts::stay(signals, &flags, &log, Some(&server)).await;
            server.shutdown().await;
            Ok(())
        })
    }
}

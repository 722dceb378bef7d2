//! The demo's control plane: a process of its own, so that it can be killed while the shop goes on.

use std::{net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use clap::Args;
use serde_json::Value as Json;
use server::listener;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use wire::native::problem::{Code, Problem};

use crate::{
    config::{self, FlagsOf, ForServer},
    log::Log,
    output::Format,
    run::{banner::Banner, parts, stay},
};

/// How long it may take to serve, and to end.
const BEGINNING: Duration = Duration::from_secs(15);
const ENDING: Duration = Duration::from_secs(15);

/// The demo's control plane; started by `demo`
#[derive(Debug, Args)]
pub(crate) struct DemoControl {
    #[command(flatten)]
    settings: FlagsOf<ForServer>,
}

impl DemoControl {
    /// Serves until standard input ends, which is when the demo stops or dies, or until SIGTERM.
    pub(crate) fn run(self) -> Result<(), Problem> {
        let (mut settings, _) = config::load(&self.settings.flags)?;
        let log = Log::start(&settings);
        // Whatever a configuration says for a real installation: the demo is open, and on loopback only.
        (settings.auth, settings.insecure) = (false, false);
        (settings.tls_cert, settings.tls_key) = (None, None);
        stay(async {
            let unheard =
                |error| Problem::new(Code::Internal, format!("no signals can be received: {error}"));
            let mut terminate = signal(SignalKind::terminate()).map_err(unheard)?;
            // Ctrl-C reaches all processes of a terminal. Here it waits for the demo, which closes the shop
            // first.
            let _interrupt = signal(SignalKind::interrupt()).map_err(unheard)?;
            let server = parts::server(&settings, listener::bind(settings.listen)?).await?;
            let data = parts::absolute(&settings.data);
            let listen = Some((server.local_addr(), false));
            Banner { listen, data: Some(&data), ..Banner::default() }.show(Format::Json, &log)?;
            let mut end = [0];
            let mut input = tokio::io::stdin();
            tokio::select! {
                _ = terminate.recv() => {}
                _ = input.read(&mut end) => {}
            }
            server.shutdown().await;
            Ok(())
        })
    }
}

/// The running control plane. Its process ends with it, however it ends.
#[derive(Debug)]
pub(super) struct Control {
    flags: Vec<String>,
    listen: SocketAddr,
    data: PathBuf,
    process: Option<(Child, ChildStdin)>,
}

impl Control {
    /// Starts it, and waits until it serves.
    pub(super) async fn start(
        listen: SocketAddr,
        data: PathBuf,
        flags: Vec<String>,
    ) -> Result<Self, Problem> {
        let mut control = Self { flags, listen, data, process: None };
        control.again().await?;
        Ok(control)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Starts it where it does not run, at the same address and on the same data.
    pub(super) async fn again(&mut self) -> Result<(), Problem> {
        let failed = |error: std::io::Error| Problem::new(Code::ProcessNotStarted, error.to_string());
        let lines = "the lines above say what kept it";
        let mut child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["demo-control", "--listen", &self.listen.to_string(), "--data"])
            .arg(&self.data)
            .args(&self.flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let silent = || Problem::new(Code::ProcessNotStarted, "the control plane does not serve").next(lines);
        let (Some(pipe), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(silent());
        };
        let mut line = String::new();
        let read = timeout(BEGINNING, BufReader::new(output).read_line(&mut line)).await;
        read.map_err(|_| silent())?.map_err(failed)?;
        let banner: Json = serde_json::from_str(&line).map_err(|_| silent())?;
        let address = banner["listen"].as_str().and_then(|text| text.parse().ok());
        self.listen = address.ok_or_else(silent)?;
        self.process = Some((child, pipe));
        Ok(())
    }

    /// What `kill -9` does.
    pub(super) async fn kill(&mut self) {
        let Some((mut child, _pipe)) = self.process.take() else { return };
        if let Err(error) = child.kill().await {
            tracing::error!(%error, "the control plane cannot be killed");
        }
    }

    /// Ends it in good order.
    pub(super) async fn close(mut self) {
        let Some((mut child, pipe)) = self.process.take() else { return };
        drop(pipe);
        if timeout(ENDING, child.wait()).await.is_err() {
            tracing::warn!("the control plane did not end when it was asked to, and is killed");
            if let Err(error) = child.kill().await {
                tracing::error!(%error, "the control plane cannot be killed");
            }
        }
    }
}

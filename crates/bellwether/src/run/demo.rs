//! `demo`: a control plane, a gateway, and a small shop, in processes that end with this one.
//!
//! The gateway is in this process and the control plane is not, so that it can be killed without a word
//! while customers go on: the story does so.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use clap::Args;
use identity::duration;
use proxy::Proxy;
use serde_json::json;
use server::listener;
use tempfile::TempDir;
use wire::native::problem::{Code, Problem};

mod control;
mod story;

use control::Control;
pub(crate) use control::DemoControl;
use story::Story;

use super::{banner::Banner, parts, signals::Signals, stay};
use crate::{
    channel::Grpc,
    commands,
    config::{self, FlagsOf, ForDemo, ForDemoService, Gateway, Settings, Sources, Url},
    log::Log,
    output::{self, Format},
};

/// How many ports beside a taken one are tried before any free one is taken.
const NEIGHBOURS: u16 = 20;

/// The address at which commands ask unless they are told otherwise.
const USUAL: &str = "127.0.0.1:2355";

/// How long the gateway may take to hear of the shop.
const TOLD: Duration = Duration::from_secs(5);

/// Show everything at work: control plane, gateway, and a small shop with customers
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  bellwether demo\n  bellwether demo --story\n  bellwether demo --no-load --for 30s -o json\n\nCtrl-C stops everything. \
                  Without --data nothing is left behind."
)]
pub(crate) struct Demo {
    #[command(subcommand)]
    act: Option<commands::DemoAct>,
    /// No customers: the shop is called only by you
    #[arg(long)]
    no_load: bool,
    /// Tell the story: all that can be broken is, one after the other, with a word on what to look at; in three
    /// minutes, or in about the time given
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "3m", value_parser = duration::parse, conflicts_with = "no_load")]
    story: Option<Duration>,
    /// Stop by itself after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    time: Option<Duration>,
    /// How to say where it listens: for people on standard error, else on standard output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Format,
    #[command(flatten)]
    settings: FlagsOf<ForDemo>,
}

/// An instance of the demo's shop; started by `demo`
#[derive(Debug, Args)]
pub(crate) struct DemoService {
    /// What it is
    kind: demo::Kind,
    /// Its id
    id: String,
    /// The version that it says it is
    #[arg(long)]
    version: String,
    /// Where it registers
    #[arg(long)]
    control: SocketAddr,
    /// Through what it calls others
    #[arg(long)]
    gateway: SocketAddr,
    #[command(flatten)]
    settings: FlagsOf<ForDemoService>,
}

impl Demo {
    pub(crate) fn run(mut self) -> Result<(), Problem> {
        if let Some(act) = self.act.take() {
            return act.run();
        }
        let flags = self.settings.flags.clone();
        let (mut settings, sources) = config::load(&flags)?;
        let log = Log::start(&settings);
        // Whatever a configuration says for a real installation: the demo is open, and on loopback only.
        (settings.auth, settings.insecure) = (false, false);
        (settings.tls_cert, settings.tls_key) = (None, None);
        // Kept until the server has ended, then removed with all that is in it.
        let temporary = if sources.rank("data") == 0 { Some(temporary()?) } else { None };
        if let Some(folder) = &temporary {
            settings.data = folder.path().join("data");
        }
        stay(async {
            let signals = Signals::listen()?;
            let control = bind_near(settings.listen, "the console")?;
            let Gateway::At(address) = settings.gateway else {
                let problem = Problem::new(Code::InvalidArgument, "the demo's calls go through its gateway");
                return Err(problem.at("--gateway").next("give the address that it listens on"));
            };
            let data_plane = bind_near(address, "the gateway")?;
            let flags = self.flags_for_others(&sources);
            // Found to be free, and left to the process that will serve there.
            let listen = parts::address(&control)?;
            drop(control);
            let mut control = Control::start(listen, settings.data.clone(), flags.clone()).await?;
            settings.control = Url::of(control.address(), false);
            let channel = Grpc::new(&settings)?;
            let gateway = parts::gateway(&settings, data_plane, parts::id_within()?, channel, None)?;
            gateway.ready().await;
            demo::policies::apply(control.address()).await.map_err(not_started)?;
            let shop = open_shop(demo::Plan {
                program: std::env::current_exe().map_err(not_started)?,
                flags,
                control: control.address(),
                gateway: gateway.local_addr(),
            })
            .await;
            let ended = match shop {
                Ok(shop) => {
                    until_routed(&gateway, &shop).await;
                    self.show(&settings, signals, &log, &mut control, gateway.local_addr(), shop).await
                }
                Err(problem) => Err(problem),
            };
            gateway.shutdown().await;
            control.close().await;
            ended
        })
    }

    /// What the other processes are told as well: where the settings are, and how to log.
    fn flags_for_others(&self, sources: &Sources) -> Vec<String> {
        let mut flags = Vec::new();
        let mut flag = |name: &str, text: &str| flags.extend([name.to_owned(), text.to_owned()]);
        if let Some(config) = &self.settings.flags.config {
            flag("--config", config);
        }
        flag("--log-level", sources.get("log_level").0);
        flag("--log-format", sources.get("log_format").0);
        flags
    }

    /// Everything runs: says so, and lets it go on until it should end.
    async fn show(
        &self,
        settings: &Settings,
        signals: Signals,
        log: &Log,
        control: &mut Control,
        gateway: SocketAddr,
        mut shop: demo::Shop,
    ) -> Result<(), Problem> {
        let acts = demo::acts(control.address()).await.map_err(not_started)?;
        let load = (!self.no_load).then(|| demo::Load::start(gateway));
        let services: Vec<_> = shop.instances().map(|instance| json!(instance)).collect();
        let server_flag = match control.address().to_string() {
            usual if usual == USUAL => String::new(),
            other => format!(" --server http://{other}"),
        };
        let banner = Banner {
            listen: Some((control.address(), false)),
            gateway: Some(gateway),
            data: Some(&parts::absolute(&settings.data)),
            more: [("services".to_owned(), json!(services))].into_iter().collect(),
            hints: vec![
                "A shop of six services is open, and has customers. Its services are processes of their own,\nfind each other in the registry and call each other through the gateway."
                    .to_owned(),
                format!(
                    "Look at it, and buy something:\n  curl -H 'Host: storefront' http://{gateway}/\n  curl -H 'Host: storefront' -X POST http://{gateway}/orders"
                ),
                format!(
                    "Nothing breaks by itself. Break it:\n  bellwether demo break payments --latency 2s{server_flag}\n  bellwether demo heal{server_flag}"
                ),
                "Ctrl-C stops everything.".to_owned(),
            ],
            ..Banner::default()
        };
        let shown = banner.show(self.output, log);
        if shown.is_ok() {
            let time_is_up = async {
                match self.time {
                    Some(time) => tokio::time::sleep(time).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = parts::stay(signals, &self.settings.flags, log, None) => {}
                () = self.tell(control, load.as_ref()) => {}
                () = time_is_up => {}
                () = shop.run(acts) => {}
            }
        }
        if let Some(load) = load {
            let sales = load.finish().await;
            let demo::Sales { shown, paid, queued, failed, turned_away } = sales;
            tracing::info!(shown, paid, queued, failed, turned_away, "the customers have left");
        }
        shop.close().await;
        shown
    }
}

impl Demo {
    /// Tells the story, where one is to be told, and leaves everything running after it.
    async fn tell(&self, control: &mut Control, load: Option<&demo::Load>) {
        if let (Some(time), Some(load)) = (self.story, load) {
            let outcome = Story::new(control, load, time).tell().await.unwrap_or_else(|why| {
                tracing::error!(why, "the story has broken off");
                json!({ "story": "broken off", "why": why })
            });
            if self.output != Format::Table
                && let Err(problem) = output::item(self.output, &outcome, String::new)
            {
                tracing::warn!(%problem, "nobody reads what came of the story");
            }
        }
        std::future::pending().await
    }
}

impl DemoService {
    pub(crate) fn run(self) -> Result<(), Problem> {
        let Self { kind, id, version, control, gateway, settings } = self;
        let (settings, _) = config::load(&settings.flags)?;
        let _log = Log::start(&settings);
        stay(async move {
            let order = demo::Order { kind, id, version, control, gateway };
            demo::serve(order).await.map_err(|error| Problem::new(Code::Internal, error.to_string()))
        })
    }
}

fn not_started(error: std::io::Error) -> Problem {
    Problem::new(Code::ProcessNotStarted, error.to_string())
}

async fn open_shop(plan: demo::Plan) -> Result<demo::Shop, Problem> {
    demo::Shop::open(plan).await.map_err(|error| {
        not_started(error)
            .next("the lines above say what kept it; if that does not help, try again with --log-level debug")
    })
}

/// Whoever reads that the shop is open may call it at once, so the gateway has to know of all of it. It is
/// told within milliseconds; should it not be, that is no reason to keep the viewer waiting.
async fn until_routed(gateway: &Proxy, shop: &demo::Shop) {
    let newest = shop.instances().map(|instance| instance.revision).max();
    let told = async {
        while gateway.revision() < newest {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    if tokio::time::timeout(TOLD, told).await.is_err() {
        tracing::warn!("the gateway has not yet heard of the whole shop");
    }
}

fn temporary() -> Result<TempDir, Problem> {
    tempfile::Builder::new().prefix("bellwether-demo-").tempdir().map_err(|error| {
        Problem::new(Code::DataFolderUnusable, format!("no temporary folder can be made: {error}"))
            .next("choose a folder with --data")
    })
}

/// The address, or where it is taken the next free one of the same kind; then that is said.
fn bind_near(address: SocketAddr, what: &str) -> Result<TcpListener, Problem> {
    listener::check_exposure(address, false, false, false)?;
    let taken = match listener::bind(address) {
        Err(problem) if problem.code() == Code::AddressInUse => problem,
        bound => return bound,
    };
    let neighbours = (1..=NEIGHBOURS).filter_map(|step| address.port().checked_add(step));
    for port in neighbours.chain([0]) {
        if let Ok(bound) = listener::bind(SocketAddr::new(address.ip(), port)) {
            output::tell(&format!("{}; {what} is at {} instead", taken.detail(), parts::address(&bound)?));
            return Ok(bound);
        }
    }
    Err(taken)
}

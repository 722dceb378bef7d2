//! `gateway`: the data plane alone.
//!
//! Started with the data folder of a gateway that runs, it takes over from it, see [`super::handover`].

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
};

use clap::Args;
use identity::ProxyId;
use proxy::Keep;
use storage_disk::{
    RealDisk,
    folder::{DataFolder, Store},
};
use wire::native::problem::{Code, Problem};

use super::{
    banner::Banner,
    handover::{Estate, Successors, Takeover},
    parts,
    signals::Signals,
    stay,
};
use crate::{
    channel::Grpc,
    config::{self, FlagsOf, ForGateway, Settings},
    log::Log,
    output::Format,
};

/// Start a gateway alone; it follows a control plane in another process and survives its restarts
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  bellwether gateway --control http://127.0.0.1:2355 --listen 127.0.0.1:8000\n\nWith --data, another one that is started on the same folder takes over: it gets the socket that the first one\nlistens on, and the first one ends once what it has begun is finished. No connection is refused or broken."
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
            let data = settings.gateway_data.as_deref();
            let before = match data {
                Some(data) => Takeover::begin(data).await?,
                None => None,
            };
            let socket = match &before {
                Some(before) => inherited(before, address, &settings)?,
                None => parts::bind_gateway(address, &settings)?,
            };
            // Owned as long as the gateway runs; where another process has it, once that lets go.
            let folder = match (&before, data) {
                (None, Some(data)) => Some(server::data_folder(data)?),
                _ => None,
            };
            let id = match &before {
                Some(before) => settings.proxy_id.clone().unwrap_or_else(|| before.proxy.clone()),
                None => id(&settings, parts::address(&socket)?, folder.as_ref())?,
            };
            let keep = data.map(|data| Keep {
                disk: Arc::new(RealDisk),
                path: data.join(Store::Proxy.as_str()).join(SNAPSHOT_FILE),
                is_owned: before.is_none(),
            });
            let own = socket.try_clone().map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
            let gateway = parts::gateway(&settings, socket, id.clone(), Grpc::new(&settings)?, keep)?;
            let folder = match (before, data) {
                (Some(before), Some(data)) => Some(take_over(before, data, &gateway, &settings).await?),
                _ => folder,
            };
            let absolute = data.map(parts::absolute);
            let banner = Banner {
                gateway: Some(gateway.local_addr()),
                control: Some(&settings.control),
                data: absolute.as_deref(),
                more: [("proxy".to_owned(), id.as_str().into())].into_iter().collect(),
                ..Banner::default()
            };
            let successors = data.and_then(successors);
            banner.show(self.output, &log)?;
            let taken_over = {
                let mut estate = Possession { data, gateway: &gateway, folder };
                let until_taken_over = async {
                    let Some(successors) = &successors else { return std::future::pending().await };
                    successors.taken_over(&own, &id, &mut estate).await;
                };
                tokio::select! {
                    () = parts::stay(signals, &flags, &log, None) => false,
                    () = until_taken_over => true,
                }
            };
            // Without it a port that nobody serves any more would go on accepting connections.
            drop(own);
            if taken_over {
                tracing::info!("another process has taken over: what has begun is finished here");
                gateway.retire().await;
            } else {
                if let Some(successors) = successors {
                    successors.close();
                }
                gateway.shutdown().await;
            }
            Ok(())
        })
    }
}

/// The socket of the process before this one, where it is the address that is wanted; else one of its own.
fn inherited(before: &Takeover, wanted: SocketAddr, settings: &Settings) -> Result<TcpListener, Problem> {
    let known = parts::address(&before.socket)?;
    let is_wanted = known == wanted || wanted.port() == 0 && known.ip() == wanted.ip();
    if !is_wanted {
        return parts::bind_gateway(wanted, settings);
    }
    before.socket.try_clone().map_err(|error| Problem::new(Code::AddressUnavailable, error.to_string()))
}

/// Waits until the gateway can route calls, and has the process before this one leave.
async fn take_over(
    before: Takeover,
    data: &Path,
    gateway: &proxy::Proxy,
    settings: &Settings,
) -> Result<DataFolder, Problem> {
    if tokio::time::timeout(Takeover::patience(), gateway.ready()).await.is_err() {
        let within = identity::duration::format(Takeover::patience());
        let detail = format!("{} has told nothing within {within}", settings.control);
        return Err(Problem::new(Code::ServerUnreachable, detail)
            .next("the gateway that ran before goes on; start again when the control plane answers"));
    }
    let folder = before.complete(data).await?;
    gateway.keep(true).await;
    Ok(folder)
}

/// Where a successor can ask for the socket; without it a restart is a restart.
fn successors(data: &Path) -> Option<Successors> {
    let listening = Successors::listen(data);
    listening.inspect_err(|error| tracing::warn!(%error, "no other process can take over from this one")).ok()
}

/// The data folder, and who writes to it.
struct Possession<'a> {
    data: Option<&'a Path>,
    gateway: &'a proxy::Proxy,
    folder: Option<DataFolder>,
}

impl Estate for Possession<'_> {
    async fn release(&mut self) {
        self.gateway.keep(false).await;
        self.folder = None;
    }

    async fn take_back(&mut self) {
        match self.data.map(server::data_folder).transpose() {
            Ok(folder) => {
                self.folder = folder;
                self.gateway.keep(true).await;
            }
            Err(problem) => {
                tracing::error!(%problem, "the data folder is lost, and nothing is kept for a restart");
            }
        }
    }
}

/// The file in the gateway's folder that holds its id.
const ID_FILE: &str = "id";

/// The file in the gateway's folder that holds the last table.
const SNAPSHOT_FILE: &str = "snapshot";

/// An id has at most 128 bytes.
const ID_BYTES: u64 = 256;

/// The id that was given, else the one that the folder remembers, else one that says which machine and
/// port. It is remembered, so that the gateway is the same one after a restart on another port.
fn id(settings: &Settings, address: SocketAddr, folder: Option<&DataFolder>) -> Result<ProxyId, Problem> {
    let remembered = folder.map(|folder| (folder, folder.store(Store::Proxy).join(ID_FILE)));
    let known = match (&settings.proxy_id, &remembered) {
        (Some(id), _) => Some(id.clone()),
        (None, Some((folder, file))) => read(folder, file)?,
        (None, None) => None,
    };
    let id = match known {
        Some(id) => id,
        None => made(address)?,
    };
    if let Some((folder, file)) = remembered {
        let disk = folder.disk();
        let written = disk
            .create_folder(&folder.store(Store::Proxy))
            .and_then(|()| disk.replace(&file, id.as_str().as_bytes()));
        written.map_err(|error| {
            Problem::new(Code::DiskFailed, format!("{} cannot be written: {error}", file.display()))
        })?;
    }
    Ok(id)
}

fn read(folder: &DataFolder, file: &Path) -> Result<Option<ProxyId>, Problem> {
    let damaged = |why: String| Problem::new(Code::DataFolderDamaged, format!("{}: {why}", file.display()));
    match folder.disk().read(file, ID_BYTES) {
        Ok(bytes) => {
            let id = ProxyId::new(&String::from_utf8_lossy(&bytes));
            id.map(Some).map_err(|invalid| damaged(invalid.to_string()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(damaged(error.to_string())),
    }
}

fn made(address: SocketAddr) -> Result<ProxyId, Problem> {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let machine: String = machine.chars().filter(|c| sound(*c)).take(64).collect();
    ProxyId::new(&format!("gateway@{machine}:{}", address.port()))
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

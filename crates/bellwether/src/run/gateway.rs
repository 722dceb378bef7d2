//! `gateway`: the data plane alone.

use std::{io::ErrorKind, net::SocketAddr, path::Path};

use clap::Args;
use identity::ProxyId;
use proxy::Keep;
use storage_disk::folder::{DataFolder, Store};
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
            // Owned as long as the gateway runs.
            let folder = settings.gateway_data.as_deref().map(server::data_folder).transpose()?;
            let id = id(&settings, parts::address(&socket)?, folder.as_ref())?;
            let keep = folder.as_ref().map(|folder| Keep {
                disk: folder.disk(),
                path: folder.store(Store::Proxy).join(SNAPSHOT_FILE),
            });
            let gateway = parts::gateway(&settings, socket, id.clone(), Grpc::new(&settings)?, keep)?;
            let data = settings.gateway_data.as_deref().map(parts::absolute);
            let banner = Banner {
                gateway: Some(gateway.local_addr()),
                control: Some(&settings.control),
                data: data.as_deref(),
                more: [("proxy".to_owned(), id.as_str().into())].into_iter().collect(),
                ..Banner::default()
            };
            banner.show(self.output, &log)?;
            parts::stay(signals, &flags, &log, None).await;
            gateway.shutdown().await;
            Ok(())
        })
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

//! The parts of a process, made from the settings.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use identity::ProxyId;
use proxy::{Directory, Keep, Proxy, Sink};
use server::{
    Budget, Budgets, ScrapeSettings, Server,
    listener::{self, TlsFiles},
};
use wire::{
    native::problem::{Code, Problem},
    scrape_config,
};

use super::signals::Signals;
use crate::{
    config::{self, Flags, OtlpPorts, Settings},
    log::Log,
};

/// The control plane on a socket that is bound already, so that a taken port is noticed before a data
/// folder is touched.
pub(super) async fn server(settings: &Settings, listener: TcpListener) -> Result<Server, Problem> {
    let tls = settings.tls_cert.clone().zip(settings.tls_key.clone());
    let telemetry = otlp_ports(settings)?;
    Server::start(server::Settings {
        tls: tls.map(|(certificates, key)| TlsFiles { certificates, key }),
        require_tokens: settings.auth,
        insecure: settings.insecure,
        hosts: settings.allowed_hosts.clone(),
        networks: settings.dial_networks.clone(),
        budgets: budgets(settings),
        drain: settings.drain,
        telemetry,
        scrape: scrape(settings)?,
        share: settings.trace_share,
        tail: settings.tail_sampling.0.clone(),
        ..server::Settings::new(listener, settings.data.clone())
    })
    .await
}

/// The ports of OTLP, over gRPC and over HTTP. Ours take both.
const OTLP_PORTS: [u16; 2] = [4317, 4318];
/// The address beside which they are taken unasked.
const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 2355);

/// Sockets at the ports where senders of OTLP look first. Where nobody asked for them and another collector
/// has them, spans reach that one and not us, so that is said loudly.
fn otlp_ports(settings: &Settings) -> Result<Vec<TcpListener>, Problem> {
    let wanted = match settings.otlp_ports {
        OtlpPorts::On => true,
        OtlpPorts::Off => false,
        OtlpPorts::Auto => settings.listen == USUAL,
    };
    let mut sockets = Vec::new();
    for port in OTLP_PORTS.into_iter().filter(|_| wanted) {
        match listener::bind(SocketAddr::new(settings.listen.ip(), port)) {
            Ok(socket) => sockets.push(socket),
            Err(problem) if settings.otlp_ports == OtlpPorts::On => return Err(problem),
            Err(problem) => tracing::warn!(
                %problem,
                "spans that are sent to port {port} do not come here; send them to {} instead",
                settings.listen
            ),
        }
    }
    Ok(sockets)
}

/// Whom to ask for metrics.
fn scrape(settings: &Settings) -> Result<ScrapeSettings, Problem> {
    let invalid = |why: String| Problem::new(Code::InvalidSetting, why);
    if settings.scrape_interval < scrape_config::MIN_INTERVAL {
        return Err(invalid("scrape_interval is shorter than 100ms".to_owned()));
    }
    let jobs = settings.scrape_config.as_deref().map(|path| {
        let named = |why: String| invalid(format!("scrape_config, {}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
        scrape_config::read(&text).map_err(|mistake| named(mistake.to_string()))
    });
    Ok(ScrapeSettings {
        instances: settings.scrape,
        interval: settings.scrape_interval,
        jobs: jobs.transpose()?.unwrap_or_default(),
        ..ScrapeSettings::default()
    })
}

fn budgets(settings: &Settings) -> Budgets {
    Budgets {
        spans: Budget { memory_bytes: settings.spans_memory.0, disk_bytes: settings.spans_disk.0 },
        spans_max_age: settings.spans_max_age,
        samples: Budget { memory_bytes: settings.samples_memory.0, disk_bytes: settings.samples_disk.0 },
        series_per_service: settings.series_per_service,
        events: Budget { memory_bytes: settings.events_memory.0, disk_bytes: settings.events_disk.0 },
        events_max_age: settings.events_max_age,
        reserve_bytes: settings.disk_reserve.0,
    }
}

/// The data plane on a socket that is bound already.
pub(super) fn gateway(
    settings: &Settings,
    listener: TcpListener,
    id: ProxyId,
    channel: impl Directory + Sink + Clone,
    keep: Option<Keep>,
) -> Result<Proxy, Problem> {
    let [epoch, seed] = [random()?, random()?];
    let invalid = |error: identity::Invalid| Problem::new(Code::Internal, error.to_string());
    let told = proxy::Settings::new(listener, id, epoch, seed).map_err(invalid)?;
    let told = proxy::Settings {
        namespace: settings.namespace.clone(),
        networks: settings.dial_networks.clone(),
        propagation: settings.propagation,
        access_log: settings.access_log,
        drain: settings.drain,
        keep,
        ..told
    };
    Proxy::start(told, channel.clone(), channel)
        .map_err(|error| Problem::new(Code::Internal, format!("the gateway cannot start: {error}")))
}

/// A socket for the data plane. It takes calls to every service from whoever reaches it, so that is only
/// this machine, unless somebody insists.
pub(super) fn bind_gateway(address: SocketAddr, settings: &Settings) -> Result<TcpListener, Problem> {
    if !listener::is_loopback(address.ip()) && !settings.insecure {
        let detail = format!("other machines could call every service through the gateway at {address}");
        return Err(Problem::new(Code::Exposed, detail)
            .next("listen on a loopback address, or say --insecure if the network is protected otherwise"));
    }
    listener::bind(address)
}

/// The address that was bound.
pub(super) fn address(listener: &TcpListener) -> Result<SocketAddr, Problem> {
    listener.local_addr().map_err(|error| Problem::new(Code::AddressUnavailable, error.to_string()))
}

/// The data folder as it can be found from anywhere.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The gateway's id within the process of its control plane.
pub(super) fn id_within() -> Result<ProxyId, Problem> {
    ProxyId::new("gateway").map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

fn random() -> Result<u64, Problem> {
    getrandom::u64()
        .map_err(|error| Problem::new(Code::Internal, format!("no random numbers can be had: {error}")))
}

/// Waits until the process is asked to stop, and takes in changed settings until then.
pub(super) async fn stay(signals: Signals, flags: &Flags, log: &Log, server: Option<&Server>) {
    signals
        .stop(|| match reload(flags, log, server) {
            Ok(()) => tracing::info!("the settings that can change were read again"),
            Err(problem) => tracing::error!(%problem, "the settings stay as they were"),
        })
        .await;
}

fn reload(flags: &Flags, log: &Log, server: Option<&Server>) -> Result<(), Problem> {
    let (settings, _) = config::load(flags)?;
    log.reload(&settings)?;
    server.map_or(Ok(()), Server::reload_tls)
}

//! A connection to an endpoint.
//!
//! A registration is written by whoever may write, and we dial what it says: so every address is looked
//! at once more before it is dialled, whatever the name resolved to this time.

use std::{io, net::SocketAddr, time::Duration};

use registry::{Host, Networks};
use resilience::Fault;
use tokio::{net::TcpStream, time::timeout};

use crate::{endpoint::Endpoint, gateway::Gateway, listener::Gone, upstream::Upstream};

/// Why there is no connection, or no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(fault: Fault, detail: impl ToString) -> Self {
        Self { fault, detail: detail.to_string() }
    }
}

impl From<Gone> for Failure {
    /// Nobody will read it.
    fn from(_: Gone) -> Self {
        Self::new(Fault::Reset, "the client has gone")
    }
}

/// Opens a connection within the time for it, name resolution included.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    gateway: &Gateway,
    within: Duration,
) -> Result<Box<Upstream>, Failure> {
    let Ok(stream) = timeout(within, open(endpoint, &gateway.networks)).await else {
        let within = identity::duration::format(within);
        return Err(Failure::new(Fault::ConnectTimeout, format!("no connection within {within}")));
    };
    Ok(Upstream::new(stream?, gateway))
}

/// A connection to an address of the endpoint that may be dialled.
pub(crate) async fn open(endpoint: &Endpoint, networks: &Networks) -> Result<TcpStream, Failure> {
    let failed = |error: io::Error| Failure::new(Fault::Connect, error);
    match &endpoint.host {
        Host::Ip(ip) => connect([SocketAddr::new(*ip, endpoint.port)], networks).await,
        Host::Name(name) => {
            let addresses = tokio::net::lookup_host((name.as_ref(), endpoint.port)).await.map_err(failed)?;
            connect(addresses, networks).await
        }
    }
}

/// The first of these addresses that may be dialled and answers.
async fn connect(
    addresses: impl IntoIterator<Item = SocketAddr>,
    networks: &Networks,
) -> Result<TcpStream, Failure> {
    let mut failure = Failure::new(Fault::Connect, "the name has no address");
    for address in addresses {
        if let Some(forbidden) = networks.check(address.ip()) {
            failure = Failure::new(Fault::Forbidden, format!("{}: {}", address.ip(), forbidden.rule()));
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Failure::new(Fault::Connect, format!("{address}: {error}")),
        }
    }
    Err(failure)
}

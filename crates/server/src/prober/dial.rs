//! The way to an instance: its name resolved each time, and every address looked at before it is dialled.
//!
//! A name is not looked up again while it is being looked up, and lookups in flight are bounded by
//! themselves: the system's resolver takes a thread and cannot be interrupted, so that one slow zone of
//! names could otherwise take all the threads that the rest of the server shares.

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use registry::{Host, Networks};
use tokio::{net::TcpStream, sync::watch};

/// Names that are being looked up. Each takes a thread of the runtime's 512.
pub(crate) const LOOKUPS: usize = 64;

/// Turns names into addresses.
pub(crate) trait Resolve: Send + Sync + 'static {
    /// The addresses of a name, in the order in which they are to be tried.
    fn resolve(&self, name: Box<str>) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;
}

/// The system's resolver.
#[derive(Debug)]
pub(crate) struct System;

impl Resolve for System {
    fn resolve(&self, name: Box<str>) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((&*name, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoWay {
    /// For a reason that lies with the target.
    Failed(String),
    /// Too many names are being looked up.
    Busy,
}

type Resolved = Result<Arc<[IpAddr]>, Arc<str>>;

/// Opens connections.
pub(crate) struct Dialer {
    resolver: Arc<dyn Resolve>,
    networks: Networks,
    running: Running,
}

type Running = Arc<Mutex<HashMap<Box<str>, watch::Receiver<Option<Resolved>>>>>;

impl Dialer {
    pub(crate) fn new(resolver: impl Resolve, networks: Networks) -> Self {
        Self { resolver: Arc::new(resolver), networks, running: Running::default() }
    }

    /// Opens a connection to the first address that may be dialled and answers.
    pub(crate) async fn open(&self, host: &Host, port: u16) -> Result<TcpStream, NoWay> {
        match host {
            Host::Ip(ip) => self.connect(&[*ip], port).await,
            Host::Name(name) => self.connect(&self.resolve(name).await?, port).await,
        }
    }

    async fn resolve(&self, name: &str) -> Result<Arc<[IpAddr]>, NoWay> {
        let mut answer = self.look_up(name).ok_or(NoWay::Busy)?;
        let unresolved = |why: &str| NoWay::Failed(format!("{name} cannot be resolved: {why}"));
        let resolved = match answer.wait_for(Option::is_some).await {
            Ok(resolved) => resolved.clone(),
            Err(_) => None,
        };
        resolved.ok_or_else(|| unresolved("the lookup broke off"))?.map_err(|why| unresolved(&why))
    }

    async fn connect(&self, addresses: &[IpAddr], port: u16) -> Result<TcpStream, NoWay> {
        let mut why = "the name has no address".to_owned();
        for ip in addresses {
            if let Some(forbidden) = self.networks.check(*ip) {
                why = format!("{ip}: {}", forbidden.rule());
                continue;
            }
            let address = SocketAddr::new(*ip, port);
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => why = format!("{address}: {error}"),
            }
        }
        Err(NoWay::Failed(why))
    }

    /// Joins the lookup of this name, or begins one; `None` where there are too many.
    fn look_up(&self, name: &str) -> Option<watch::Receiver<Option<Resolved>>> {
        let mut running = lock(&self.running);
        if let Some(answer) = running.get(name) {
            return Some(answer.clone());
        }
        if running.len() >= LOOKUPS {
            return None;
        }
        let (tell, answer) = watch::channel(None);
        running.insert(name.into(), answer.clone());
        let lookup = self.resolver.resolve(name.into());
        let ended = Ended { running: self.running.clone(), name: name.into() };
        // It goes on when nobody waits for it any more, because the thread that it takes does so as well.
        tokio::spawn(async move {
            let _ended = ended;
            let resolved = lookup.await.map(Into::into).map_err(|error| error.to_string().into());
            tell.send_replace(Some(resolved));
        });
        Some(answer)
    }
}

/// Makes room for the next lookup, however this one ends.
struct Ended {
    running: Running,
    name: Box<str>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.name);
    }
}

fn lock(running: &Running) -> MutexGuard<'_, HashMap<Box<str>, watch::Receiver<Option<Resolved>>>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Checks over real sockets. Each test's name is the claim.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use monitoring::exposition::Exposition;
use registry::{
    Check, Command, Found, Host, Instance, Job, LeaseId, Networks, Probe, Registration, Scope, Status, Target,
};
use storage_catalog::Catalog;
use storage_disk::RealDisk;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    Figures, Prober,
    dial::{Dialer, Resolve},
    over,
};
use crate::{clock, roll::Roll};

mod lifecycle;
mod protocols;
mod rules;

/// A registry with its prober.
struct House {
    roll: Roll,
    figures: Arc<Figures>,
    stopping: CancellationToken,
    prober: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl House {
    fn start(folder: &Path) -> Self {
        Self::start_with(folder, over(Dialer::new(Names::default(), Networks::default())))
    }

    fn start_with<F>(folder: &Path, ask: impl Fn(Job) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Found> + Send + 'static,
    {
        let (catalog, loaded) = Catalog::open(Arc::new(RealDisk), folder, clock::now()).unwrap();
        let (roll, _, writer) = Roll::start(loaded.registry, catalog, Vec::new(), Vec::new());
        let (figures, stopping) = (Arc::new(Figures::default()), CancellationToken::new());
        let prober = Prober::new(roll.clone(), figures.clone(), ask);
        let prober = tokio::spawn(prober.run(stopping.clone()));
        Self { roll, figures, stopping, prober, writer }
    }

    async fn stop(self) {
        self.stopping.cancel();
        self.prober.await.unwrap();
        self.roll.close();
        drop(self.roll);
        self.writer.await.unwrap();
    }

    async fn register(&self, instance: &str, host: &str, port: u16, check: Check) {
        let mut registration = Registration::new(Host::parse(host).unwrap(), port);
        registration.checks = [check].into();
        let command = Command::register(target(instance), registration, LeaseId(1), "test");
        self.roll.apply(command).await.unwrap();
    }

    fn instance(&self, name: &str) -> Instance {
        self.roll.read().instance(&target(name)).expect("it is registered").clone()
    }

    /// Waits until an instance has this status, and says why it has.
    async fn until(&self, name: &str, status: Status) -> String {
        let mut woken = self.roll.follow(Scope::All);
        let found = async {
            loop {
                woken.borrow_and_update();
                let instance = self.instance(name);
                if instance.status == status {
                    return instance.reason().into_owned();
                }
                woken.changed().await.unwrap();
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(30), found).await;
        found.unwrap_or_else(|_| panic!("{name} never was {status}: {:?}", self.instance(name)))
    }

    fn metrics(&self) -> String {
        let mut text = Exposition::new();
        self.figures.expose(&mut text);
        text.into_string()
    }
}

fn target(instance: &str) -> Target {
    Target {
        namespace: "default".parse().unwrap(),
        service: "cart".parse().unwrap(),
        instance: instance.parse().unwrap(),
    }
}

/// A check as often as may be, so that a test takes no longer than it has to. One failure is enough.
fn often(probe: Probe) -> Check {
    let interval = Duration::from_millis(100);
    Check { interval, timeout: interval, failure_threshold: 1, ..Check::new(probe) }
}

/// One with time for an answer also on a busy machine.
fn patient(probe: Probe) -> Check {
    let interval = Duration::from_secs(1);
    Check { interval, timeout: interval, failure_threshold: 1, ..Check::new(probe) }
}

fn http(path: &str) -> Probe {
    Probe::Http { path: path.into() }
}

fn grpc(service: &str) -> Probe {
    Probe::Grpc { service: service.into() }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A resolver that knows what a test taught it.
#[derive(Default, Clone)]
struct Names {
    known: Arc<Mutex<HashMap<&'static str, Vec<IpAddr>>>>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    fn teach(&self, name: &'static str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.known.lock().unwrap().insert(name, addresses);
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Box<str>) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> {
        self.asked.fetch_add(1, Relaxed);
        let known = self.known.lock().unwrap().get(&*name).cloned();
        Box::pin(async move {
            match known {
                Some(addresses) => Ok(addresses),
                // A name server that never answers.
                None if name.starts_with("slow") => std::future::pending().await,
                None => Err(io::Error::other("no such name")),
            }
        })
    }
}

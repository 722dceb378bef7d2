//! Each test's name is the claim. Time is an argument; a plain reference stands beside the registry.

use std::time::Duration;

use identity::{Mono, Now, Wall};

use super::*;

mod circle;
mod hosts;
mod leases;
mod model;
mod networks;
mod owners;
mod plain;
mod policies;
mod probes;
mod protection;
mod registrations;
mod restored;
mod watchers;

const TTL: Duration = Duration::from_secs(15);

fn start() -> Now {
    Now { mono: Mono(0), wall: Wall(1_700_000_000_000_000_000) }
}

fn target(service: &str, instance: &str) -> Target {
    Target {
        namespace: "default".parse().unwrap(),
        service: service.parse().unwrap(),
        instance: instance.parse().unwrap(),
    }
}

fn leased(port: u16) -> Registration {
    Registration { ttl: Some(TTL.into()), ..Registration::new(Host::parse("10.0.0.1").unwrap(), port) }
}

fn register(instance: &str, port: u16, lease: u64, held: Option<u64>) -> Command {
    let (registration, lease, held) = (Box::new(leased(port)), LeaseId(lease), held.map(LeaseId));
    ask(instance, Ask::Register { registration, lease, held })
}

fn ask(instance: &str, ask: Ask) -> Command {
    Command { target: target("cart", instance), actor: "test".into(), ask }
}

fn status(registry: &Registry, instance: &str) -> Option<Status> {
    registry.instance(&target("cart", instance)).map(|i| i.status)
}

//! The registry's core without a server around it, filled to its limit.

use identity::{Mono, Now, Wall};
use registry::{Command, Host, LeaseId, Registration, Registry, Target};

use super::fleet;
use crate::{Failure, clock, process};

/// What it took.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) bytes_an_instance: f64,
    pub(super) micros_an_instance: f64,
}

/// Registers `count` instances, one by one.
pub(super) fn fill(count: usize) -> Result<Filled, Failure> {
    let own = std::process::id();
    let before = process::resident_bytes(own)?;
    let begin = clock::now();
    let mut registry = Registry::default();
    for nth in 0..count {
        let now = Now { mono: Mono(nth as u64), wall: Wall(1_700_000_000_000_000_000 + nth as u64) };
        let command = Command::register(target(nth)?, registration(nth)?, LeaseId(nth as u64), "bench");
        registry.apply(now, command)?;
    }
    let time = begin.elapsed();
    let bytes = process::resident_bytes(own)?.saturating_sub(before);
    if registry.instance_count() != count {
        return Err(format!("the registry holds {} of {count} instances", registry.instance_count()).into());
    }
    Ok(Filled {
        bytes_an_instance: bytes as f64 / count as f64,
        micros_an_instance: crate::round::micros(time) / count as f64,
    })
}

fn target(nth: usize) -> Result<Target, Failure> {
    Ok(Target {
        namespace: "default".parse()?,
        service: fleet::service(nth).parse()?,
        instance: fleet::id(nth).parse()?,
    })
}

/// The same as a request's body says.
fn registration(nth: usize) -> Result<Registration, Failure> {
    let body: serde_json::Value = serde_json::from_str(&fleet::registration(nth, "first"))?;
    let text = |field: &serde_json::Value| field.as_str().map(Box::<str>::from);
    let address = Host::parse(body["address"].as_str().unwrap_or_default())?;
    let mut registration = Registration::new(address, 8080);
    registration.zone = text(&body["zone"]);
    registration.version = text(&body["version"]);
    registration.ttl = Some(std::time::Duration::from_secs(12 * 3600).into());
    let metadata = body["metadata"].as_object().into_iter().flatten();
    registration.metadata =
        metadata.filter_map(|(key, value)| Some((Box::<str>::from(key.as_str()), text(value)?))).collect();
    Ok(registration)
}

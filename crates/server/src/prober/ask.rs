//! One question: connect, ask, and see whether it is the answer that was hoped for.
//!
//! Of what an instance answers nothing but its status gets into a reason. Reasons can be read by whoever
//! may read the registry, and a check must not become a way to read what stands behind an address.

use std::net::SocketAddr;

use identity::duration;
use registry::{Found, Host, Job, Probe};
use tokio::time::timeout_at;

use super::{
    dial::{Dialer, NoWay},
    grpc, http,
};
use crate::clock;

/// How the prober names itself.
pub(super) const AGENT: &str = concat!("bellwether-check/", env!("CARGO_PKG_VERSION"));

/// Puts a question. Name resolution, connection and answer together have the time of the check.
pub(super) async fn ask(dialer: &Dialer, job: &Job) -> Found {
    let deadline = clock::timer(clock::mono() + job.check.timeout);
    let late = |what| Found::Failed(format!("no {what} within {}", duration::format(job.check.timeout)));
    let stream = match timeout_at(deadline, dialer.open(&job.host, job.port)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(NoWay::Failed(why))) => return Found::Failed(why),
        Ok(Err(NoWay::Busy)) => return Found::Unasked,
        Err(_) => return late("connection"),
    };
    let authority = authority(&job.host, job.port);
    let answer = timeout_at(deadline, async {
        match &job.check.probe {
            Probe::Tcp => Ok(()),
            Probe::Http { path } => http::get(stream, &authority, path).await,
            Probe::Grpc { service } => grpc::check(stream, &authority, service).await,
        }
    });
    match answer.await {
        Ok(Ok(())) => Found::Passed,
        Ok(Err(why)) => Found::Failed(why),
        Err(_) => late("answer"),
    }
}

/// How a request names the instance that it goes to.
fn authority(host: &Host, port: u16) -> String {
    match host {
        Host::Ip(ip) => SocketAddr::new(*ip, port).to_string(),
        Host::Name(name) => format!("{name}:{port}"),
    }
}

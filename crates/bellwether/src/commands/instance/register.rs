//! `instance register`: what an owner says of its instance.

use clap::Args;
use http::Method;
use serde_json::Value as Json;
use wire::native::{
    api, nearest,
    problem::{Code, Problem},
};

use super::Which;
use crate::{
    client,
    commands::{Asking, Page},
    output,
};

/// Register an instance, or change what is registered
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  bellwether instance register payments payments-1 --address 10.0.0.7 --port 8080 --ttl 15s --check http:/healthz"
)]
pub(crate) struct Register {
    #[command(flatten)]
    which: Which,
    /// The IP address or DNS name at which it listens
    #[arg(long)]
    address: String,
    /// The port at which it listens
    #[arg(long)]
    port: u16,
    /// How long it counts as alive without a heartbeat; without it until it is deregistered
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// How long after its lease lapsed it is forgotten
    #[arg(long, value_name = "DURATION")]
    deregister_after: Option<String>,
    /// The version that it runs
    #[arg(long)]
    version: Option<String>,
    /// The failure domain that it runs in
    #[arg(long)]
    zone: Option<String>,
    /// Its share of the calls; 100 is a full share
    #[arg(long)]
    weight: Option<u32>,
    /// Anything else that should be known about it
    #[arg(long = "metadata", value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// What to ask it again and again to know whether it is healthy: http:/PATH, tcp or grpc:SERVICE, with
    /// options such as http:/healthz,interval=5s,timeout=1s,port=9090; may be given again
    #[arg(long = "check", value_name = "CHECK", value_parser = check)]
    checks: Vec<api::CheckBody>,
    /// How long it takes from its first call to its full share of them
    #[arg(long, value_name = "DURATION")]
    warm_up: Option<String>,
    /// The lease that is held already, to keep it
    #[arg(long, value_name = "LEASE")]
    lease: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is needed, such as team=checkout")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The options of a check.
const OPTIONS: [&str; 5] = ["interval", "timeout", "port", "success_threshold", "failure_threshold"];

/// A check as it is written in an argument. What its values may be is for the server to say.
fn check(text: &str) -> Result<api::CheckBody, String> {
    let mut parts = text.split(',');
    let mut check = match parts.next().unwrap_or_default().split_once(':') {
        Some(("http", path)) => api::CheckBody { http: Some(path.to_owned()), ..api::CheckBody::default() },
        Some(("grpc", service)) => grpc(service),
        None if text.split(',').next() == Some("tcp") => {
            api::CheckBody { tcp: Some(true), ..api::CheckBody::default() }
        }
        None if text.split(',').next() == Some("grpc") => grpc(""),
        _ => return Err("a check is http:/PATH, tcp or grpc:SERVICE".to_owned()),
    };
    for part in parts {
        let (name, value) =
            part.split_once('=').ok_or_else(|| format!("{part:?} is no option NAME=VALUE"))?;
        let number = || value.parse().map_err(|_| format!("{name} is a number, and {value:?} is none"));
        match name {
            "interval" => check.interval = Some(value.to_owned()),
            "timeout" => check.timeout = Some(value.to_owned()),
            "port" => check.port = Some(value.parse().map_err(|_| "port is a number from 1 to 65535")?),
            "success_threshold" => check.success_threshold = Some(number()?),
            "failure_threshold" => check.failure_threshold = Some(number()?),
            _ => {
                let meant = nearest(name, OPTIONS).map(|meant| format!("; did you mean {meant}?"));
                return Err(format!("a check has no {name:?}{}", meant.unwrap_or_default()));
            }
        }
    }
    Ok(check)
}

fn grpc(service: &str) -> api::CheckBody {
    api::CheckBody { grpc: Some(api::GrpcService(service.to_owned())), ..api::CheckBody::default() }
}

impl Register {
    pub(super) fn run(self) -> Result<(), Problem> {
        let Self {
            which,
            address,
            port,
            ttl,
            deregister_after,
            version,
            zone,
            weight,
            metadata,
            checks,
            warm_up,
            lease,
            asking,
        } = self;
        let body = api::RegistrationBody {
            address: address.into(),
            port,
            zone: zone.map(Into::into),
            version: version.map(Into::into),
            weight,
            metadata: metadata.into_iter().map(|(name, text)| (name.into(), text.into())).collect(),
            ttl: ttl.map(Into::into),
            deregister_after: deregister_after.map(Into::into),
            checks,
            warm_up: warm_up.map(Into::into),
            ..api::RegistrationBody::default()
        };
        asking.run(async |client, format| {
            let body = serde_json::to_value(&body)
                .map_err(|error| Problem::new(Code::InvalidArgument, format!("cannot be sent: {error}")))?;
            let (_, answer) =
                client.send(Method::PUT, which.path(&client), Some(&body), lease.as_deref()).await?;
            let page = Page::new(client::understood(&answer)?, "", |registered: api::Registered| {
                format!("{}\n", registered.lease_id.unwrap_or_default())
            });
            let created = page.document["created"] == Json::Bool(true);
            page.print(format)?;
            let word = if created { "registered" } else { "was there already; it is now as given" };
            output::tell(&format!("{} of {} {word}; above is its lease", which.id, which.service));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_read_as_it_is_written() {
        let http =
            check("http:/a:b?c=d,interval=5s,timeout=1s,port=9,success_threshold=2,failure_threshold=4")
                .unwrap();
        let expected = api::CheckBody {
            http: Some("/a:b?c=d".to_owned()),
            interval: Some("5s".to_owned()),
            timeout: Some("1s".to_owned()),
            port: Some(9),
            success_threshold: Some(2),
            failure_threshold: Some(4),
            ..api::CheckBody::default()
        };
        assert_eq!(http, expected);
        assert_eq!(check("tcp").unwrap().tcp, Some(true));
        assert_eq!(check("grpc,port=9").unwrap().grpc, Some(api::GrpcService::default()));
        assert_eq!(
            check("grpc:cart.v1.Cart").unwrap().grpc,
            Some(api::GrpcService("cart.v1.Cart".to_owned()))
        );
        for (bad, says) in [
            ("ping", "http:/PATH"),
            ("tcp:80", "http:/PATH"),
            ("tcp,port=x", "65535"),
            ("tcp,intervall=5s", "did you mean interval?"),
            ("tcp,5s", "NAME=VALUE"),
            ("", "http:/PATH"),
        ] {
            assert!(check(bad).unwrap_err().contains(says), "{bad}");
        }
    }
}

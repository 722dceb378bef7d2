//! `demo break` and `demo heal`: something is done to the shop of a running demo.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;
use wire::native::problem::{Code, Problem};

use super::Asking;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum DemoAct {
    Break(Box<Break>),
    Heal(Box<Heal>),
}

/// Break something in the shop of a running demo
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether demo break payments --latency 2s\n  bellwether demo break payments --errors 30%\n  bellwether demo break --kill inventory-2\n  bellwether demo break --release inventory 1.5.0"
)]
pub(crate) struct Break {
    /// The service that is to be late, or to fail
    #[arg(required_unless_present_any = ["kill", "release"])]
    service: Option<String>,
    /// How much later it answers
    #[arg(long, value_name = "DURATION", requires = "service")]
    latency: Option<String>,
    /// Which share of its calls fails
    #[arg(long, value_name = "SHARE", requires = "service")]
    errors: Option<String>,
    /// End this instance without a word, as a crash does
    #[arg(long, value_name = "INSTANCE", conflicts_with_all = ["service", "release"])]
    kill: Option<String>,
    /// Replace the service's instances, one after the other, by a version that fails a tenth of its calls
    #[arg(long, num_args = 2, value_names = ["SERVICE", "VERSION"], conflicts_with = "service")]
    release: Option<Vec<String>>,
    #[command(flatten)]
    asking: Asking,
}

/// Undo all that was broken: faults end, killed instances return, bad versions are rolled back
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether demo heal")]
pub(crate) struct Heal {
    #[command(flatten)]
    asking: Asking,
}

impl DemoAct {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self {
            Self::Break(command) => command.run(),
            Self::Heal(command) => ask(
                &command.asking,
                &json!({ "action": "heal" }),
                "the shop is healed: breakers close by themselves",
            ),
        }
    }
}

impl Break {
    fn run(self) -> Result<(), Problem> {
        let Self { service, latency, errors, kill, release, asking } = self;
        if let Some(instance) = kill {
            let service = service_of(&instance)?;
            let body = json!({ "action": "kill", "service": service, "instance": instance });
            let look = format!(
                "{instance} is killed: `bellwether service show {service}` shows how long it is missed"
            );
            return ask(&asking, &body, &look);
        }
        if let Some([service, version]) = release.as_deref() {
            let body = json!({ "action": "release", "service": service, "version": version });
            let look = format!(
                "{version} of {service} is rolled out: `bellwether service show {service}` shows the versions"
            );
            return ask(&asking, &body, &look);
        }
        let service = service.unwrap_or_default();
        let body = json!({ "action": "break", "service": service, "latency": latency, "errors": errors });
        let look = format!("{service} is broken: `bellwether breaker list --watch` shows what follows");
        ask(&asking, &body, &look)
    }
}

/// The shop's instances are named after their service: `inventory-2`.
fn service_of(instance: &str) -> Result<&str, Problem> {
    instance.rsplit_once('-').map(|(service, _)| service).ok_or_else(|| {
        Problem::new(Code::InvalidArgument, format!("{instance:?} is no instance of the shop"))
            .at("--kill")
            .next("name one as `bellwether service show inventory` shows them, such as inventory-2")
    })
}

fn ask(asking: &Asking, body: &serde_json::Value, look: &str) -> Result<(), Problem> {
    asking.run(async |client, format| {
        let path = client.in_namespace().segment("demo");
        client.send(Method::POST, path, Some(body), None).await?;
        output::tell(look);
        match format {
            output::Format::Table => Ok(()),
            _ => output::item(format, body, String::new),
        }
    })
}

//! `status`: is it there, and is all well?

use clap::Args;
use wire::native::{
    api::{self, FindingKind, NextStep},
    problem::Problem,
};

use super::{Page, Reading, figures, ledger};
use crate::{
    client::Path,
    output::{Style, strip},
};

/// Show how the control plane and the services of a namespace are doing
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether status --server http://127.0.0.1:2355")]
pub(crate) struct Status {
    #[command(flatten)]
    reading: Reading,
}

impl Status {
    pub(crate) fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let path = Path::v1().segment("overview").query("namespace", client.namespace().as_str());
            let answer = client.get(path).await?;
            let url = client.url().to_string();
            Ok(Page::new(answer, "", |overview| words(&url, &overview)))
        })
    }
}

fn words(url: &str, overview: &api::Overview) -> String {
    let style = Style::of_stdout();
    let mut lines = Vec::new();
    let access = if overview.server.open_access { "open to all who reach it" } else { "with a token" };
    lines.push(format!(
        "{} {} at {url}, since {}, {access}",
        style.strong("bellwether"),
        overview.server.version,
        figures::time(&overview.server.started),
    ));
    let count = |wanted: fn(&api::InstanceCounts) -> u32| -> u32 {
        overview.services.iter().map(|service| wanted(&service.instances)).sum()
    };
    lines.push(format!(
        "namespace {}: {} services, {} of {} instances up, revision {}",
        overview.namespace,
        overview.services.len(),
        count(|counts| counts.up),
        count(|counts| counts.total),
        overview.revision,
    ));
    for service in &overview.services {
        let red = &service.red;
        lines.push(format!(
            "  {}: {} of {} up, {} calls at {}, {} errors, p50 {}, p99 {}",
            service.service,
            service.instances.up,
            service.instances.total,
            red.calls,
            figures::rate(red),
            figures::percent(red.error_ratio),
            figures::quantile(red.p50_ns),
            figures::quantile(red.p99_ns),
        ));
    }
    let wrong = complaints(overview);
    if wrong.is_empty() {
        lines.push(style.good("all is well"));
    }
    lines.extend(wrong.iter().map(|complaint| style.bad(complaint)));
    lines.join("\n") + "\n"
}

/// What somebody should look at.
fn complaints(overview: &api::Overview) -> Vec<String> {
    let failing = overview.server.failing.iter();
    let mut wrong: Vec<String> = failing
        .map(|failing| strip(&format!("{} cannot be written: {}", failing.store, failing.why)))
        .collect();
    wrong.extend(overview.findings.iter().map(found));
    for (name, account) in [("spans", &overview.ledger.spans), ("samples", &overview.ledger.samples)] {
        if !ledger::balances(account) {
            wrong.push(format!("the ledger of {name} does not balance"));
        }
    }
    wrong
}

/// A finding in one sentence, with what to type under it.
fn found(finding: &api::Finding) -> String {
    let service = &finding.service;
    let caller = finding.caller.as_deref().unwrap_or_default();
    let what = match finding.kind {
        FindingKind::BreakerOpen => format!("{caller} → {service}: the breaker refuses calls"),
        FindingKind::BreakerProbing => format!("{caller} → {service}: the breaker lets a few calls through"),
        FindingKind::NoInstanceUp => format!("{service} has no instance that takes calls"),
        FindingKind::InstancesDown => format!("{service} has instances that are down"),
        FindingKind::Errors => format!("{service} fails"),
    };
    let since =
        finding.since.as_deref().map(|at| format!(", since {}", figures::time(at))).unwrap_or_default();
    let next = match finding.next {
        NextStep::Drain => "take it out of the calls",
        NextStep::LookAtTraces => "look at the calls that failed",
        NextStep::LookAtInstances => "look why it is down",
        NextStep::EndForce => "end it when it is no longer wanted",
        NextStep::Wait => "wait, and watch",
    };
    let commands: String =
        finding.commands.iter().map(|command| format!("\n    {}", strip(command))).collect();
    let cause = finding.cause.as_deref().map(|cause| format!("; {cause}")).unwrap_or_default();
    format!("{}\n  {next}:{commands}", strip(&format!("{what}{since}: {}{cause}", finding.why)))
}

//! `policy`: what should happen to calls, as documents.

use clap::{Args, Subcommand};
use http::{Method, StatusCode};
use identity::{PolicyName, ServiceName};
use serde_json::Value as Json;
use wire::{
    native::{
        api,
        problem::{Code, Problem},
    },
    policy::Document,
};

use super::{Asking, Page, Reading, figures};
use crate::{
    client::{self, Client, Path},
    output::{self, Table, strip},
};

mod compare;
mod file;

/// What should happen to calls: time-outs, retries, breakers, balancing, limits
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    Apply(Apply),
    Diff(Diff),
    Validate(Validate),
    List(List),
    Show(Show),
    History(History),
    Rollback(Rollback),
    Delete(Delete),
}

/// Write the policies of a file: all are checked before the first is written
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether policy apply -f cart.yaml --reason 'the disk is slow'\n  bellwether policy apply -f - --dry-run < policies.yaml"
)]
pub(crate) struct Apply {
    #[command(flatten)]
    file: file::Source,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Why, for those who will read of it
    #[arg(long)]
    reason: Option<String>,
    /// Only if the policy is at this revision; for a file with one policy
    #[arg(long, value_name = "REVISION")]
    if_match: Option<u64>,
    #[command(flatten)]
    asking: Asking,
}

/// Compare a file with what the server has; exits with 1 where they differ
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether policy diff -f cart.yaml")]
pub(crate) struct Diff {
    #[command(flatten)]
    file: file::Source,
    #[command(flatten)]
    asking: Asking,
}

/// Check a file without a server
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether policy validate -f cart.yaml")]
pub(crate) struct Validate {
    #[command(flatten)]
    file: file::Source,
}

/// List the policies of a namespace
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    reading: Reading,
}

/// Show a policy's document; or with --service all that holds for a service, and where it comes from
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether policy show cart > cart.yaml\n  bellwether policy show --service cart"
)]
pub(crate) struct Show {
    /// The policy
    #[arg(required_unless_present = "service", conflicts_with = "service")]
    name: Option<PolicyName>,
    /// The service whose calls it is about
    #[arg(long)]
    service: Option<ServiceName>,
    #[command(flatten)]
    reading: Reading,
}

/// Show every revision of a policy that is kept, with who, when and why
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether policy history cart")]
pub(crate) struct History {
    /// The policy
    name: PolicyName,
    #[command(flatten)]
    reading: Reading,
}

/// Let a policy say again what it said before, as a new revision
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether policy rollback cart --reason 'too many 503'\n  bellwether policy rollback cart --to 41"
)]
pub(crate) struct Rollback {
    /// The policy
    name: PolicyName,
    /// The revision to go back to; the last that said something else where it is not given
    #[arg(long, value_name = "REVISION")]
    to: Option<u64>,
    #[command(flatten)]
    change: Change,
}

/// Delete a policy; what is below it holds from then on
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether policy delete cart --reason 'the defaults are good enough'")]
pub(crate) struct Delete {
    /// The policy
    name: PolicyName,
    #[command(flatten)]
    change: Change,
}

/// What every command has that changes one policy.
#[derive(Debug, Args)]
struct Change {
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    /// Why, for those who will read of it
    #[arg(long)]
    reason: Option<String>,
    /// Only if the policy is at this revision
    #[arg(long, value_name = "REVISION")]
    if_match: Option<u64>,
    #[command(flatten)]
    asking: Asking,
}

impl Policy {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self {
            Self::Apply(command) => command.run(),
            Self::Diff(command) => command.run(),
            Self::Validate(command) => command.run(),
            Self::List(command) => command.run(),
            Self::Show(command) => command.run(),
            Self::History(command) => command.run(),
            Self::Rollback(command) => command.run(),
            Self::Delete(command) => command.run(),
        }
    }
}

/// Where a policy is.
fn path(client: &Client, name: &str) -> Path {
    client.in_namespace().segment("policies").segment(name)
}

/// Where a document belongs: in the namespace that it names, else in the one that was asked for.
fn place(client: &Client, document: &Document) -> Path {
    let namespace = document.namespace.as_ref().unwrap_or(client.namespace());
    let policies = Path::v1().segment("namespaces").segment(namespace.as_str()).segment("policies");
    policies.segment(document.name.as_str())
}

fn tag(revision: Option<u64>) -> Option<String> {
    revision.map(|revision| revision.to_string())
}

fn dry(path: Path, dry_run: bool) -> Path {
    path.maybe("dry_run", dry_run.then_some("true"))
}

fn row(policy: api::Policy) -> [String; 7] {
    let of = policy.service.unwrap_or_else(|| "(all)".to_owned());
    let at = figures::time(&policy.at);
    [policy.name, of, policy.revision.to_string(), policy.number.to_string(), at, policy.actor, policy.reason]
}

const COLUMNS: [&str; 7] = ["policy", "service", "revision", "number", "at", "actor", "reason"];

impl Apply {
    fn run(self) -> Result<(), Problem> {
        let Self { file, dry_run, reason, if_match, asking } = self;
        let documents = file.read()?;
        if if_match.is_some() && documents.len() != 1 {
            let detail = format!("--if-match is for one policy, and the file has {}", documents.len());
            return Err(Problem::new(Code::InvalidArgument, detail).at("--if-match"));
        }
        asking.run(async |client, format| {
            let mut written = Vec::new();
            for document in &documents {
                let path = dry(place(&client, document), dry_run).maybe("reason", reason.as_deref());
                let tag = tag(if_match);
                let sent = client.send(Method::PUT, path, Some(document.json()), tag.as_deref()).await;
                let (status, answer) = sent.inspect_err(|_| {
                    if !written.is_empty() {
                        output::tell(&format!(
                            "{} of {} were written before this one",
                            written.len(),
                            documents.len()
                        ));
                    }
                })?;
                let answer: client::Answer<api::Policy> = client::understood(&answer)?;
                let what = if status == StatusCode::CREATED { "is new" } else { "is there" };
                let tried = if dry_run { "would be" } else { "is" };
                output::tell(&strip(&format!(
                    "policy {} {what}; it {tried} at revision {}",
                    answer.value.name, answer.value.revision
                )));
                written.push(answer.document);
            }
            let document = serde_json::json!({ "policies": written });
            let value: Vec<api::Policy> =
                client::understood(Json::from(written).to_string().as_bytes())?.value;
            Page::new(client::Answer { document, value }, "/policies", |policies| {
                let mut table = Table::new(&COLUMNS);
                policies.into_iter().for_each(|policy| table.row(row(policy)));
                table.text("no policies in the file")
            })
            .print(format)
        })
    }
}

impl Diff {
    fn run(self) -> Result<(), Problem> {
        let documents = self.file.read()?;
        self.asking.run(async |client, _| {
            let mut different = Vec::new();
            for document in &documents {
                let here = output::yaml(document.json())?;
                let there = match client.get::<api::Policy>(place(&client, document)).await {
                    Ok(answer) => output::yaml(&answer.value.document)?,
                    Err(problem) if problem.code() == Code::NoSuchPolicy => String::new(),
                    Err(problem) => return Err(problem),
                };
                if here != there {
                    let name = document.name.as_str();
                    let lines = compare::lines(&there, &here);
                    output::print(&strip_lines(&format!(
                        "--- {name} as it is\n+++ {name} in the file\n{lines}"
                    )))?;
                    different.push(name);
                }
            }
            if different.is_empty() {
                output::tell("there is no difference");
                return Ok(());
            }
            let detail =
                format!("what the file says differs from what the server has: {}", different.join(", "));
            Err(Problem::new(Code::PolicyDiffers, detail))
        })
    }
}

/// What others wrote may hold what a terminal would obey.
fn strip_lines(text: &str) -> String {
    text.lines().map(|line| strip(line) + "\n").collect()
}

impl Validate {
    fn run(self) -> Result<(), Problem> {
        let documents = self.file.read()?;
        let names: Vec<&str> = documents.iter().map(|document| document.name.as_str()).collect();
        output::tell(&format!("{} valid: {}", documents.len(), names.join(", ")));
        Ok(())
    }
}

impl List {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let path = client.in_namespace().segment("policies").query("limit", "1000");
            let answer = client.get_all(path, "policies", usize::MAX).await?;
            Ok(Page::new(answer, "/policies", |policies: api::Policies| {
                let mut table = Table::new(&COLUMNS);
                policies.policies.into_iter().for_each(|policy| table.row(row(policy)));
                table.text("no policies: what is built in holds")
            }))
        })
    }
}

impl Show {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| match (&self.name, &self.service) {
            (Some(name), _) => {
                let answer: client::Answer<api::Policy> = client.get(path(client, name.as_str())).await?;
                let text = output::yaml(&answer.value.document)?;
                Ok(Page::new(answer, "", |_| strip_lines(&text)))
            }
            (None, service) => {
                let name = service.as_ref().map(ServiceName::as_str).unwrap_or_default();
                let path = client.in_namespace().segment("services").segment(name).segment("policy");
                let answer: client::Answer<api::EffectivePolicy> = client.get(path).await?;
                let text = output::yaml(&answer.value.policy)?;
                Ok(Page::new(answer, "", |effective| effective_text(&effective, &text)))
            }
        })
    }
}

fn effective_text(effective: &api::EffectivePolicy, policy: &str) -> String {
    let mut table = Table::new(&["section", "from", "policy", "revision"]);
    for (section, origin) in &effective.origins {
        let revision = origin.revision.map(|revision| revision.to_string()).unwrap_or_default();
        let name = origin.policy.clone().unwrap_or_default();
        table.row([section.clone(), origin.from.clone(), name, revision]);
    }
    format!("{}\n{}", strip_lines(policy), table.text(""))
}

impl History {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let answer = client.get(path(client, self.name.as_str()).segment("history")).await?;
            Ok(Page::new(answer, "/revisions", |history: api::PolicyHistory| {
                let mut table = Table::new(&["number", "revision", "at", "action", "actor", "reason"]);
                for made in history.revisions {
                    let (number, revision) = (made.number.to_string(), made.revision.to_string());
                    table.row([
                        number,
                        revision,
                        figures::time(&made.at),
                        made.action,
                        made.actor,
                        made.reason,
                    ]);
                }
                match history.forgotten {
                    0 => table.text(""),
                    older => format!("{}{older} older revisions are not kept any more\n", table.text("")),
                }
            }))
        })
    }
}

impl Rollback {
    fn run(self) -> Result<(), Problem> {
        let Self { name, to, change: Change { dry_run, reason, if_match, asking } } = self;
        asking.run(async |client, format| {
            let path = dry(path(&client, name.as_str()).segment("rollback"), dry_run);
            let body = serde_json::json!({ "to": to });
            let path = path.maybe("reason", reason.as_deref());
            let (_, answer) = client.send(Method::POST, path, Some(&body), tag(if_match).as_deref()).await?;
            Page::new(client::understood(&answer)?, "", |policy: api::Policy| {
                let mut table = Table::new(&COLUMNS);
                table.row(row(policy));
                table.text("")
            })
            .print(format)
        })
    }
}

impl Delete {
    fn run(self) -> Result<(), Problem> {
        let Self { name, change: Change { dry_run, reason, if_match, asking } } = self;
        asking.run(async |client, _| {
            let path = dry(path(&client, name.as_str()), dry_run).maybe("reason", reason.as_deref());
            client.send(Method::DELETE, path, None, tag(if_match).as_deref()).await?;
            let done =
                if dry_run { "would be deleted" } else { "is deleted; `policy rollback` brings it back" };
            output::tell(&format!("policy {name} {done}"));
            Ok(())
        })
    }
}

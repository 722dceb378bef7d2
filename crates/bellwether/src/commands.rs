//! The commands that ask: each turns its arguments into a request and the answer into rows.

use std::{future::Future, time::Duration};

use clap::Args;
use identity::duration;
use serde_json::Value as Json;
use wire::native::problem::{Code, Problem};

use crate::{
    client::{Answer, Client},
    config::{self, FlagsOf, ForClient},
    output::{self, Format},
};

mod backup;
mod breaker;
mod completions;
mod config_show;
mod demo_act;
mod event;
mod explain;
mod figures;
mod follow;
mod history;
mod instance;
mod ledger;
mod owner;
mod policy;
mod proxy;
mod query;
mod ring;
mod service;
mod status;
mod tap;
mod token;
mod top;
mod trace;
mod watch;
mod waterfall;
mod why;

pub(crate) use backup::{Backup, Restore};
pub(crate) use breaker::Breaker;
pub(crate) use completions::Completions;
pub(crate) use config_show::Config;
pub(crate) use demo_act::DemoAct;
pub(crate) use event::Event;
pub(crate) use explain::Explain;
pub(crate) use instance::Instance;
pub(crate) use ledger::Ledger;
pub(crate) use owner::Owner;
pub(crate) use policy::Policy;
pub(crate) use proxy::Proxy;
pub(crate) use query::Query;
pub(crate) use ring::Ring;
pub(crate) use service::Service;
pub(crate) use status::Status;
pub(crate) use tap::Tap;
pub(crate) use token::Token;
pub(crate) use top::Top;
pub(crate) use trace::Trace;
pub(crate) use watch::Watch;
pub(crate) use why::Why;

/// What every command that asks has: whom to ask, and the form of the answer.
#[derive(Debug, Clone, Args)]
pub(crate) struct Asking {
    /// The form of the data
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Format,
    #[command(flatten)]
    settings: FlagsOf<ForClient>,
}

/// What every command that reads has.
#[derive(Debug, Clone, Args)]
pub(crate) struct Reading {
    /// Go on, and print again whenever something has changed; looks every 2s or as often as given
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true, default_missing_value = "2s", value_parser = duration::parse)]
    watch: Option<Duration>,
    #[command(flatten)]
    asking: Asking,
}

/// An answer in all its forms.
pub(crate) struct Page {
    /// As it came.
    document: Json,
    /// Where its list is, see [`output::document`].
    items: &'static str,
    /// For people.
    table: String,
}

impl Page {
    fn new<T>(answer: Answer<T>, items: &'static str, table: impl FnOnce(T) -> String) -> Self {
        Self { document: answer.document, items, table: table(answer.value) }
    }

    fn print(self, format: Format) -> Result<(), Problem> {
        output::document(format, &self.document, self.items, || Ok(self.table))
    }
}

impl Asking {
    /// Asks, once.
    fn run<F: Future<Output = Result<(), Problem>>>(
        &self,
        ask: impl FnOnce(Client, Format) -> F,
    ) -> Result<(), Problem> {
        let (settings, _) = config::load(&self.settings.flags)?;
        let client = Client::new(&settings)?;
        runtime()?.block_on(ask(client, self.output))
    }
}

impl Reading {
    /// Reads, once or with `--watch` until somebody stops it.
    fn run(&self, read: impl AsyncFn(&Client) -> Result<Page, Problem>) -> Result<(), Problem> {
        self.asking.run(async |client, format| {
            let Some(interval) = self.watch else { return read(&client).await?.print(format) };
            let mut before: Option<Json> = None;
            loop {
                match read(&client).await {
                    Ok(page) if before.as_ref() == Some(&page.document) => {}
                    Ok(page) => {
                        before = Some(page.document.clone());
                        output::clear()?;
                        page.print(format)?;
                    }
                    // What was there once may come back.
                    Err(problem) if before.is_some() && is_passing(&problem) => output::problem(&problem),
                    Err(problem) => return Err(problem),
                }
                tokio::time::sleep(interval.max(Duration::from_millis(100))).await;
            }
        })
    }
}

/// Whether another try makes sense.
fn is_passing(problem: &Problem) -> bool {
    matches!(
        problem.code(),
        Code::ServerUnreachable
            | Code::AnswerTimeout
            | Code::NotReady
            | Code::ShuttingDown
            | Code::TooManyRequests
    )
}

/// One thread is enough to ask a question.
fn runtime() -> Result<tokio::runtime::Runtime, Problem> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Code::Internal, format!("no runtime can be started: {error}")))
}

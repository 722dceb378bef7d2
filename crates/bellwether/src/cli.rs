//! The grammar: a noun, then a verb (`service list`), and a few plain verbs (`up`, `status`).

use clap::{Parser, Subcommand};
use wire::native::problem::Problem;

use crate::{commands, run};

/// Microservice governance in one binary: registration and discovery, fault tolerance, tracing and
/// performance monitoring.
#[derive(Debug, Parser)]
#[command(
    name = "bellwether",
    version,
    max_term_width = 100,
    after_help = "Begin with `bellwether demo`, or with `bellwether up` and your own services.\n\
                  Exit codes: 0 ok, 1 failed, 2 usage, 3 unreachable, 4 not found, 5 denied."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(Box<run::Up>),
    Server(Box<run::Server>),
    Gateway(Box<run::Gateway>),
    Demo(Box<run::Demo>),
    #[command(hide = true)]
    DemoService(run::DemoService),
    Status(commands::Status),
    #[command(subcommand)]
    Service(commands::Service),
    #[command(subcommand)]
    Instance(commands::Instance),
    Owner(commands::Owner),
    Watch(commands::Watch),
    #[command(subcommand)]
    Trace(commands::Trace),
    #[command(subcommand)]
    Event(commands::Event),
    #[command(subcommand)]
    Breaker(commands::Breaker),
    #[command(subcommand)]
    Proxy(commands::Proxy),
    Ledger(commands::Ledger),
    #[command(subcommand)]
    Token(commands::Token),
    #[command(subcommand)]
    Config(commands::Config),
    Explain(commands::Explain),
    Completions(commands::Completions),
}

impl Cli {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self.command {
            Command::Up(command) => command.run(),
            Command::Server(command) => command.run(),
            Command::Gateway(command) => command.run(),
            Command::Demo(command) => command.run(),
            Command::DemoService(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Service(command) => command.run(),
            Command::Instance(command) => command.run(),
            Command::Owner(command) => command.run(),
            Command::Watch(command) => command.run(),
            Command::Trace(command) => command.run(),
            Command::Event(command) => command.run(),
            Command::Breaker(command) => command.run(),
            Command::Proxy(command) => command.run(),
            Command::Ledger(command) => command.run(),
            Command::Token(command) => command.run(),
            Command::Config(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Completions(command) => command.run(),
        }
    }
}

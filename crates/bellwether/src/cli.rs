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
    #[command(hide = true)]
    DemoControl(Box<run::DemoControl>),
    Status(commands::Status),
    Top(commands::Top),
    Tap(commands::Tap),
    Query(commands::Query),
    #[command(subcommand)]
    Service(commands::Service),
    #[command(subcommand)]
    Instance(commands::Instance),
    Owner(commands::Owner),
    Ring(commands::Ring),
    Watch(commands::Watch),
    #[command(subcommand)]
    Why(commands::Why),
    #[command(subcommand)]
    Trace(commands::Trace),
    #[command(subcommand)]
    Event(commands::Event),
    #[command(subcommand)]
    Breaker(commands::Breaker),
    #[command(subcommand)]
    Policy(commands::Policy),
    #[command(subcommand)]
    Proxy(commands::Proxy),
    Ledger(commands::Ledger),
    Backup(commands::Backup),
    Restore(commands::Restore),
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
            Command::DemoControl(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Top(command) => command.run(),
            Command::Tap(command) => command.run(),
            Command::Query(command) => command.run(),
            Command::Service(command) => command.run(),
            Command::Instance(command) => command.run(),
            Command::Owner(command) => command.run(),
            Command::Ring(command) => command.run(),
            Command::Watch(command) => command.run(),
            Command::Why(command) => command.run(),
            Command::Trace(command) => command.run(),
            Command::Event(command) => command.run(),
            Command::Breaker(command) => command.run(),
            Command::Policy(command) => command.run(),
            Command::Proxy(command) => command.run(),
            Command::Ledger(command) => command.run(),
            Command::Backup(command) => command.run(),
            Command::Restore(command) => command.run(),
            Command::Token(command) => command.run(),
            Command::Config(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Completions(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use wire::native::problem::Code;

    use super::Cli;

    /// Every command that the texts of a code tell people to type. Examples show mistakes and do not count.
    fn commands_in(code: Code) -> Vec<String> {
        let entry = code.entry();
        let quoted =
            [entry.cause, entry.remedy].into_iter().flat_map(|text| text.split('`').skip(1).step_by(2));
        quoted.filter(|text| text.starts_with("bellwether ")).map(str::to_owned).collect()
    }

    /// What is wrong with a command that somebody is told to type.
    fn complaint(text: &str) -> Option<String> {
        let root = {
            let mut root = Cli::command();
            root.build();
            root
        };
        let mut command = &root;
        for word in text.split(' ').skip(1) {
            if let Some(flag) = word.strip_prefix("--") {
                let flag = flag.split('=').next().unwrap_or_default();
                if !command.get_arguments().any(|argument| argument.get_long() == Some(flag)) {
                    return Some(format!("`{text}`: {} has no --{flag}", command.get_name()));
                }
            } else if let Some(next) = command.find_subcommand(word) {
                command = next;
            } else if command.has_subcommands() && command.get_name() != "help" {
                return Some(format!("`{text}`: {} has no {word}", command.get_name()));
            }
        }
        None
    }

    #[test]
    fn every_command_that_a_code_names_exists() {
        let commands = Code::ALL.iter().flat_map(|code| commands_in(*code));
        let complaints: Vec<String> = commands.filter_map(|text| complaint(&text)).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        assert!(
            Code::ALL.iter().flat_map(|code| commands_in(*code)).count() > 5,
            "there are some to look at"
        );
        assert!(
            complaint("bellwether policy aply").is_some()
                && complaint("bellwether status --contrl").is_some()
        );
    }
}

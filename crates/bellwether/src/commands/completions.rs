//! `completions`: what a shell needs to complete commands and flags.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use wire::native::problem::Problem;

use crate::{cli::Cli, output};

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether completions bash > ~/.local/share/bash-completion/completions/bellwether\n  \
                  bellwether completions zsh > \"${fpath[1]}/_bellwether\"\n  \
                  bellwether completions fish > ~/.config/fish/completions/bellwether.fish"
)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Problem> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "bellwether", &mut script);
        output::print(&String::from_utf8_lossy(&script))
    }
}

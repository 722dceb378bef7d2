//! `config`: what is set, and where it was said.

use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use wire::native::problem::Problem;

use crate::{
    config::{self, FlagsOf, ForEverything, SETTINGS},
    output::{self, Format, Table},
};

/// The configuration
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    Show(Show),
}

/// Show every setting with its value and where the value comes from
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether config show --config /etc/bellwether.toml\n  bellwether config show -o yaml"
)]
pub(crate) struct Show {
    /// The form of the data
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM")]
    output: Format,
    #[command(flatten)]
    settings: FlagsOf<ForEverything>,
}

impl Config {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self {
            Self::Show(command) => command.run(),
        }
    }
}

impl Show {
    fn run(self) -> Result<(), Problem> {
        let (_, sources) = config::load(&self.settings.flags)?;
        let mut documents = Vec::with_capacity(SETTINGS.len());
        let mut table = Table::new(&["setting", "value", "from", "on SIGHUP"]);
        for setting in SETTINGS {
            let (text, origin) = sources.get(setting.key);
            let shown = if setting.is_secret() && !text.is_empty() { "(secret)" } else { text };
            documents.push(json!({
                "key": setting.key,
                "value": if shown.is_empty() { Json::Null } else { shown.into() },
                "from": origin.to_string(),
                "variable": setting.variable(),
                "reloads": setting.reloads,
                "help": setting.help.trim(),
            }));
            let reloads = if setting.reloads { "read again" } else { "" };
            table.row([setting.key.to_owned(), shown.to_owned(), origin.to_string(), reloads.to_owned()]);
        }
        output::document(self.output, &json!({ "settings": documents }), "/settings", || Ok(table.text("")))
    }
}

//! Settings as flags, made from the table.

use std::{collections::BTreeMap, marker::PhantomData};

use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};

use super::{
    settings::{Role, SETTINGS, Setting},
    sources::Environment,
};

/// The flags that were given, by the key of their setting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    /// The file named by `--config`.
    pub(crate) config: Option<String>,
    /// As they were typed: the flag and its text.
    pub(crate) given: BTreeMap<&'static str, (String, String)>,
}

/// The roles of a command.
pub(crate) trait Roles {
    const ROLES: &'static [Role];
}

macro_rules! roles {
    ($($(#[$doc:meta])* $name:ident = [$($role:ident),*];)*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name;

        impl Roles for $name {
            const ROLES: &'static [Role] = &[$(Role::$role),*];
        })*
    };
}

roles! {
    /// The flags of a command that asks a control plane.
    ForClient = [Client];
    /// The flags of the control plane.
    ForServer = [Stay, Server];
    /// The flags of both in one process.
    ForUp = [Stay, Server, Up];
    /// The flags of the data plane.
    ForGateway = [Stay, Gateway];
    /// The flags of the demo.
    ForDemo = [Stay, Demo];
    /// The flags of a service of the demo.
    ForDemoService = [Stay];
    /// The flags of a command that looks at all settings.
    ForEverything = [Stay, Server, Up, Client];
}

/// The flags of these roles, to be flattened into a command.
#[derive(Debug, Clone)]
pub(crate) struct FlagsOf<R> {
    pub(crate) flags: Flags,
    roles: PhantomData<R>,
}

/// The flag of a setting in a command. In a file or an environment that a control plane shares, the gateway's
/// settings need a name of their own; in its own command they do not.
fn flag(setting: &Setting, roles: &[Role]) -> String {
    match setting.key {
        "gateway" if roles.contains(&Role::Gateway) => "listen".to_owned(),
        "gateway_data" => "data".to_owned(),
        _ => setting.flag(),
    }
}

fn of(roles: &'static [Role]) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(move |setting| setting.roles.iter().any(|role| roles.contains(role)))
}

const CONFIG: &str = "config";

impl<R: Roles> clap::Args for FlagsOf<R> {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .env("BELLWETHER_CONFIG")
            .hide_env_values(true)
            .help("The configuration file; without it bellwether.toml of this folder, if there is one");
        of(R::ROLES).fold(command.arg(config), |command, setting| {
            let default = match setting.key {
                "data" if R::ROLES.contains(&Role::Demo) => {
                    Some("a folder that goes with the demo".to_owned())
                }
                _ => (setting.default)(&Environment::of_somebody()).filter(|text| !text.is_empty()),
            };
            let mut help = setting.help.trim().to_owned();
            if let Some(default) = default.filter(|_| !setting.is_switch()) {
                help.push_str(&format!(" [default: {default}]"));
            }
            let arg = Arg::new(setting.key)
                .long(flag(setting, R::ROLES))
                .value_name(setting.value)
                .action(ArgAction::Set)
                .help(help);
            // A switch can be given without a value, and with one to take it back.
            let arg = if setting.is_switch() {
                arg.num_args(0..=1).require_equals(true).default_missing_value("true")
            } else {
                arg
            };
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<R: Roles> clap::FromArgMatches for FlagsOf<R> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Flags { config: matches.get_one::<String>(CONFIG).cloned(), given: BTreeMap::new() };
        for setting in of(R::ROLES) {
            let typed = matches.value_source(setting.key) == Some(ValueSource::CommandLine);
            if let Some(text) = matches.get_one::<String>(setting.key).filter(|_| typed) {
                flags.given.insert(setting.key, (format!("--{}", flag(setting, R::ROLES)), text.clone()));
            }
        }
        Ok(Self { flags, roles: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

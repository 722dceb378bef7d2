//! The configuration: raw texts from three places, validated once into [`Settings`].
//!
//! A flag wins over the environment, the environment over `bellwether.toml`, and that over the default.
//! One setting has one name, written in each place's own way: `tls_cert` in the file,
//! `BELLWETHER_TLS_CERT` in the environment, `--tls-cert` as a flag. The table in [`settings`] is the
//! only list of them. Everything that is given is checked, also what the command at hand does not use, so
//! that a mistake shows up at once and not with the next command.

mod flags;
mod settings;
mod sources;
mod tail;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use flags::{
    Flags, FlagsOf, ForClient, ForDemo, ForDemoService, ForEverything, ForGateway, ForServer, ForUp,
};
pub(crate) use settings::{SETTINGS, Settings};
pub(crate) use sources::{Environment, Sources};
pub(crate) use value::{FromSetting, Gateway, LogFormat, OtlpPorts, Secret, Url};

use wire::native::problem::Problem;

/// Reads all sources and validates what they say.
pub(crate) fn load(flags: &Flags) -> Result<(Settings, Sources), Problem> {
    let sources = Sources::read(flags, &Environment::of_this_process())?;
    Ok((Settings::validated(&sources)?, sources))
}

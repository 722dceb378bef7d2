//! What tail sampling keeps, as a setting.
//!
//! One setting with parts of its own and not a dozen settings: whoever turns it on mostly changes one number, and a
//! list of settings in which every tenth is about tail sampling helps nobody.

use std::time::Duration;

use identity::duration;
use server::TailSampling as Told;
use traces::sampling::Ratio;

use super::value::FromSetting;

/// Tail sampling, where it is on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TailSampling(pub(crate) Option<Told>);

impl FromSetting for TailSampling {
    const VALUE: &'static str = "off|on|KEY=VALUE,…";

    fn from_setting(text: &str) -> Result<Self, String> {
        let mut told = Told::default();
        match text {
            "off" => return Ok(Self(None)),
            "on" => return Ok(Self(Some(told))),
            _ => {}
        }
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(format!("off, on, or key=value pairs are needed; the keys are {KEYS}"));
            };
            let (key, value) = (key.trim(), value.trim());
            set(&mut told, key, value).map_err(|rule| format!("{key}: {rule}"))?;
        }
        let policy = &told.policy;
        if policy.quiet > policy.longest {
            return Err("quiet cannot be longer than longest, after which a trace is over anyway".to_owned());
        }
        if told.hold < policy.longest {
            return Err("hold cannot be shorter than longest, or nothing would be decided in time".to_owned());
        }
        Ok(Self(Some(told)))
    }
}

const KEYS: &str = "errors_per_second, slow, slow_per_second, rare_below, rare_window, rare_per_second, share, \
                    others_per_second, quiet, longest and hold";

fn set(told: &mut Told, key: &str, value: &str) -> Result<(), String> {
    let policy = &mut told.policy;
    match key {
        "errors_per_second" => policy.errors_per_second = number(value)?,
        "slow" => policy.slow = time(value)?,
        "slow_per_second" => policy.slow_per_second = number(value)?,
        "rare_below" => policy.rare_below = number(value)?,
        "rare_window" => policy.rare_window = time(value)?,
        "rare_per_second" => policy.rare_per_second = number(value)?,
        "share" => policy.ratio = Ratio::from_setting(value)?,
        "others_per_second" => policy.others_per_second = number(value)?,
        "quiet" => policy.quiet = time(value)?,
        "longest" => policy.longest = time(value)?,
        "hold" => told.hold = time(value)?,
        _ => return Err(format!("there is no such key; the keys are {KEYS}")),
    }
    Ok(())
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "a whole number is needed, such as 100".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|invalid| invalid.rule().to_owned())
}

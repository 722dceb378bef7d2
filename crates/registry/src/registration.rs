//! What an owner says of its instance, and the bounds that hold for it in every dialect.

use std::time::Duration;

use identity::Invalid;

use crate::{Check, Host};

/// What an owner says of its instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Where it listens.
    pub address: Host,
    /// The port, not zero.
    pub port: u16,
    /// The failure domain that it runs in.
    pub zone: Option<Box<str>>,
    /// The version that it runs.
    pub version: Option<Box<str>>,
    /// Its share of the calls relative to its siblings; 100 is a full share, 0 none.
    pub weight: u32,
    /// Anything else, for selection and for people.
    pub metadata: Metadata,
    /// How long the lease holds without a heartbeat; without one the instance stays until deleted.
    pub ttl: Option<Duration>,
    /// How long after its lease lapsed an instance is forgotten.
    pub deregister_after: Option<Duration>,
    /// What is asked to find out whether it is healthy. With a check, it begins as `starting`.
    pub checks: Box<[Check]>,
    /// How long it takes from its first call to its full share of them.
    pub warm_up: Option<Duration>,
}

/// A full share of calls.
pub const WEIGHT_DEFAULT: u32 = 100;
/// One instance takes at most this many full shares.
pub const WEIGHT_MAX: u32 = 10_000;
/// Metadata entries of an instance; with the bounds on each this is at most 72 KiB an instance.
pub const METADATA_MAX: usize = 64;
/// Bytes of a metadata key.
pub const METADATA_KEY_MAX: usize = 128;
/// Bytes of a metadata value, zone or version.
pub const TEXT_MAX: usize = 1024;
/// A shorter lease would lapse on an ordinary pause of a process.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// A longer one would say nothing.
pub const TTL_MAX: Duration = Duration::from_secs(24 * 3600);
/// The longest warm-up.
pub const WARM_UP_MAX: Duration = Duration::from_secs(3600);
/// Checks of an instance.
pub const CHECKS_MAX: usize = 8;
/// Without a setting, a lapsed instance is forgotten after this many of its TTLs.
pub const DEREGISTER_AFTER_TTLS: u32 = 10;

impl Registration {
    /// A registration with nothing but an address and a port.
    pub fn new(address: Host, port: u16) -> Self {
        Self {
            address,
            port,
            zone: None,
            version: None,
            weight: WEIGHT_DEFAULT,
            metadata: Metadata::default(),
            ttl: None,
            deregister_after: None,
            checks: Box::default(),
            warm_up: None,
        }
    }

    /// Checks the bounds that hold for every registration, whichever dialect it came in.
    ///
    /// # Errors
    /// The first field that is out of bounds, with its rule.
    pub fn check(&self) -> Result<(), Invalid> {
        let text = |what, value: &Option<Box<str>>| match value {
            Some(value) => check_text(what, value, TEXT_MAX),
            None => Ok(()),
        };
        if self.port == 0 {
            return Err(Invalid::new("port", "0", "a number from 1 to 65535"));
        }
        text("zone", &self.zone)?;
        text("version", &self.version)?;
        if self.weight > WEIGHT_MAX {
            return Err(Invalid::new("weight", &self.weight.to_string(), "a number from 0 to 10000"));
        }
        if self.metadata.len() > METADATA_MAX {
            return Err(Invalid::new("metadata", &self.metadata.len().to_string(), "at most 64 entries"));
        }
        self.metadata.check().map_err(|(_, invalid)| invalid)?;
        let range = |what, value: Option<Duration>, max| match value {
            Some(value) if value < TTL_MIN || value > max => Err(Invalid::new(
                what,
                &identity::duration::format(value),
                "from 1s to 24h (deregister_after: 10d)",
            )),
            _ => Ok(()),
        };
        range("ttl", self.ttl, TTL_MAX)?;
        range("deregister_after", self.deregister_after, TTL_MAX * DEREGISTER_AFTER_TTLS)?;
        if self.deregister_after.is_some() && self.ttl.is_none() {
            let given = self.deregister_after.map(identity::duration::format).unwrap_or_default();
            return Err(Invalid::new("deregister_after", &given, "only together with a ttl"));
        }
        if self.warm_up.is_some_and(|warm_up| warm_up < TTL_MIN || warm_up > WARM_UP_MAX) {
            let given = self.warm_up.map(identity::duration::format).unwrap_or_default();
            return Err(Invalid::new("warm_up", &given, "from 1s to 1h"));
        }
        if self.checks.len() > CHECKS_MAX {
            return Err(Invalid::new("checks", &self.checks.len().to_string(), "at most 8"));
        }
        // What one of two equal checks has found out could not be told from what the other has.
        let mut later = self.checks.iter().enumerate();
        if let Some((_, check)) = later.find(|(at, check)| self.checks[..*at].contains(check)) {
            return Err(Invalid::new("checks", &check.to_string(), "checks that differ from each other"));
        }
        self.checks.iter().try_for_each(Check::check)
    }

    /// How long after a lapse the instance is forgotten.
    pub fn forget_after(&self) -> Option<Duration> {
        self.deregister_after.or(self.ttl.map(|ttl| ttl * DEREGISTER_AFTER_TTLS))
    }
}

/// Checks the bounds of a reason that somebody gives for what he asks.
///
/// # Errors
/// It is too long, or holds control characters.
pub fn check_reason(reason: &str) -> Result<(), Invalid> {
    check_text("reason", reason, TEXT_MAX)
}

pub(crate) fn check_text(what: &'static str, value: &str, max: usize) -> Result<(), Invalid> {
    if value.len() > max {
        let rule = if max == TEXT_MAX { "at most 1024 bytes" } else { "at most 128 bytes" };
        Err(Invalid::new(what, value, rule))
    } else if !is_plain(value) && value.chars().any(char::is_control) {
        Err(Invalid::new(what, value, "no control characters"))
    } else {
        Ok(())
    }
}

/// Whether all is visible ASCII or spaces, as almost every text is. It looks at each byte without deciding
/// anything meanwhile, which is as fast as it gets.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'))
}

/// Names and their texts, by name. They stand in one text, one behind the other: most instances have a
/// handful, and an entry costs its letters and 8 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    letters: Box<str>,
    /// Where the name of an entry ends, and where its text does.
    ends: Box<[[u32; 2]]>,
}

impl Metadata {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes of names and texts there are.
    pub fn bytes(&self) -> usize {
        self.letters.len()
    }

    /// The text under a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(of, _)| *of == name).map(|(_, text)| text)
    }

    /// Checks the bounds of each name and text.
    ///
    /// # Errors
    /// The first that is out of bounds: its name, and the rule.
    pub fn check(&self) -> Result<(), (&str, Invalid)> {
        self.iter().try_for_each(|(name, text)| {
            check_text("metadata key", name, METADATA_KEY_MAX)
                .and_then(|()| check_text("metadata value", text, TEXT_MAX))
                .map_err(|invalid| (name, invalid))
        })
    }

    /// Every name with its text, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let mut from = 0;
        self.ends.iter().map(move |[name, text]| {
            let begin = std::mem::replace(&mut from, *text);
            (self.letters(begin, *name), self.letters(*name, *text))
        })
    }

    fn letters(&self, from: u32, to: u32) -> &str {
        // The ends are where texts were put together.
        self.letters.get(from as usize..to as usize).unwrap_or_default()
    }
}

impl<N: AsRef<str>, T: AsRef<str>> FromIterator<(N, T)> for Metadata {
    /// Of a name that is given more than once, the last text holds. What does not fit into 4 GiB, which
    /// no registration may be near, is left out.
    fn from_iter<I: IntoIterator<Item = (N, T)>>(entries: I) -> Self {
        let mut entries: Vec<(N, T)> = entries.into_iter().collect();
        entries.reverse();
        entries.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        entries.dedup_by(|later, first| later.0.as_ref() == first.0.as_ref());
        let letters = entries.iter().map(|(name, text)| name.as_ref().len() + text.as_ref().len()).sum();
        let (mut letters, mut ends) = (String::with_capacity(letters), Vec::with_capacity(entries.len()));
        for (name, text) in &entries {
            let (name, text) = (name.as_ref(), text.as_ref());
            let end_of_name = letters.len() + name.len();
            let both = (u32::try_from(end_of_name), u32::try_from(end_of_name + text.len()));
            let (Ok(end_of_name), Ok(end_of_text)) = both else { break };
            letters.push_str(name);
            letters.push_str(text);
            ends.push([end_of_name, end_of_text]);
        }
        Self { letters: letters.into(), ends: ends.into() }
    }
}

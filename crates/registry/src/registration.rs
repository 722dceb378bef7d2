//! What an owner says of its instance, and the bounds that hold for it in every dialect.

use std::{num::NonZeroU64, time::Duration};

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
    pub ttl: Option<Period>,
    /// How long after its lease lapsed an instance is forgotten.
    pub deregister_after: Option<Period>,
    /// What is asked to find out whether it is healthy. With a check, it begins as `starting`.
    pub checks: Box<[Check]>,
    /// How long it takes from its first call to its full share of them.
    pub warm_up: Option<Period>,
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

/// Checks a share of calls, whoever says it.
pub(crate) fn check_weight(weight: u32) -> Result<(), Invalid> {
    if weight > WEIGHT_MAX {
        return Err(Invalid::new("weight", &weight.to_string(), "a number from 0 to 10000"));
    }
    Ok(())
}

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
        check_weight(self.weight)?;
        let entries = self.metadata.check().map_err(|(_, invalid)| invalid)?;
        if entries > METADATA_MAX {
            return Err(Invalid::new("metadata", &entries.to_string(), "at most 64 entries"));
        }
        let range = |what, value: Option<Duration>, max| match value {
            Some(value) if value < TTL_MIN || value > max => Err(Invalid::new(
                what,
                &identity::duration::format(value),
                "from 1s to 24h (deregister_after: 10d)",
            )),
            _ => Ok(()),
        };
        let [ttl, deregister_after, warm_up] =
            [self.ttl, self.deregister_after, self.warm_up].map(|period| period.map(Duration::from));
        range("ttl", ttl, TTL_MAX)?;
        range("deregister_after", deregister_after, TTL_MAX * DEREGISTER_AFTER_TTLS)?;
        if deregister_after.is_some() && ttl.is_none() {
            let given = deregister_after.map(identity::duration::format).unwrap_or_default();
            return Err(Invalid::new("deregister_after", &given, "only together with a ttl"));
        }
        if warm_up.is_some_and(|warm_up| warm_up < TTL_MIN || warm_up > WARM_UP_MAX) {
            let given = warm_up.map(identity::duration::format).unwrap_or_default();
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
        let after_ttls = || Some(Duration::from(self.ttl?) * DEREGISTER_AFTER_TTLS);
        self.deregister_after.map(Duration::from).or_else(after_ttls)
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

/// A period of a registration, to the nanosecond. An optional one takes 8 bytes, half of what a `Duration`
/// takes, and each instance has three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(
    /// Its nanoseconds and one more, so that nought is a period, too, until it is checked.
    NonZeroU64,
);

impl From<Duration> for Period {
    /// What is longer than 584 years, which every bound forbids, becomes as long.
    fn from(period: Duration) -> Self {
        let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        Duration::from_nanos(period.0.get() - 1)
    }
}

/// Names and their texts, by name. They stand in one text, one behind the other, each entry behind the
/// lengths of its two parts: most instances have a handful, and an entry costs its letters and two bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(Box<str>);

impl Metadata {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// The text under a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(of, _)| *of == name).map(|(_, text)| text)
    }

    /// Checks the bounds of each name and text, and says how many there are.
    ///
    /// # Errors
    /// The first that is out of bounds: its name, and the rule.
    pub fn check(&self) -> Result<usize, (&str, Invalid)> {
        self.iter().try_fold(0, |entries, (name, text)| {
            check_text("metadata key", name, METADATA_KEY_MAX)
                .and_then(|()| check_text("metadata value", text, TEXT_MAX))
                .map(|()| entries + 1)
                .map_err(|invalid| (name, invalid))
        })
    }

    /// Every name with its text, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (name, after) = read_length(rest)?;
            let (text, after) = read_length(after)?;
            let (name, after) = after.split_at_checked(name)?;
            let (text, after) = after.split_at_checked(text)?;
            rest = after;
            Some((name, text))
        })
    }
}

/// A length among letters is ASCII, and so leaves the whole a text: six bits at a time, the lowest first,
/// with the seventh where more follow.
const MORE: u8 = 1 << 6;

fn write_length(mut length: usize, to: &mut String) {
    while length >= usize::from(MORE) {
        to.push(char::from(length as u8 & (MORE - 1) | MORE));
        length >>= 6;
    }
    to.push(char::from(length as u8));
}

/// The length with which a text begins, and what is behind it.
fn read_length(text: &str) -> Option<(usize, &str)> {
    let mut length = 0;
    for (at, byte) in text.bytes().enumerate() {
        length |= usize::from(byte & (MORE - 1)) << (6 * at);
        if byte & MORE == 0 {
            return Some((length, text.get(at + 1..)?));
        }
    }
    None
}

impl<N: AsRef<str>, T: AsRef<str>> FromIterator<(N, T)> for Metadata {
    /// Of a name that is given more than once, the last text holds.
    fn from_iter<I: IntoIterator<Item = (N, T)>>(entries: I) -> Self {
        let mut entries: Vec<(N, T)> = entries.into_iter().collect();
        entries.reverse();
        entries.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        entries.dedup_by(|later, first| later.0.as_ref() == first.0.as_ref());
        // A length takes two bytes at most where it is within its bound.
        let bytes = entries.iter().map(|(name, text)| name.as_ref().len() + text.as_ref().len() + 4).sum();
        let mut letters = String::with_capacity(bytes);
        for (name, text) in &entries {
            let (name, text) = (name.as_ref(), text.as_ref());
            write_length(name.len(), &mut letters);
            write_length(text.len(), &mut letters);
            letters.push_str(name);
            letters.push_str(text);
        }
        Self(letters.into())
    }
}

//! The two clocks. Deadlines are counted on the monotonic one, which no operator can set; records
//! carry the wall clock, which means something after a restart. Mixing them up is a type error.

use std::{
    fmt,
    ops::{Add, Sub},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Invalid;

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A reading of the monotonic clock: nanoseconds since an origin that only this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// The time since `earlier`, zero where that is later.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;

    fn add(self, duration: Duration) -> Mono {
        Mono(self.0.saturating_add(nanos(duration)))
    }
}

/// A reading of the wall clock: nanoseconds since 1970-01-01T00:00:00Z, good until the year 2554.
///
/// Its text is RFC 3339 in UTC with nine digits of fraction, so that texts sort as times do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(pub u64);

impl Wall {
    /// The time since `earlier`, zero where that is later.
    pub fn since(self, earlier: Wall) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Wall {
    type Output = Wall;

    fn add(self, duration: Duration) -> Wall {
        Wall(self.0.saturating_add(nanos(duration)))
    }
}

impl Sub<Duration> for Wall {
    type Output = Wall;

    fn sub(self, duration: Duration) -> Wall {
        Wall(self.0.saturating_sub(nanos(duration)))
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(timestamp) => write!(f, "{timestamp:.9}"),
            Err(_) => f.write_str("out of range"),
        }
    }
}

impl FromStr for Wall {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new("timestamp", text, "RFC 3339 such as 2026-01-31T09:30:00Z, not before the year 1970")
        };
        let timestamp: jiff::Timestamp = text.parse().map_err(|_| invalid())?;
        u64::try_from(timestamp.as_nanosecond()).map(Wall).map_err(|_| invalid())
    }
}

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Both clocks, read at the same moment. A core is handed one; it never reads a clock itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For deadlines, ages and rates.
    pub mono: Mono,
    /// For records and people.
    pub wall: Wall,
}

impl Now {
    /// This moment, `duration` later on both clocks: how simulations and tests let time pass.
    pub fn after(self, duration: Duration) -> Now {
        Now { mono: self.mono + duration, wall: self.wall + duration }
    }
}

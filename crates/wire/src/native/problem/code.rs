//! What a code knows, and how it is written.
//!
//! One table ([`super::table`]) holds every error that Bellwether can tell of, from a refused call to a
//! taken port, because one number must mean one thing in an answer, in a log line, on the command
//! line and in `bellwether explain`. The table is the only place where a code is named; the enum,
//! the lookups and the texts are all made from it.

use std::{fmt, str::FromStr};

use identity::Invalid;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Code;

/// What the command line exits with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// It worked.
    Ok = 0,
    /// A check failed, something differs, or the work could not be done.
    Failed = 1,
    /// The command, a setting or a value was wrong.
    Usage = 2,
    /// The other side could not be reached.
    Unreachable = 3,
    /// What was asked for does not exist.
    NotFound = 4,
    /// Not allowed.
    Denied = 5,
}

/// The texts and numbers of one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The status of an answer over HTTP; for what happens before there is a listener, the status
    /// that comes nearest.
    pub status: u16,
    /// What the command line exits with.
    pub exit: Exit,
    /// What happened, in a few words that are the same every time.
    pub title: &'static str,
    /// What it means and how it comes about.
    pub cause: &'static str,
    /// What to do next.
    pub remedy: &'static str,
    /// A request, a command or a setting that leads to it.
    pub example: &'static str,
}

impl Code {
    /// The number, such as 1042 of `BW-1042`.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }
}

const RULE: &str = "BW- and the four digits of a known code, such as BW-1003";

impl FromStr for Code {
    type Err = Invalid;

    /// Reads `BW-1003`, in either case, and the bare number.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = match text.get(..3) {
            Some(prefix) if prefix.eq_ignore_ascii_case("bw-") => &text[3..],
            _ => text,
        };
        let known = (digits.len() == 4).then(|| digits.parse().ok()).flatten().and_then(Self::from_number);
        known.ok_or_else(|| Invalid::new("code", text, RULE))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BW-{:04}", self.number())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    /// A well-formed code that this build does not know becomes [`Code::NewerProblem`]: an older
    /// client must still be able to show a newer server's problem.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let well_formed = |digits: &str| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(code) => Ok(code),
            Err(_) if text.strip_prefix("BW-").is_some_and(well_formed) => Ok(Self::NewerProblem),
            Err(invalid) => Err(de::Error::custom(invalid)),
        }
    }
}

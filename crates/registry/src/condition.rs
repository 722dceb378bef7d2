//! What is known of an instance, and the one place where a status follows from it.
//!
//! Each fact is kept for itself: a lease that comes back must not end a drain, and a drain that is
//! cancelled must not heal a failing check. The status is what they amount to, in this order:
//!
//! 1. an operator's override,
//! 2. a lapsed lease: nobody is there,
//! 3. a drain,
//! 4. a failing check,
//! 5. a check that has not passed yet,
//! 6. a warm-up.

use std::{
    borrow::Cow,
    ops::Deref,
    str::FromStr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use identity::{Invalid, Wall, duration};

use crate::{Period, Registration, Status, Verdict};

/// Everything from which a status follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// Since when its lease has lapsed.
    pub lapsed: Option<Wall>,
    /// What its checks have found out, in the order of its registration's checks.
    pub verdicts: Box<[Verdict]>,
    /// Whether it still has to warm up.
    pub is_cold: bool,
    /// Why no new call should go there, while those in flight end.
    pub drain: Option<Box<Drain>>,
    /// An operator's word, which holds whatever else is known.
    pub pinned: Option<Box<Override>>,
    /// Its share of the calls by an operator's word. It says nothing of the status: whoever should get no
    /// call is drained, which ends with a receipt; a weight says how much comes to whoever takes calls.
    pub weighed: Option<Box<Weighed>>,
}

/// A condition where it stands in an instance. That of most, who have nothing against them, takes no room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known(Option<Box<Condition>>);

impl Deref for Known {
    type Target = Condition;

    fn deref(&self) -> &Condition {
        static NOTHING: LazyLock<Condition> = LazyLock::new(Condition::default);
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl From<Condition> for Known {
    fn from(condition: Condition) -> Self {
        Self((condition != Condition::default()).then(|| Box::new(condition)))
    }
}

impl Known {
    /// The drain, where there is one, holds since this revision.
    pub(crate) fn drained_since(&mut self, revision: u64) {
        if let Some(drain) = self.0.as_deref_mut().and_then(|known| known.drain.as_mut()) {
            drain.revision = revision;
        }
    }
}

/// Who wanted something, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Who.
    pub by: Arc<str>,
    /// When.
    pub at: Wall,
    /// Why.
    pub reason: Box<str>,
}

/// A drain: who wanted it, and since when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// Who, when and why.
    pub note: Note,
    /// The revision since which no new call should go there: the drain's own, or that of whatever ended
    /// an override by which calls went there all the same. Who routes by this revision or a later one
    /// sends none.
    pub revision: u64,
}

/// A status by an operator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The status.
    pub status: Pinned,
    /// Who, when and why.
    pub note: Note,
    /// Until when; without it, until it is released.
    pub until: Option<Wall>,
}

/// A share of the calls by an operator's word, which stands above the registration's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighed {
    /// The share; 100 is a full one, 0 none.
    pub weight: u32,
    /// Who, when and why.
    pub note: Note,
}

/// What an operator can say that an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pinned {
    /// Calls go there, whatever lease and checks say.
    Up,
    /// Calls do not go there.
    Down,
    /// Calls do not go there, because people work on it.
    Maintenance,
}

impl Pinned {
    /// Each of them.
    pub const ALL: [Pinned; 3] = [Pinned::Up, Pinned::Down, Pinned::Maintenance];
}

impl From<Pinned> for Status {
    fn from(pinned: Pinned) -> Status {
        match pinned {
            Pinned::Up => Status::Up,
            Pinned::Down => Status::Down,
            Pinned::Maintenance => Status::Maintenance,
        }
    }
}

impl FromStr for Pinned {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Pinned::ALL.into_iter().find(|pinned| Status::from(*pinned).as_str() == text);
        found.ok_or_else(|| Invalid::new("status", text, "one of up, down, maintenance"))
    }
}

/// The shortest override that says for how long it holds.
pub const OVERRIDE_MIN: Duration = Duration::from_secs(1);
/// The longest; whoever means longer says nothing of the time.
pub const OVERRIDE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

impl Condition {
    /// What is known of an instance that has just been registered.
    pub(crate) fn fresh(registration: &Registration) -> Self {
        Self {
            verdicts: registration.checks.iter().map(|_| Verdict::Pending).collect(),
            is_cold: registration.warm_up.is_some(),
            ..Self::default()
        }
    }

    /// What people and checks have said.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let drain = self.drain.iter().map(|drain| &drain.note);
        let pinned = self.pinned.iter().map(|pinned| &pinned.note);
        let weighed = self.weighed.iter().map(|weighed| &weighed.note);
        let notes = drain.chain(pinned).chain(weighed).flat_map(|note| [&*note.by, &*note.reason]);
        let whys = self.verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Failing(why) => Some(&**why),
            Verdict::Pending | Verdict::Passing => None,
        });
        notes.chain(whys)
    }

    /// Whether its checks, if it has any, have passed.
    pub(crate) fn is_healthy(&self) -> bool {
        self.verdicts.iter().all(|verdict| *verdict == Verdict::Passing)
    }

    /// What its checks say together: `passing`, `pending`, `failing`, or `unchecked` where it has none.
    pub fn health(&self) -> &'static str {
        let any = |of: fn(&Verdict) -> bool| self.verdicts.iter().any(of);
        if self.verdicts.is_empty() {
            "unchecked"
        } else if any(|verdict| matches!(verdict, Verdict::Failing(_))) {
            "failing"
        } else if any(|verdict| *verdict == Verdict::Pending) {
            "pending"
        } else {
            "passing"
        }
    }

    /// Whether only its warm-up is between it and its full share of calls.
    pub fn is_warming(&self) -> bool {
        self.is_cold
            && self.is_healthy()
            && self.lapsed.is_none()
            && self.drain.is_none()
            && self.pinned.is_none()
    }

    /// The status that follows, and why.
    pub(crate) fn status(&self, registration: &Registration) -> (Status, Cow<'static, str>) {
        let text = |period: Option<Period>| period.map(|of| duration::format(of.into())).unwrap_or_default();
        if let Some(pinned) = &self.pinned {
            return (pinned.status.into(), format!("{}: {}", pinned.note.by, pinned.note.reason).into());
        }
        if self.lapsed.is_some() {
            let reason = format!("lease lapsed: no heartbeat for {}", text(registration.ttl));
            return (Status::Down, reason.into());
        }
        if let Some(drain) = &self.drain {
            return (Status::Draining, format!("{}: {}", drain.note.by, drain.note.reason).into());
        }
        let mut checks = registration.checks.iter().zip(&self.verdicts);
        let failing = checks.find_map(|(check, verdict)| match verdict {
            Verdict::Failing(why) => Some(format!("check {check} fails: {why}")),
            _ => None,
        });
        if let Some(reason) = failing {
            return (Status::Down, reason.into());
        }
        let mut checks = registration.checks.iter().zip(&self.verdicts);
        if let Some((check, _)) = checks.find(|(_, verdict)| **verdict == Verdict::Pending) {
            return (Status::Starting, format!("check {check} has not passed yet").into());
        }
        if self.is_cold {
            return (Status::Starting, format!("warming up for {}", text(registration.warm_up)).into());
        }
        let reason = if registration.checks.is_empty() { "registered" } else { "every check passes" };
        (Status::Up, reason.into())
    }
}

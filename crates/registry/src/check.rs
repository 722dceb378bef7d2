//! Active checks: what the registry's shell asks an instance to find out whether it is healthy.
//!
//! A check never names a host: it is the instance's own address that is asked, so that a registration
//! cannot turn the prober into a way into networks that its writer cannot reach (the fault behind
//! CVE-2022-29153). Redirects are not followed, for the same reason.

use std::{fmt, time::Duration};

use identity::{Invalid, duration};

use crate::registration::{TEXT_MAX, check_text};

/// How often an instance is asked, where its owner does not say.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// How long an answer may take, where the owner does not say.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// Answers in a row that make a check pass, where the owner does not say.
pub const SUCCESS_THRESHOLD: u32 = 1;
/// Failures in a row that make a check fail, where the owner does not say.
pub const FAILURE_THRESHOLD: u32 = 3;
/// The most that either threshold may be.
pub const THRESHOLD_MAX: u32 = 100;
/// More often would be load, not a check.
pub const CHECK_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// More seldom would say nothing.
pub const CHECK_INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// A shorter time-out would fail on an ordinary pause.
pub const CHECK_TIMEOUT_MIN: Duration = Duration::from_millis(10);
/// A longer one would keep its place among the probes in flight from others.
pub const CHECK_TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// Bytes of the reason why a check fails.
pub const WHY_MAX: usize = 200;

/// A question that is put to an instance again and again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Check {
    /// What is asked.
    pub probe: Probe,
    /// The port that is asked, where it is not the instance's own.
    pub port: Option<u16>,
    /// From one question to the next.
    pub interval: Duration,
    /// How long an answer may take, at most the interval and at most [`CHECK_TIMEOUT_MAX`].
    pub timeout: Duration,
    /// Answers in a row that make it pass.
    pub success_threshold: u32,
    /// Failures in a row that make it fail.
    pub failure_threshold: u32,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Probe {
    /// `GET` of a path; every 2xx is a pass.
    Http {
        /// Path and query, beginning with `/`.
        path: Box<str>,
    },
    /// A connection that is accepted.
    Tcp,
    /// `grpc.health.v1.Health/Check`; `SERVING` is a pass.
    Grpc {
        /// The service that is asked for; empty for the server as a whole.
        service: Box<str>,
    },
}

impl Check {
    /// A check with the usual times.
    pub fn new(probe: Probe) -> Self {
        Self {
            probe,
            port: None,
            interval: CHECK_INTERVAL,
            timeout: CHECK_TIMEOUT,
            success_threshold: SUCCESS_THRESHOLD,
            failure_threshold: FAILURE_THRESHOLD,
        }
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// The first field that is out of bounds, with its rule.
    pub fn check(&self) -> Result<(), Invalid> {
        let (what, text) = match &self.probe {
            Probe::Http { path } => ("check http", path),
            Probe::Grpc { service } => ("check grpc", service),
            Probe::Tcp => ("check tcp", &Box::default()),
        };
        check_text(what, text, TEXT_MAX)?;
        if let Probe::Http { path } = &self.probe
            && !(path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#'))
        {
            return Err(Invalid::new(what, path, "a path that begins with / and holds no spaces"));
        }
        if self.port == Some(0) {
            return Err(Invalid::new("check port", "0", "a number from 1 to 65535"));
        }
        if self.interval < CHECK_INTERVAL_MIN || self.interval > CHECK_INTERVAL_MAX {
            return Err(Invalid::new("check interval", &duration::format(self.interval), "from 100ms to 1h"));
        }
        if self.timeout < CHECK_TIMEOUT_MIN || self.timeout > self.interval.min(CHECK_TIMEOUT_MAX) {
            let given = duration::format(self.timeout);
            let rule = "from 10ms to the check's interval, and at most 1m";
            return Err(Invalid::new("check timeout", &given, rule));
        }
        for (what, threshold) in [
            ("check success_threshold", self.success_threshold),
            ("check failure_threshold", self.failure_threshold),
        ] {
            if threshold == 0 || threshold > THRESHOLD_MAX {
                return Err(Invalid::new(what, &threshold.to_string(), "a number from 1 to 100"));
            }
        }
        Ok(())
    }
}

/// The check in a few words, as reasons name it.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.probe {
            Probe::Http { path } => write!(f, "http {path}")?,
            Probe::Tcp => f.write_str("tcp")?,
            Probe::Grpc { service } if service.is_empty() => f.write_str("grpc")?,
            Probe::Grpc { service } => write!(f, "grpc {service}")?,
        }
        match self.port {
            Some(port) => write!(f, " on port {port}"),
            None => Ok(()),
        }
    }
}

/// What a check has found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Not asked often enough yet.
    #[default]
    Pending,
    /// Healthy.
    Passing,
    /// Not healthy, and why.
    Failing(Box<str>),
}

impl Verdict {
    /// Not healthy, for a reason of which outsiders may have written a part: it is shortened, and what
    /// could write into a terminal or turn a line around becomes a space.
    pub fn failing(why: &str) -> Self {
        let turns = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let clean = why.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c });
        let mut text = String::with_capacity(why.len().min(WHY_MAX));
        for c in clean {
            if text.len() + c.len_utf8() > WHY_MAX {
                break;
            }
            text.push(c);
        }
        Verdict::Failing(text.trim().into())
    }

    /// The word on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            Verdict::Pending => "pending",
            Verdict::Passing => "passing",
            Verdict::Failing(_) => "failing",
        }
    }
}

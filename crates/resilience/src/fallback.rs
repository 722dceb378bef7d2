//! What a caller gets instead of an error.
//!
//! It is marked as what it is, it still counts as the service's failure, and it is not for calls that
//! change something: who ordered must not be told that all is well.

use std::sync::Arc;

use identity::Invalid;

use crate::policy::check_number;

/// An answer that stands in for a service that has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fallback {
    /// Its status, 200 to 599.
    pub status: u16,
    /// The type of its body.
    pub content_type: Box<str>,
    /// Its body, up to [`FALLBACK_BODY_MAX`] bytes.
    pub body: Arc<str>,
}

/// The largest body of a fallback in bytes. Each proxy holds it in memory once for each service.
pub const FALLBACK_BODY_MAX: usize = 16 << 10;

/// The longest type of a body in bytes.
pub const CONTENT_TYPE_MAX: usize = 128;

impl Default for Fallback {
    /// An empty answer that says so.
    fn default() -> Self {
        Self { status: 503, content_type: "application/json".into(), body: "".into() }
    }
}

impl Fallback {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        check_number("fallback.status", self.status.into(), 200..=599, "200 to 599")?;
        let kind = &self.content_type;
        let fits =
            (1..=CONTENT_TYPE_MAX).contains(&kind.len()) && kind.bytes().all(|b| (b' '..=b'~').contains(&b));
        if !fits {
            let rule = "1 to 128 printable ASCII characters, such as application/json";
            return Err(Invalid::new("fallback.content_type", kind, rule));
        }
        if self.body.len() > FALLBACK_BODY_MAX {
            return Err(Invalid::new("fallback.body", &self.body, "at most 16 KiB"));
        }
        // What these statuses mean is that there is no body.
        if matches!(self.status, 204 | 205 | 304) && !self.body.is_empty() {
            return Err(Invalid::new("fallback.body", &self.body, "empty with the status 204, 205 or 304"));
        }
        Ok(())
    }
}

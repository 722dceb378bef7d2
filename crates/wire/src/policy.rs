//! Policies as people write them: YAML or JSON documents, and what they mean.
//!
//! A document is read into a tree that knows lines and columns, checked against one table of shapes, from
//! which the JSON Schema is made as well, and only then read into values. So a mistake is told where it
//! stands, with the rule, and with the key that was probably meant; and what passed the table needs no
//! second list of rules.
//!
//! Policies merge: built-in, then a namespace's defaults, then a service's. A section that is written
//! takes the place of the whole section below, with the built-in values for what it leaves out; `null`
//! switches it off.
//!
//! ```
//! let document = wire::policy::read(
//!     "{apiVersion: bellwether.dev/v1, kind: ServicePolicy, metadata: {name: cart},
//!       spec: {service: cart, timeouts: {call: 2s}, circuit_breaker: null}}",
//! )?;
//! let policy = document.spec.over(&resilience::CallPolicy::default())?;
//! assert_eq!(policy.timeouts.call.as_secs(), 2);
//! assert_eq!(policy.circuit_breaker, None);
//!
//! let mistake = wire::policy::read(
//!     "apiVersion: bellwether.dev/v1\nkind: ServicePolicy\nmetadata: {name: cart}\nspec: {servce: cart}",
//! ).unwrap_err();
//! assert_eq!(mistake.to_string(), "line 4, column 8: unknown field \"servce\"; did you mean \"service\"?");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

use identity::{Namespace, PolicyName, ServiceName};
use serde_json::Value as Json;

mod read;
mod schema;
mod shape;
mod spec;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod write;

pub use read::{read, read_all};
pub use schema::schema;
pub use spec::{Section, Spec};
pub use write::write;

/// What a text of YAML or JSON says, where it is one document of data and nothing else; none where it says nothing.
pub(crate) fn data(text: &str) -> Result<Option<Json>, Mistake> {
    let mut trees = tree::read(text)?.into_iter();
    let first = trees.next();
    match trees.next() {
        Some(second) => {
            let why = "a second document begins here, and one is taken".to_owned();
            Err(Mistake::new(Fault::Value, "", second.at, why))
        }
        None => Ok(first.map(|tree| tree.to_json())),
    }
}

/// The version of the format that this is.
pub const API_VERSION: &str = "bellwether.dev/v1";

/// The longest text of a document, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 64 << 10;

/// The most documents in one text.
pub const DOCUMENTS_MAX: usize = 1_000;

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What holds for the calls of one service.
    ServicePolicy,
    /// What holds for all services of a namespace that say nothing else.
    NamespaceDefaults,
}

/// Every kind.
pub const KINDS: [Kind; 2] = [Kind::ServicePolicy, Kind::NamespaceDefaults];

impl Kind {
    /// The word in documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::ServicePolicy => "ServicePolicy",
            Kind::NamespaceDefaults => "NamespaceDefaults",
        }
    }
}

/// A document that was found good.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its namespace, where it says one.
    pub namespace: Option<Namespace>,
    /// Its name.
    pub name: PolicyName,
    /// The service that it is for; `None` in a namespace's defaults.
    pub service: Option<ServiceName>,
    /// What it says.
    pub spec: Spec,
    json: Json,
}

impl Document {
    /// What it is.
    pub fn kind(&self) -> Kind {
        if self.service.is_some() { Kind::ServicePolicy } else { Kind::NamespaceDefaults }
    }

    /// The document as JSON, as it was written.
    pub fn json(&self) -> &Json {
        &self.json
    }
}

/// A place in a text, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// What kind of mistake it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is neither YAML nor JSON.
    Syntax,
    /// A key that does not exist.
    Unknown,
    /// A key that is needed and is not there.
    Missing,
    /// A value that breaks its rule.
    Value,
}

/// What is wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    fault: Fault,
    path: String,
    at: Mark,
    why: String,
    next: Option<String>,
}

impl Mistake {
    fn new(fault: Fault, path: &str, at: Mark, why: String) -> Self {
        Self { fault, path: path.to_owned(), at, why, next: None }
    }

    fn meant(self, word: Option<&str>) -> Self {
        match word {
            Some(word) => self.next(format!("did you mean \"{word}\"?")),
            None => self,
        }
    }

    fn next(self, next: String) -> Self {
        Self { next: Some(next), ..self }
    }

    /// What kind of mistake it is.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// Where it is, as a JSON pointer.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it is in the text.
    pub fn at(&self) -> Mark {
        self.at
    }

    /// Where it is in the text, and what is wrong.
    pub fn detail(&self) -> String {
        format!("line {}, column {}: {}", self.at.line, self.at.column, self.why)
    }

    /// What to do about it, where that is known.
    pub fn what_next(&self) -> Option<&str> {
        self.next.as_deref()
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail())?;
        self.next.as_ref().map_or(Ok(()), |next| write!(f, "; {next}"))
    }
}

impl std::error::Error for Mistake {}

/// How many characters of what came from outside are shown.
const SHOWN_CHARS: usize = 64;

/// A text in quotes, escaped and shortened.
fn shown(text: &str) -> String {
    let cut = text.char_indices().nth(SHOWN_CHARS).map_or(text.len(), |(at, _)| at);
    let more = if cut < text.len() { "…" } else { "" };
    format!("\"{}{more}\"", text[..cut].escape_debug())
}

/// A segment of a JSON pointer (RFC 6901), as short as what is shown.
fn escaped(name: &str) -> String {
    let short: String = name.chars().take(SHOWN_CHARS).collect();
    short.replace('~', "~0").replace('/', "~1")
}

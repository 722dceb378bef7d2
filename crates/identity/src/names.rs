//! Names that people give: namespaces, services, instances, routes, proxies.
//!
//! Namespaces and services are DNS labels, because they appear in host names
//! (`payments.production`) and must mean the same in every dialect. Instance ids are freer, since
//! other systems' clients bring their own (`host:app:8080`), but hold nothing that would have to be
//! escaped in a path or that a terminal would interpret.
//!
//! All of them share their text, so that a clone in a span or a metric costs a reference count.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Invalid;

/// A DNS label as RFC 1123 has it, in lower case: 1 to 63 of `a-z`, `0-9` and `-`, neither first nor
/// last a `-`.
fn is_dns_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

const DNS_LABEL_RULE: &str =
    "1 to 63 characters of a-z, 0-9 and '-', beginning and ending with a letter or digit";

/// 1 to 128 ASCII letters, digits and `. _ : - @ + ~`, but neither `.` nor `..`.
fn is_opaque_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-@+~".contains(&b))
        && text != "."
        && text != ".."
}

const OPAQUE_ID_RULE: &str = "1 to 128 ASCII letters, digits and . _ : - @ + ~";

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` against the rule for this kind of name.
            pub fn new(text: &str) -> Result<Self, Invalid> {
                Self::check(text).map(|()| Self(text.into()))
            }

            /// Checks `text` without keeping it.
            pub fn check(text: &str) -> Result<(), Invalid> {
                if $check(text) { Ok(()) } else { Err(Invalid::new($what, text, $rule)) }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(de::Error::custom)
            }
        }
    };
}

name! {
    /// A namespace: the outermost boundary of names, tokens and budgets.
    Namespace, "namespace", is_dns_label, DNS_LABEL_RULE
}

name! {
    /// A service: a set of interchangeable instances, found by this name within a namespace.
    ServiceName, "service", is_dns_label, DNS_LABEL_RULE
}

name! {
    /// An instance of a service, as unique within it as its owner made it.
    InstanceId, "instance id", is_opaque_id, OPAQUE_ID_RULE
}

name! {
    /// A policy: a document that says what holds for calls.
    PolicyName, "policy", is_dns_label, DNS_LABEL_RULE
}

name! {
    /// A route: the part of a service's calls that shares one policy.
    RouteName, "route", is_opaque_id, OPAQUE_ID_RULE
}

name! {
    /// A proxy: one data plane process.
    ProxyId, "proxy id", is_opaque_id, OPAQUE_ID_RULE
}

impl Default for Namespace {
    /// `default`, where everything lives that names no namespace.
    fn default() -> Self {
        Self("default".into())
    }
}

impl Default for RouteName {
    /// `default`, the route of a service without routes of its own.
    fn default() -> Self {
        Self("default".into())
    }
}

//! Who asks, and what that one may do.

use std::{net::SocketAddr, sync::Arc};

use identity::Namespace;
use registry::{Actor, Digits};
use storage_catalog::{Scope, Token};
use wire::native::problem::{Code, Problem};

/// Whoever sent a request; in its extensions. Cheap to clone, since every request has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The name for records of who did what.
    pub name: Arc<str>,
    /// What it may do.
    pub scopes: Arc<[Scope]>,
    /// Where; none stands for every namespace.
    pub namespaces: Arc<[Namespace]>,
    /// The other end of the connection.
    pub peer: Option<SocketAddr>,
}

impl Principal {
    /// Whoever uses a server that requires no tokens.
    pub fn operator() -> Self {
        Self { name: "operator".into(), scopes: [Scope::Admin].into(), namespaces: [].into(), peer: None }
    }

    /// Who this is in the record of a change that came by `dialect`.
    pub fn actor(&self, dialect: &str) -> Actor {
        let from = match self.peer {
            // Of almost every registration; a formatter takes ten times as long.
            Some(SocketAddr::V4(peer)) => {
                let (ip, port) = (Digits::from(*peer.ip()), Digits::from(u64::from(peer.port())));
                [dialect, " ", &ip, ":", &port].concat()
            }
            Some(SocketAddr::V6(peer)) => format!("{dialect} {peer}"),
            None => dialect.to_owned(),
        };
        Actor { name: self.name.clone(), from: from.into() }
    }

    /// Checks that this principal has `scope` in `namespace`, or everywhere where that is `None`.
    pub fn require(&self, scope: Scope, namespace: Option<&Namespace>) -> Result<(), Problem> {
        // Each scope includes those before it.
        if !self.scopes.iter().any(|own| *own >= scope) {
            let own: Vec<&str> = self.scopes.iter().map(|scope| scope.as_str()).collect();
            let own = own.join(", ");
            let detail = format!("this needs the scope {scope}, and {} has {own}", self.quoted());
            return Err(
                Problem::new(Code::ScopeMissing, detail).next(format!("use a token with scope {scope}"))
            );
        }
        let inside = match namespace {
            _ if self.namespaces.is_empty() => true,
            Some(namespace) => self.namespaces.contains(namespace),
            None => false,
        };
        if inside {
            return Ok(());
        }
        let own: Vec<&str> = self.namespaces.iter().map(Namespace::as_str).collect();
        let what = namespace.map_or_else(|| "all namespaces".to_owned(), |name| format!("namespace {name}"));
        let detail = format!("this concerns {what}, and {} is bound to {}", self.quoted(), own.join(", "));
        Err(Problem::new(Code::NamespaceDenied, detail).next(format!("use a token for {what}")))
    }

    fn quoted(&self) -> String {
        format!("\"{}\"", self.name.escape_debug())
    }
}

impl From<&Token> for Principal {
    fn from(token: &Token) -> Self {
        Self {
            name: token.name.as_str().into(),
            scopes: token.scopes.as_slice().into(),
            namespaces: token.namespaces.as_slice().into(),
            peer: None,
        }
    }
}

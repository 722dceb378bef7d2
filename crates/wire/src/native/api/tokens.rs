//! Tokens and their scopes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks for a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Whose it is: shown as the actor of what is done with it.
    pub name: String,
    /// `read`, `write` (which includes read) or `admin` (which includes both).
    pub scopes: Vec<String>,
    /// The namespaces that it is bound to; none stands for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// How long it is valid; without it until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "30d")]
    pub ttl: Option<String>,
}

/// A fresh token. Its secret is shown here and never again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    /// What identifies it, to revoke it.
    pub id: String,
    /// The secret to be sent as `Authorization: Bearer …`.
    pub token: String,
}

/// The tokens that there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// Without their secrets, which are not kept.
    pub tokens: Vec<Token>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// What identifies it.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Where; none stands for everywhere.
    pub namespaces: Vec<String>,
    /// When it was made.
    pub created_at: String,
    /// Until when it is valid.
    pub expires_at: Option<String>,
}

//! `token`: who may ask for what.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use identity::Namespace;
use serde_json::json;
use wire::native::{
    api,
    problem::{Code, Problem},
};

use super::{Asking, Page, Reading, figures};
use crate::{
    client::{self, Answer, Path as Api},
    output::{self, Table},
};

/// Bearer tokens
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scope {
    /// Reading
    Read,
    /// Changing, which includes reading
    Write,
    /// Administration, which includes both
    Admin,
}

impl Scope {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// Make a token; its secret is shown once
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bellwether token create ci --scope write --for-namespace staging --ttl 30d\n  \
                  bellwether token create admin --scope admin --data /var/lib/bellwether   # the first one"
)]
pub(crate) struct Create {
    /// Whose it is: named as the actor of what is done with it
    name: String,
    /// What it allows
    #[arg(long = "scope", value_enum, required = true)]
    scopes: Vec<Scope>,
    /// The namespaces that it is bound to; without it all
    #[arg(long = "for-namespace", value_name = "NAME")]
    namespaces: Vec<Namespace>,
    /// How long it is valid; without it until it is revoked
    #[arg(long, value_name = "DURATION")]
    ttl: Option<String>,
    /// Make it in this data folder, while no server runs on it: the way to the first token
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    #[command(flatten)]
    asking: Asking,
}

/// List the tokens, without their secrets
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether token list")]
pub(crate) struct List {
    #[command(flatten)]
    reading: Reading,
}

/// Revoke a token
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bellwether token revoke 3f9c1a")]
pub(crate) struct Revoke {
    /// The token's id, see `token list`
    id: String,
    #[command(flatten)]
    asking: Asking,
}

impl Token {
    pub(crate) fn run(self) -> Result<(), Problem> {
        match self {
            Self::Create(command) => command.run(),
            Self::List(command) => command.run(),
            Self::Revoke(command) => command.run(),
        }
    }
}

impl Create {
    fn run(self) -> Result<(), Problem> {
        let request = api::TokenRequest {
            name: self.name,
            scopes: self.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            namespaces: self.namespaces.iter().map(ToString::to_string).collect(),
            ttl: self.ttl,
        };
        self.asking.run(async |client, format| {
            let body = serde_json::to_value(&request)
                .map_err(|error| Problem::new(Code::InvalidArgument, format!("cannot be sent: {error}")))?;
            let answer = match self.data {
                Some(data) => offline(&data, &request).await?,
                None => {
                    let path = Api::v1().segment("tokens");
                    let (_, answer) = client.send(Method::POST, path, Some(&body), None).await?;
                    client::understood(&answer)?
                }
            };
            let page = Page::new(answer, "", |token: api::TokenCreated| format!("{}\n", token.token));
            page.print(format)?;
            output::tell("keep it: the secret is not shown again");
            Ok(())
        })
    }
}

impl List {
    fn run(self) -> Result<(), Problem> {
        self.reading.run(async |client| {
            let answer = client.get(Api::v1().segment("tokens")).await?;
            Ok(Page::new(answer, "/tokens", |tokens: api::Tokens| {
                let mut table = Table::new(&["id", "name", "scopes", "namespaces", "created", "expires"]);
                for token in tokens.tokens {
                    table.row([
                        token.id,
                        token.name,
                        token.scopes.join(","),
                        if token.namespaces.is_empty() {
                            "all".to_owned()
                        } else {
                            token.namespaces.join(",")
                        },
                        figures::time(&token.created_at),
                        token.expires_at.as_deref().map_or("never".to_owned(), figures::time),
                    ]);
                }
                table.text("no tokens")
            }))
        })
    }
}

impl Revoke {
    fn run(self) -> Result<(), Problem> {
        self.asking.run(async |client, _| {
            client.send(Method::DELETE, Api::v1().segment("tokens").segment(&self.id), None, None).await?;
            output::tell(&format!("token {} is revoked", self.id));
            Ok(())
        })
    }
}

/// Makes the token without a server.
async fn offline(data: &Path, request: &api::TokenRequest) -> Result<Answer<api::TokenCreated>, Problem> {
    let (id, token) = server::create_token_offline(data, request).await?;
    let document = json!({ "id": id, "token": token });
    Ok(Answer { document, value: api::TokenCreated { id, token } })
}

//! Who may do what: bearer tokens with scopes, bound to namespaces.
//!
//! A token is 256 random bits, so its hash needs neither salt nor slowness, and checking one costs less
//! than reading its request. Only the hash is kept; the text is shown once. `write` includes `read`,
//! and `admin` includes both. A token that is bound to namespaces can do nothing that concerns all of
//! them, whatever its scopes: otherwise it could make itself a token without that bound.
//!
//! Without required tokens (on loopback) everybody is an operator. A token that is presented all the
//! same has to be a good one: a job whose token has expired should learn so, and not suddenly be
//! allowed everything.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    future::{Ready, ready},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use axum::{extract::Request, response::Response};
use futures_util::future::Either;
use http::{HeaderMap, header};
use identity::Wall;
use storage_catalog::Token;
use tower::{Layer, Service};
use wire::native::problem::{Code, Problem};

use crate::{
    clock,
    listener::{Peer, answer, is_grpc},
};

mod principal;
#[cfg(test)]
mod tests;
mod token;

pub use principal::Principal;
pub use token::{RANDOM_BYTES, TokenSpec};

/// As many tokens as are kept; one costs about 500 bytes, and a copy of the table when one comes or goes.
pub const MAX_TOKENS: usize = 10_000;

/// What everybody may ask: whether the process lives and is ready.
const PUBLIC: [&str; 2] = ["/healthz", "/readyz"];

/// The tokens there are, and whether one is needed.
pub struct Access {
    required: bool,
    /// Everybody, where no token is needed.
    operator: Principal,
    tokens: ArcSwap<HashMap<String, Token>>,
    /// Ids of tokens that are being written; taken by whoever changes the table, so that changes come
    /// one after the other.
    reserved: Mutex<HashSet<String>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = self.tokens.load().len();
        f.debug_struct("Access").field("required", &self.required).field("tokens", &tokens).finish()
    }
}

impl Access {
    /// Everybody is an operator who presents no token.
    pub fn open(tokens: Vec<Token>) -> Self {
        Self::new(false, tokens)
    }

    /// Nobody is served without a token.
    pub fn required(tokens: Vec<Token>) -> Self {
        Self::new(true, tokens)
    }

    fn new(required: bool, tokens: Vec<Token>) -> Self {
        let tokens = tokens.into_iter().map(|token| (token.id.clone(), token)).collect();
        let operator = Principal::operator();
        Self { required, operator, tokens: ArcSwap::from_pointee(tokens), reserved: Mutex::default() }
    }

    /// Whether everybody is an operator who presents no token.
    pub fn is_open(&self) -> bool {
        !self.required
    }

    /// All tokens, in the order in which they were made.
    pub fn tokens(&self) -> Vec<Token> {
        let mut tokens: Vec<Token> = self.tokens.load().values().cloned().collect();
        tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        tokens
    }

    /// Keeps a place for a token that is about to be written. [`Access::insert`] takes the place, or
    /// [`Access::release`] gives it back.
    pub fn reserve(&self, token: &Token) -> Result<(), Problem> {
        let mut reserved = self.reserved();
        let tokens = self.tokens.load();
        if tokens.len() + reserved.len() >= MAX_TOKENS {
            let detail = format!("there are {MAX_TOKENS} tokens, which is as many as are kept");
            return Err(Problem::new(Code::TooManyTokens, detail));
        }
        if tokens.contains_key(&token.id) || !reserved.insert(token.id.clone()) {
            // 64 random bits: the source of random numbers is broken.
            return Err(Problem::new(Code::Internal, format!("there is a token {} already", token.id)));
        }
        Ok(())
    }

    /// Gives a reserved place back.
    pub fn release(&self, id: &str) {
        self.reserved().remove(id);
    }

    /// From now on the token is good.
    pub fn insert(&self, token: Token) {
        let mut reserved = self.reserved();
        reserved.remove(&token.id);
        let mut tokens = HashMap::clone(&self.tokens.load());
        tokens.insert(token.id.clone(), token);
        self.tokens.store(Arc::new(tokens));
    }

    /// From now on the token is refused.
    pub fn remove(&self, id: &str) {
        let _one_at_a_time = self.reserved();
        let mut tokens = HashMap::clone(&self.tokens.load());
        tokens.remove(id);
        self.tokens.store(Arc::new(tokens));
    }

    /// A panic cannot leave the set half changed, so a poisoned lock is as good as any.
    fn reserved(&self) -> MutexGuard<'_, HashSet<String>> {
        self.reserved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who sends a request with these headers at this time.
    pub fn verify(&self, headers: &HeaderMap, now: Wall) -> Result<Principal, Problem> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let bearer = match (values.next(), values.next()) {
            (Some(value), None) => token::bearer(value.as_bytes()),
            (Some(_), Some(_)) => return Err(invalid("the request has more than one Authorization header")),
            (None, _) => None,
        };
        match bearer {
            Some(text) => self.verify_token(text, now),
            None if !self.required => Ok(self.operator.clone()),
            None => {
                let detail = "the request has no Authorization header with a bearer token";
                Err(Problem::new(Code::TokenMissing, detail).at("authorization"))
            }
        }
    }

    /// Who sends a request with these headers from there.
    pub fn admit(&self, headers: &HeaderMap, from: Option<SocketAddr>) -> Result<Principal, Problem> {
        let principal = self.verify(headers, clock::now().wall)?;
        Ok(Principal { peer: from, ..principal })
    }

    fn verify_token(&self, text: &[u8], now: Wall) -> Result<Principal, Problem> {
        let presented =
            token::Presented::parse(text).ok_or_else(|| invalid("that is no token of Bellwether"))?;
        let tokens = self.tokens.load();
        let token = tokens.get(presented.id()).filter(|token| presented.is_secret_of(token));
        let token = token.ok_or_else(|| invalid("there is no such token, or it was revoked"))?;
        match token.expires_at {
            // Only its bearer learns when it ended.
            Some(end) if end <= now => {
                let detail =
                    format!("token \"{}\" ({}) expired at {end}", token.name.escape_debug(), token.id);
                Err(Problem::new(Code::TokenExpired, detail).at("authorization"))
            }
            _ => Ok(Principal::from(token)),
        }
    }
}

fn invalid(detail: &str) -> Problem {
    Problem::new(Code::TokenInvalid, detail).at("authorization")
}

/// The layer before everything that is not public: a request that may pass carries its [`Principal`], and
/// its handler asks what that one may do.
///
/// A layer by hand and not a function that axum makes into one, which would allocate for each request.
#[derive(Debug, Clone)]
pub struct Guard(pub Arc<Access>);

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { access: self.0.clone(), inner }
    }
}

/// A service behind a [`Guard`].
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    access: Arc<Access>,
    inner: S,
}

impl<S: Service<Request, Response = Response>> Service<Request> for Guarded<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        if !PUBLIC.contains(&request.uri().path()) {
            let from = request.extensions().get::<Peer>().map(|peer| peer.address);
            match self.access.admit(request.headers(), from) {
                Ok(principal) => drop(request.extensions_mut().insert(principal)),
                Err(problem) => {
                    let problem = problem.on(request.uri().path());
                    return Either::Right(ready(Ok(answer(&problem, is_grpc(request.headers())))));
                }
            }
        }
        Either::Left(self.inner.call(request))
    }
}

//! Which endpoint a call goes to, as it is asked for.
//!
//! The choosing is the data plane's, which knows the endpoints; here are the words for it and the rules
//! that go with them, so that a policy that cannot be followed is refused where it is written.

use identity::Invalid;

/// How an endpoint is chosen.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LoadBalancing {
    /// By what rule.
    pub algorithm: Algorithm,
    /// What calls have in common that shall go to the same endpoint: for [`Algorithm::Ring`] and
    /// [`Algorithm::Maglev`], which need it. A call that has no such thing is balanced round robin.
    pub hash_key: Option<HashKey>,
    /// No endpoint is given more than this many times the mean of the calls in flight, 1 to 1000. For
    /// [`Algorithm::Ring`] and [`Algorithm::Maglev`] alone.
    pub bounded: Option<f64>,
}

/// A rule by which an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Algorithm {
    /// The better one of two at random: by latency, calls in flight and lately failed ones.
    #[default]
    P2c,
    /// The one with the fewest calls in flight for its weight.
    LeastRequest,
    /// One after the other, by weight.
    RoundRobin,
    /// Any, by weight.
    Random,
    /// The owner of the call's key on a ring: where endpoints come and go, only their own keys move.
    Ring,
    /// The owner of the call's key in Maglev's table: more even, and a few more keys move.
    Maglev,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Algorithm; 6] = [
        Algorithm::P2c,
        Algorithm::LeastRequest,
        Algorithm::RoundRobin,
        Algorithm::Random,
        Algorithm::Ring,
        Algorithm::Maglev,
    ];

    /// The algorithm's name in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::P2c => "p2c",
            Algorithm::LeastRequest => "least_request",
            Algorithm::RoundRobin => "round_robin",
            Algorithm::Random => "random",
            Algorithm::Ring => "ring",
            Algorithm::Maglev => "maglev",
        }
    }

    /// Whether it looks at a key of the call.
    pub const fn is_hashing(self) -> bool {
        matches!(self, Algorithm::Ring | Algorithm::Maglev)
    }
}

/// A part of a request by which calls are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HashKey {
    /// The value of the header with this name, in lower case.
    Header(Box<str>),
    /// The value of the cookie with this name.
    Cookie(Box<str>),
    /// The value of the query's parameter with this name.
    Query(Box<str>),
    /// The path, without the query.
    Path,
    /// The client's address, without its port.
    Source,
}

/// The longest name of a header, cookie or parameter in a policy, in bytes.
pub const KEY_NAME_MAX: usize = 128;

impl HashKey {
    /// Checks the name.
    ///
    /// # Errors
    /// The field, and the rule that it breaks.
    pub fn check(&self) -> Result<(), Invalid> {
        match self {
            HashKey::Header(name) => check_name("header", name, is_header, HEADER_RULE),
            HashKey::Cookie(name) => check_name("cookie", name, is_token, TOKEN_RULE),
            HashKey::Query(name) => check_name("query", name, is_visible, VISIBLE_RULE),
            HashKey::Path | HashKey::Source => Ok(()),
        }
    }
}

const HEADER_RULE: &str = "the name of a header in lower case, 1 to 128 letters, digits and !#$%&'*+-.^_`|~";
const TOKEN_RULE: &str = "1 to 128 letters, digits and !#$%&'*+-.^_`|~";
const VISIBLE_RULE: &str = "1 to 128 bytes without control characters";

fn check_name(
    field: &'static str,
    name: &str,
    rule: fn(&str) -> bool,
    rule_text: &'static str,
) -> Result<(), Invalid> {
    let fits = (1..=KEY_NAME_MAX).contains(&name.len()) && rule(name);
    if fits { Ok(()) } else { Err(Invalid::new(field, name, rule_text)) }
}

fn is_header(name: &str) -> bool {
    is_token(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// A token of RFC 9110.
fn is_token(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_visible(name: &str) -> bool {
    !name.chars().any(char::is_control)
}

impl LoadBalancing {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let hashing = self.algorithm.is_hashing();
        let name = self.algorithm.as_str();
        match &self.hash_key {
            Some(_) if !hashing => {
                let rule = "a hash_key goes with ring or maglev; the others choose without one";
                return Err(Invalid::new("load_balancing.algorithm", name, rule));
            }
            None if hashing => {
                let rule = "needs a hash_key: header, cookie, query, path or source";
                return Err(Invalid::new("load_balancing.algorithm", name, rule));
            }
            Some(key) => key.check()?,
            None => {}
        }
        let Some(bounded) = self.bounded else { return Ok(()) };
        if !hashing {
            let rule = "goes with ring or maglev; the others look at the load anyway";
            return Err(Invalid::new("load_balancing.bounded", &bounded.to_string(), rule));
        }
        if (1.0..=BOUNDED_MAX).contains(&bounded) {
            return Ok(());
        }
        Err(Invalid::new("load_balancing.bounded", &bounded.to_string(), "1 to 1000, such as 1.25"))
    }
}

/// The largest bound, which is as good as none.
pub const BOUNDED_MAX: f64 = 1_000.0;

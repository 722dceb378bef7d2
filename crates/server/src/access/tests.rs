//! Each test's name is the claim.

use std::time::Duration;

use identity::Namespace;
use proptest::prelude::*;
use storage_catalog::Scope;

use super::*;

const NOW: Wall = Wall(1_700_000_000_000_000_000);

fn spec(scopes: &[Scope], namespaces: &[&str]) -> TokenSpec {
    let namespaces = namespaces.iter().map(|name| name.parse().unwrap()).collect();
    TokenSpec { name: "ci".to_owned(), scopes: scopes.to_vec(), namespaces, ttl: None }
}

fn mint(spec: &TokenSpec, seed: u8) -> (Token, String) {
    spec.mint([seed; RANDOM_BYTES], NOW).unwrap()
}

fn headers(authorization: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, authorization.parse().unwrap())])
}

fn verify(access: &Access, text: &str) -> Result<Principal, Code> {
    access.verify(&headers(&format!("Bearer {text}")), NOW).map_err(|problem| problem.code())
}

#[test]
fn a_token_is_good_until_it_is_removed() {
    let (token, text) = mint(&spec(&[Scope::Write], &["shop"]), 7);
    let access = Access::required(vec![token.clone()]);
    let principal = verify(&access, &text).unwrap();
    assert_eq!((&*principal.name, &*principal.scopes, principal.namespaces.len()), ("ci", &*token.scopes, 1));
    for scheme in ["bearer", "BEARER"] {
        assert!(access.verify(&headers(&format!("{scheme} {text} ")), NOW).is_ok(), "{scheme}");
    }
    access.remove(&token.id);
    assert_eq!(verify(&access, &text), Err(Code::TokenInvalid));
    access.reserve(&token).unwrap();
    assert_eq!(verify(&access, &text), Err(Code::TokenInvalid), "reserved is not yet written");
    access.insert(token);
    assert!(verify(&access, &text).is_ok());
}

#[test]
fn only_the_hash_of_the_secret_is_kept_and_nothing_prints_either() {
    let (token, text) = mint(&spec(&[Scope::Admin], &[]), 7);
    let (start, secret) = text.rsplit_once('_').unwrap();
    assert_eq!((start, secret.len()), (&*format!("bw_{}", token.id), 64));
    assert_eq!(
        token.hash.as_slice(),
        sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), secret))
            .as_slice()
    );
    let access = Access::required(vec![token.clone()]);
    let wrong = format!("{start}_{}", "0".repeat(64));
    let problem = access.verify(&headers(&format!("Bearer {wrong}")), NOW).unwrap_err();
    let presented = token::Presented::parse(text.as_bytes()).unwrap();
    let principal = verify(&access, &text).unwrap();
    let printed = format!("{token:?} {access:?} {presented:?} {principal:?} {problem:?} {problem}");
    let hash: String = token.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    for hidden in [secret, &hash, &format!("{:?}", token.hash), &"0".repeat(64)] {
        assert!(!printed.contains(hidden), "{printed}");
    }
}

#[test]
fn whoever_has_no_token_is_told_apart_from_whoever_has_a_bad_one() {
    let (token, text) = mint(&spec(&[Scope::Read], &[]), 7);
    let required = Access::required(vec![token.clone()]);
    let open = Access::open(vec![token]);
    let code =
        |access: &Access, headers: &HeaderMap| access.verify(headers, NOW).map_err(|problem| problem.code());

    assert_eq!(code(&required, &HeaderMap::new()), Err(Code::TokenMissing));
    assert_eq!(
        code(&required, &headers("Basic YTpi")),
        Err(Code::TokenMissing),
        "another scheme is no token"
    );
    assert_eq!(code(&open, &HeaderMap::new()), Ok(Principal::operator()));
    assert_eq!(code(&open, &headers("Basic YTpi")), Ok(Principal::operator()));
    for access in [&required, &open] {
        assert_eq!(code(access, &headers(&format!("Bearer {text}"))).unwrap().name, "ci".into());
        let short = &text[..text.len() - 1];
        let other = text.replace("07_", "08_");
        for bad in ["", "x", "bw_", "bw__", short, &other, &format!("{text}0"), &text.to_uppercase()] {
            assert_eq!(code(access, &headers(&format!("Bearer {bad}"))), Err(Code::TokenInvalid), "{bad}");
        }
        let mut twice = headers(&format!("Bearer {text}"));
        twice.append(header::AUTHORIZATION, "Bearer x".parse().unwrap());
        assert_eq!(code(access, &twice), Err(Code::TokenInvalid));
    }
}

#[test]
fn a_token_ends_when_its_time_is_over_and_only_its_bearer_learns_so() {
    let limited = TokenSpec { ttl: Some(Duration::from_secs(60)), ..spec(&[Scope::Read], &[]) };
    let (token, text) = mint(&limited, 7);
    let access = Access::open(vec![token]);
    let at = |seconds, text: &str| {
        let now = NOW + Duration::from_secs(seconds);
        access.verify(&headers(&format!("Bearer {text}")), now).map(|_| ()).map_err(|problem| problem.code())
    };
    assert_eq!(at(59, &text), Ok(()));
    assert_eq!(at(60, &text), Err(Code::TokenExpired));
    let wrong = format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { '1' } else { '0' });
    assert_eq!(at(60, &wrong), Err(Code::TokenInvalid));
}

#[test]
fn a_scope_includes_those_below_it() {
    let namespace = Namespace::default();
    for (own, allowed) in [(Scope::Read, 1), (Scope::Write, 2), (Scope::Admin, 3)] {
        let principal = Principal::from(&mint(&spec(&[own], &[]), 7).0);
        for (rank, scope) in Scope::ALL.into_iter().enumerate() {
            for namespace in [Some(&namespace), None] {
                let result = principal.require(scope, namespace);
                assert_eq!(result.is_ok(), rank < allowed, "{own} for {scope}");
                if let Err(problem) = result {
                    assert_eq!((problem.code(), problem.status()), (Code::ScopeMissing, 403));
                    assert!(problem.detail().contains(&format!("scope {scope}")), "{problem}");
                }
            }
        }
    }
}

#[test]
fn a_bound_token_reaches_its_namespaces_and_never_all_of_them() {
    let principal = Principal::from(&mint(&spec(&[Scope::Admin], &["shop", "test"]), 7).0);
    let require = |name: Option<&str>| {
        let name: Option<Namespace> = name.map(|name| name.parse().unwrap());
        principal.require(Scope::Read, name.as_ref())
    };
    assert!(require(Some("shop")).is_ok() && require(Some("test")).is_ok());
    for (name, named) in [(Some("prod"), "namespace prod"), (None, "all namespaces")] {
        let problem = require(name).unwrap_err();
        assert_eq!(problem.code(), Code::NamespaceDenied);
        assert!(problem.detail().contains(named) && problem.detail().contains("shop, test"), "{problem}");
    }
}

#[test]
fn what_cannot_be_a_token_is_not_made() {
    let good = spec(&[Scope::Read], &[]);
    let many = (0..101).map(|n| format!("ns-{n}").parse().unwrap()).collect();
    for (bad, field) in [
        (TokenSpec { name: String::new(), ..good.clone() }, "/name"),
        (TokenSpec { name: "x".repeat(101), ..good.clone() }, "/name"),
        (TokenSpec { name: "a\u{1b}[2J".to_owned(), ..good.clone() }, "/name"),
        (TokenSpec { scopes: vec![], ..good.clone() }, "/scopes"),
        (TokenSpec { namespaces: many, ..good.clone() }, "/namespaces"),
        (TokenSpec { ttl: Some(Duration::ZERO), ..good }, "/ttl"),
    ] {
        let problem = bad.mint([0; RANDOM_BYTES], NOW).unwrap_err();
        assert_eq!((problem.code(), problem.field()), (Code::InvalidValue, Some(field)));
    }
}

#[test]
fn no_more_tokens_are_kept_than_there_is_room_for() {
    let one = mint(&spec(&[Scope::Read], &[]), 7).0;
    let numbered = |n: usize| Token { id: format!("{n:016x}"), ..one.clone() };
    let access = Access::open((1..MAX_TOKENS).map(numbered).collect());
    access.reserve(&one).unwrap();
    let refused = access.reserve(&numbered(MAX_TOKENS)).unwrap_err();
    assert_eq!(refused.code(), Code::TooManyTokens, "a reserved place is taken");
    access.release(&one.id);
    access.reserve(&numbered(MAX_TOKENS)).unwrap();
    access.insert(numbered(MAX_TOKENS));
    assert_eq!(access.tokens().len(), MAX_TOKENS);
    access.remove(&numbered(1).id);
    assert_eq!(access.reserve(&numbered(2)).unwrap_err().code(), Code::Internal, "an id is given once");
    access.reserve(&one).unwrap();
}

proptest! {
    #[test]
    fn no_header_panics_or_passes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let access = Access::required(vec![mint(&spec(&[Scope::Admin], &[]), 7).0]);
        for prefix in [&b""[..], b"Bearer ", b"Bearer bw_", b"Bearer bw_0707070707070707_"] {
            let value = [prefix, &bytes].concat();
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
                prop_assert!(access.verify(&headers, NOW).is_err());
            }
        }
    }
}

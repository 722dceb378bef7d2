//! From a request to values, and from a refusal to a problem document.
//!
//! axum's own extractors answer with plain text. These answer with problem documents that name the
//! field and the rule.

use std::fmt::Display;

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{FromRequest, FromRequestParts, OptionalFromRequest, Path, Query, Request},
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use registry::{Expected, LeaseId};
use serde::{Serialize, de::DeserializeOwned};
use wire::native::{
    decode::{self, Place},
    problem::{Code, Problem},
};

use crate::listener::Refusal;

/// The answer to a registration has some 60 bytes.
const ANSWER_BYTES: usize = 128;

/// What a handler answers.
pub(crate) type Answer<T> = Result<T, Refusal>;

/// The names in the path, each checked against its rule.
pub(crate) struct Named<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let Path(names) = Path::from_request_parts(parts, &()).await.map_err(|rejection| {
            let text = rejection.body_text();
            // axum wraps the rule in its own words ("Cannot parse `service` …: …" or the like).
            let rule = text
                .find("is not valid")
                .and_then(|at| text[..at].rfind(['`', ':']).map(|from| &text[from + 1..]));
            let rule = rule.unwrap_or(&text).trim();
            Problem::new(Code::InvalidValue, rule.to_owned()).at(path_parameter(&text, rule))
        })?;
        Ok(Self(names))
    }
}

/// The query, without unknown parameters.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        readable(parts.uri.query().unwrap_or_default())?;
        let Query(query) = Query::try_from_uri(&parts.uri).map_err(|rejection| {
            let text = rejection.body_text();
            let reason = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            // "limit: invalid digit …" names the parameter before the colon.
            match reason.split_once(": ") {
                Some((name, reason)) if !name.contains(' ') => {
                    decode::parameter(name, &first(&parts.uri, name), reason)
                }
                _ => decode::unreadable(reason, Place::Query("")),
            }
        })?;
        Ok(Self(query))
    }
}

/// Which of the names in the path is meant.
fn path_parameter<'a>(text: &'a str, rule: &str) -> &'a str {
    match rule.split_once(" \"").map(|(what, _)| what) {
        Some("namespace") => "namespace",
        Some("service") => "service",
        Some("instance id") => "instance",
        Some("policy") => "policy",
        _ => text.split('`').nth(1).filter(|name| !name.contains(' ')).unwrap_or("path"),
    }
}

/// Checks that a query is UTF-8 once it is decoded: what is not would be another text without a word.
fn readable(query: &str) -> Result<(), Problem> {
    if !query.contains('%') {
        return Ok(());
    }
    query.split('&').try_for_each(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if [name, value].iter().all(|text| String::from_utf8(decoded(text)).is_ok()) {
            return Ok(());
        }
        let place = if name.contains('%') { "query" } else { name };
        Err(invalid(place, "it is not UTF-8 once it is decoded; send UTF-8"))
    })
}

/// The bytes of percent-encoded text. What is no escape stays as it is, as browsers read it.
fn decoded(text: &str) -> Vec<u8> {
    let digit = |at: Option<u8>| at.and_then(|at| char::from(at).to_digit(16));
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                bytes = ahead;
            }
            _ => decoded.push(byte),
        }
    }
    decoded
}

/// What a query says of a parameter, the first time that it does.
fn first(uri: &http::Uri, name: &str) -> String {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(pairs)| pairs);
    let found = pairs.unwrap_or_default().into_iter().find(|(of, _)| of == name);
    found.map(|(_, value)| value).unwrap_or_default()
}

/// A JSON body, whatever its content type says: `curl -d` says it is a form.
pub(crate) struct Sent<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Answer<Self> {
        Ok(Self(decode::json(&whole(request.into_body()).await?)?))
    }
}

/// A body that is read by whoever decides, so that it can keep what it reads where it lies.
pub(crate) struct Unread(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Unread {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Answer<Self> {
        whole(request.into_body()).await.map(Self)
    }
}

/// A JSON body that may be left out.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Answer<Option<Self>> {
        let body = whole(request.into_body()).await?;
        if body.is_empty() { Ok(None) } else { Ok(Some(Self(decode::json(&body)?))) }
    }
}

/// The whole body. The listener bounds it, and puts its own words in the place of ours where it refused
/// one; all that is known here is that reading failed.
pub(crate) async fn whole<B>(body: B) -> Answer<Bytes>
where
    B: HttpBody<Data = Bytes, Error: Display>,
{
    let collected = body.collect().await;
    let collected = collected.map_err(|error| Problem::new(Code::MalformedBody, error.to_string()))?;
    Ok(collected.to_bytes())
}

/// An answer in JSON, written at one go into memory of the usual answer's size.
pub(crate) fn written(status: StatusCode, answer: &impl Serialize) -> Answer<Response> {
    let mut text = Vec::with_capacity(ANSWER_BYTES);
    serde_json::to_writer(&mut text, answer)
        .map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The lease that a caller holds: `If-Match`, else the body.
pub(crate) fn held_lease(headers: &HeaderMap, body: Option<&str>) -> Result<Option<LeaseId>, Problem> {
    let header = match headers.get(header::IF_MATCH) {
        Some(value) => Some(value.to_str().map_err(|_| invalid("If-Match", "visible ASCII"))?.trim()),
        None => None,
    };
    let text = header.map(|text| text.trim_matches('"')).or(body);
    let place = if header.is_some() { "If-Match" } else { "/lease_id" };
    text.map(|text| text.parse::<LeaseId>().map_err(|error| invalid(place, error))).transpose()
}

/// The revision of an instance that a caller has seen, by `If-Match`: the entity tag that came with the
/// instance. `*` asks for no more than that it is there.
pub(crate) fn seen_revision(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let digits = bare.len() <= 20 && !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit());
    let revision =
        bare.parse().ok().filter(|_| digits && headers.get_all(header::IF_MATCH).iter().count() == 1);
    let rule = "the revision of the instance as its ETag has it, such as \"17\", or *";
    revision.map(Some).ok_or_else(|| invalid("If-Match", format!("If-Match is not valid: {rule}")))
}

/// The entity tag of an instance: the revision of its last change.
pub(crate) fn tag(revision: u64) -> [(header::HeaderName, String); 1] {
    [(header::ETAG, format!("\"{revision}\""))]
}

/// The revision that a caller has seen, from `If-Match`: a revision in quotes, or `*` for any.
pub(crate) fn expected(headers: &HeaderMap) -> Result<Option<Expected>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(Some(Expected::Any));
    }
    let revision = text.trim_matches('"').parse().map(Expected::Revision);
    let rule = "the revision that you have seen, as in ETag: \"42\"; or * for any";
    revision.map(Some).map_err(|_| invalid("If-Match", format!("If-Match {text:?} is not valid: {rule}")))
}

/// A value that breaks a rule, with the place where it stands.
pub(crate) fn invalid(place: &str, why: impl ToString) -> Problem {
    Problem::new(Code::InvalidValue, why.to_string()).at(place)
}

/// Whether the request is of Bellwether's own command line or console, which look and send no calls. A
/// page of the console cannot name itself; that a request is of the same origin its browser says.
pub(crate) fn is_our_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text(header::USER_AGENT.as_str()).starts_with("bellwether/") || text("sec-fetch-site") == "same-origin"
}

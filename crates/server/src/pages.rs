//! The console, on every path that no API owns.

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::{
    api,
    listener::{answer, is_grpc},
};

/// Paths below these belong to an API, also where nothing is there: an index page in place of an
/// answer would hide the mistake.
const API_PREFIXES: [&str; 6] =
    ["/bellwether/", "/bellwether.", "/api/", "/v1/", "/opentelemetry.", "/grpc."];

/// A file of the console, its index page for a view, or the problem of a path that is not there.
pub(crate) async fn serve(request: Request) -> Response {
    let path = request.uri().path();
    let is_api = is_grpc(request.headers()) || API_PREFIXES.iter().any(|prefix| path.starts_with(prefix));
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    match console::asset(path).filter(|_| is_read && !is_api) {
        Some(asset) => file(asset, request.headers()),
        None => answer(&api::no_such_path(path), is_grpc(request.headers())),
    }
}

fn file(asset: &'static console::Asset, asked: &HeaderMap) -> Response {
    let text =
        |name: header::HeaderName| asked.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut headers = HeaderMap::new();
    for (name, value) in console::SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(console::CACHE_CONTROL));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::ETAG, HeaderValue::from_static(&asset.etag));
    if text(header::IF_NONE_MATCH).contains(asset.etag.as_str()) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    match &asset.gzip {
        Some(gzip) if text(header::ACCEPT_ENCODING).contains("gzip") => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            (headers, Body::from(gzip.as_slice())).into_response()
        }
        _ => (headers, Body::from(asset.bytes.as_ref())).into_response(),
    }
}

//! What a listener serves: a router, or whatever stands before one.
//!
//! Not a `tower::Service`: its futures have a name, which for an `async` function means a box, and it is
//! called through `&mut`, which means a clone. For the requests that come most, both are noticed.

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request},
    response::Response,
};
use tower::{Layer, Service};

use super::{body::RequestBody, request::Peer};

/// Answers requests, whatever they are.
pub trait App: Clone + Send + Sync + 'static {
    /// Answers a request that `peer` sent.
    fn answer(
        &self,
        request: http::Request<RequestBody>,
        peer: Peer,
    ) -> impl Future<Output = Response> + Send;
}

/// A router's handlers find the [`Peer`] in the request's extensions.
impl App for Router {
    async fn answer(&self, request: http::Request<RequestBody>, peer: Peer) -> Response {
        let verdict = request.body().verdict();
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(verdict);
        // The body's own bounds hold; a second one that knows nothing of them would be in the way.
        let answered = DefaultBodyLimit::disable().layer(self.clone()).call(request).await;
        answered.unwrap_or_else(|never| match never {})
    }
}

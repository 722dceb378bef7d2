//! One request: checked, given to the application, and answered whatever happens there.

use std::{convert::Infallible, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc};

use axum::body::Body;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use wire::native::problem::{Code, Problem};

use super::{
    App, ListenerStats, Reason, Settings,
    activity::Activity,
    answer::{answer, is_grpc},
    body::{RequestBody, ResponseBody, Unread, Verdict, message},
    origin,
    transport::MARK,
};

/// Who sent a request; in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// Whether it is encrypted.
    pub tls: bool,
}

/// What all requests of one connection share.
pub(super) struct Context<A> {
    pub(super) app: A,
    pub(super) settings: Arc<Settings>,
    pub(super) activity: Arc<Activity>,
    pub(super) peer: Peer,
    pub(super) known: origin::Known,
}

impl<A> Context<A> {
    fn stats(&self) -> &Arc<ListenerStats> {
        &self.settings.stats
    }
}

/// Answers `request`; never fails, and a panic is an answer, too.
pub(super) async fn serve<A: App>(
    context: Arc<Context<A>>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let in_flight = context.activity.begin();
    context.stats().request();
    let grpc = is_grpc(request.headers());
    // Shares the text of the request.
    let uri = request.uri().clone();
    let version = request.version();
    let request = request.map(|body| Unread::new(version, body, &context.settings.limits));
    let result = match check(&context, &request) {
        Ok(()) => call(&context, request, &uri).await,
        Err(refused) => Err(refused),
    };
    let mut response = result.unwrap_or_else(|(reason, problem)| {
        context.stats().refuse(reason);
        // A path that was too long is not worth repeating.
        let problem = if reason == Reason::UriTooLong { problem } else { problem.on(uri.path()) };
        answer(&problem, grpc)
    });
    response.headers_mut().insert(MARK, HeaderValue::from_static("nosniff"));
    let stats = context.stats().clone();
    Ok(response.map(|body| ResponseBody::new(body, in_flight, stats)))
}

/// What can be seen in the head alone.
fn check<A, B>(context: &Context<A>, request: &Request<B>) -> Result<(), (Reason, Problem)> {
    let Context { settings, known, .. } = context;
    let limits = &settings.limits;
    let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if uri > limits.max_uri_bytes {
        let detail = format!("path and query have {uri} bytes, at most {} are read", limits.max_uri_bytes);
        return Err((Reason::UriTooLong, Problem::new(Code::UriTooLong, detail)));
    }
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > limits.max_header_bytes || headers.len() > limits.max_headers {
        let detail = format!(
            "{} headers of {bytes} bytes, at most {} of {} bytes are read",
            headers.len(),
            limits.max_headers,
            limits.max_header_bytes
        );
        return Err((Reason::HeadTooLarge, Problem::new(Code::HeadersTooLarge, detail)));
    }
    origin::check(&settings.hosts, known, request)
}

async fn call<A: App>(
    context: &Context<A>,
    request: Request<Unread>,
    uri: &Uri,
) -> Result<Response<Body>, (Reason, Problem)> {
    let verdict = Verdict::new(&context.settings.limits);
    let request = request.map(|unread| RequestBody::new(unread, verdict.clone(), &context.settings.limits));
    let method = request.method().clone();

    let answered = AssertUnwindSafe(context.app.answer(request, context.peer)).catch_unwind().await;
    // Before the handler's own words: it knows only that its body could not be read.
    if let Some(refused) = verdict.refusal() {
        return Err(refused);
    }
    match answered {
        Ok(response) => Ok(response),
        Err(panic) => {
            let path = uri.path();
            tracing::error!(%method, path, panic = message(&*panic), "a handler panicked");
            let detail = format!("{method} {path} could not be answered");
            Err((Reason::Panic, Problem::new(Code::Internal, detail)))
        }
    }
}

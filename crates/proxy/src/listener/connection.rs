//! One client's connection, from its first byte to its last.
//!
//! The socket comes back when the HTTP library has done with it: for the problem document that it does
//! not write itself, or for another protocol.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, pin, select, sync::OwnedSemaphorePermit, time::sleep};
use tokio_util::sync::CancellationToken;
use wire::native::problem::{Code, Problem};

use super::{
    ended, farewell,
    transport::Transport,
    turn::{Answering, Stage, Turn},
};
use crate::{call::call, counts::Counted, gateway::Gateway, settings::Limits};

/// A client that speaks HTTP no longer.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    /// What it has sent already, after its request.
    pub(crate) first: Bytes,
    /// Its place among the connections that there may be.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// A connection's place among those that there may be, and among those that speak HTTP.
type Place = (Option<OwnedSemaphorePermit>, Counted);

/// Where a connection comes from.
#[derive(Debug)]
pub(super) struct From {
    pub(super) stream: TcpStream,
    pub(super) peer: IpAddr,
    pub(super) place: Place,
}

/// Serves a client until it leaves; once `stopping`, until its calls in flight are answered.
pub(super) async fn serve(
    gateway: Arc<Gateway>,
    builder: http1::Builder,
    From { stream, peer, place }: From,
    stopping: CancellationToken,
) {
    // Answers must not wait for acknowledgements of their parts; a failure costs speed only.
    let _ = stream.set_nodelay(true);
    let turn = Arc::new(Turn::default());
    let transport = Transport::new(stream, turn.clone(), gateway.refusals.clone(), &gateway.limits);
    let (shared, whose) = (gateway.clone(), turn.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        whose.begin(!request.body().is_end_stream());
        answer(shared.clone(), whose.clone(), request, peer)
    });
    let mut connection = builder.serve_connection(TokioIo::new(transport), service);

    let stop = async {
        stopping.cancelled().await;
        // Whoever sends meanwhile is told by the answer; to others the connection is closed, which a client
        // that is just about to send can only find out by trying.
        sleep(gateway.leaving.get().copied().unwrap_or_default()).await;
    };
    pin!(stop);
    let mut told = false;
    let ended = loop {
        select! {
            ended = &mut connection => break ended,
            () = &mut stop, if !told => {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let http1::Parts { io, read_buf, .. } = connection.into_parts();
    leave(&gateway, &turn, io.into_inner(), read_buf, ended, place).await;
}

async fn answer(
    gateway: Arc<Gateway>,
    turn: Arc<Turn>,
    mut request: Request<Incoming>,
    peer: IpAddr,
) -> Result<Response<Answering>, Infallible> {
    let client = request.extensions_mut().remove::<OnUpgrade>().map(|_| turn.expect_upgrade());
    let (gateway, leaving) = (gateway.clone(), gateway);
    let (mut response, leaving) = (call(gateway, request, client, peer).await, &leaving.leaving);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        turn.upgrade();
    } else if leaving.get().is_some() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Answering::new(body, turn)))
}

/// What is left to do for a client when HTTP is over.
async fn leave(
    gateway: &Gateway,
    turn: &Turn,
    transport: Transport,
    unread: Bytes,
    ended: hyper::Result<()>,
    (place, _counted): Place,
) {
    let words = match ended {
        Ok(()) if turn.stage() == Stage::Upgraded => {
            return turn.hand_over(Client { socket: transport.into_socket(), first: unread, place });
        }
        Ok(()) => Vec::new(),
        Err(error) => match refusal(&error, &transport, turn.stage(), &unread, &gateway.limits) {
            Some((reason, problem)) => {
                gateway.refusals.count(reason, 1);
                farewell::words(&problem)
            }
            // The client is gone, or has to learn from the connection's end that its answer broke off.
            None => return tracing::debug!(%error, "a client's connection ended"),
        },
    };
    let unread = !words.is_empty() || turn.had_body();
    farewell::say(transport.into_socket(), &words, unread).await;
}

/// What a client is told whose request could not be read; `None` where there is nothing to tell.
fn refusal(
    error: &hyper::Error,
    transport: &Transport,
    stage: Stage,
    unread: &[u8],
    limits: &Limits,
) -> Option<(&'static str, Problem)> {
    let Limits { head_bytes, head_fields, .. } = limits;
    // Empty lines before a request are no part of it (RFC 9112, section 2.2).
    let begin = unread.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(unread.len());
    let unread = &unread[begin..];
    let malformed = |detail: String| Some((ended::MALFORMED, Problem::new(Code::MalformedRequest, detail)));
    let line = unread.iter().position(|byte| *byte == b'\n').unwrap_or(unread.len());
    match transport.held_back() {
        Some(414) | Some(431) if line >= *head_bytes => {
            let detail = format!("the request's first line is longer than the {head_bytes} bytes of a head");
            Some((ended::URI_TOO_LONG, Problem::new(Code::UriTooLong, detail)))
        }
        Some(414) => {
            let detail = "the request's target is longer than the 65,534 bytes of any target";
            Some((ended::URI_TOO_LONG, Problem::new(Code::UriTooLong, detail)))
        }
        Some(431) => {
            let detail =
                format!("the request's head has more than {head_fields} fields or {head_bytes} bytes");
            Some((ended::HEAD_TOO_LARGE, Problem::new(Code::HeadersTooLarge, detail)))
        }
        Some(_) => malformed(format!("the request's head is not valid HTTP: {error}")),
        // In the middle of an answer the client has to learn from the connection's end that it broke off.
        None if stage != Stage::Idle || unread.is_empty() => None,
        None if transport.is_late() => {
            let limit = identity::duration::format(limits.head_timeout);
            let detail = format!("the request's head did not come to its end within {limit}");
            Some((ended::HEAD_TIMEOUT, Problem::new(Code::RequestTimeout, detail)))
        }
        None if error.is_incomplete_message() => {
            malformed("the client stopped sending in the middle of the request's head".to_owned())
        }
        None if error.is_parse() => malformed(format!("the request's head is not valid HTTP: {error}")),
        None => None,
    }
}

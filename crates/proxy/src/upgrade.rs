//! Connections that change their protocol (RFC 9110, section 7.8), such as WebSocket.
//!
//! Nothing is passed on before the endpoint has agreed. From then on it is bytes both ways, the call is
//! over for breaker and histogram, and the endpoint stays occupied until the connection ends.

use std::sync::Arc;

use http::{HeaderValue, Response, header};
use hyper_util::rt::TokioIo;
use resilience::Ending;
use tokio::{
    io::{self, AsyncReadExt, copy_bidirectional},
    select,
    sync::oneshot,
};

use crate::{attempt::Answer, body::Body, gateway::Gateway, hop, listener::Client, record::Record};

/// Answers the client that its protocol was accepted, and joins both sides.
pub(crate) fn join(
    gateway: &Arc<Gateway>,
    mut record: Box<Record>,
    answer: Answer,
    client: oneshot::Receiver<Client>,
) -> Response<Body> {
    let Answer { mut response, connection } = answer;
    let endpoint = hyper::upgrade::on(&mut response);
    let occupied = record.take_occupied();
    let status = response.status().as_u16();
    record.end(Ending::Answered(status), status);
    let closing = gateway.closing.clone();
    let counted = gateway.connections.upgraded.enter();
    tokio::spawn(async move {
        // Held as long as the endpoint's connection is in use.
        let _held = (occupied, counted);
        let joined = async {
            let (endpoint, ()) = tokio::join!(endpoint, connection.into_driver());
            let (client, endpoint) = (client.await.ok()?, endpoint.ok()?);
            let Client { mut socket, first, place: _place } = client;
            let (read, write) = socket.split();
            // How it ends is between the two.
            let mut client = io::join(first.chain(read), write);
            copy_bidirectional(&mut client, &mut TokioIo::new(endpoint)).await.ok()
        };
        select! {
            _ = joined => {}
            () = closing.cancelled() => {}
        }
    });
    let (mut parts, _) = response.into_parts();
    let protocol = hop::upgrade(&parts.headers).cloned();
    parts.extensions.clear();
    hop::strip(&mut parts.headers);
    parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        parts.headers.insert(header::UPGRADE, protocol);
    }
    Response::from_parts(parts, Body::Whole(Default::default()))
}

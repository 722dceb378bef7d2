//! Connections that change their protocol (RFC 9110, section 7.8), such as WebSocket.
//!
//! Nothing is passed on before the endpoint has agreed. From then on it is bytes both ways, the call is
//! over for breaker and histogram, and the endpoint stays occupied until the connection ends.

use std::{io::Cursor, sync::Arc};

use bytes::BytesMut;
use resilience::Ending;
use tokio::{
    io::{self, AsyncReadExt, copy_bidirectional},
    net::TcpStream,
    select,
};

use crate::{counts::Counted, endpoint::Occupied, gateway::Gateway, record::Record, upstream::Upstream};

/// A connection to an endpoint that speaks another protocol now.
#[derive(Debug)]
pub(crate) struct Switched {
    upstream: Box<Upstream>,
    /// Held as long as the endpoint's connection is in use.
    _held: (Option<Occupied>, Counted),
}

impl Switched {
    /// The endpoint has agreed.
    pub(crate) fn new(
        gateway: &Gateway,
        mut record: Box<Record>,
        upstream: Box<Upstream>,
        status: u16,
    ) -> Self {
        let _held = (record.take_occupied(), gateway.connections.upgraded.enter());
        record.end(Ending::Answered(status), status);
        Self { upstream, _held }
    }

    /// Joins both sides until both have ended, or the gateway does; `first` is what the client has said already.
    pub(crate) async fn join(self, gateway: &Arc<Gateway>, mut client: TcpStream, first: BytesMut) {
        let (mut endpoint, begun) = self.upstream.into_parts();
        let (read, write) = client.split();
        let mut client = io::join(Cursor::new(first).chain(read), write);
        let (read, write) = endpoint.split();
        let mut endpoint = io::join(Cursor::new(begun).chain(read), write);
        select! {
            // How it ends is between the two.
            _ = copy_bidirectional(&mut client, &mut endpoint) => {}
            () = gateway.closing.cancelled() => {}
        }
    }
}

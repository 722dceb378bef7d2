//! What a client is answered: an endpoint's answer as it comes, or one of our own.
//!
//! A call is over when its answer's body is, so it is the body that ends the call's record: as answered when
//! its last piece has been taken, as failed when the endpoint breaks off, and as cancelled when the client
//! does, because then it is dropped.

use std::task::Context;

use bytes::Bytes;
use http::Response;
use resilience::{Ending, Fault};

use crate::{
    connect::Failure,
    http1::head::ResponseHead,
    idle::IdleTimer,
    listener::Client,
    record::Record,
    upgrade::Switched,
    upstream::{Taken, Upstream},
};

/// An answer.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Our own.
    Own(Response<Bytes>),
    /// An endpoint's.
    Passed(ResponseHead, Streaming),
    /// An endpoint's that changes the protocol.
    Switched(ResponseHead, Box<Switched>),
}

/// A body that comes from an endpoint.
#[derive(Debug)]
pub(crate) struct Streaming {
    idle: IdleTimer,
    status: u16,
    /// Whether what is left of the request goes on in chunks.
    chunked: bool,
    /// `None` when the call is over.
    call: Option<(Box<Record>, Box<Upstream>)>,
}

/// The answer did not come to its end. The client's connection is closed, which tells it.
#[derive(Debug)]
pub(crate) struct Broken;

impl Streaming {
    /// The body of an endpoint's answer, with the call that ends with it.
    pub(crate) fn new(status: u16, record: Box<Record>, upstream: Box<Upstream>, chunked: bool) -> Self {
        let idle = IdleTimer::new(record.idle_timeout());
        Self { idle, status, chunked, call: Some((record, upstream)) }
    }

    /// Takes what has come of it, for the client; and passes on what the client still has to say.
    pub(crate) fn poll_take(
        &mut self,
        client: &mut Client,
        chunked: bool,
        cx: &mut Context<'_>,
    ) -> Result<Taken, Broken> {
        let Some((_, upstream)) = &mut self.call else { return Ok(Taken::All) };
        if let Err(failure) = upstream.poll_write(client, self.chunked, cx) {
            return Err(self.fail(client, failure));
        }
        let before = client.line.unsent.len();
        match upstream.poll_take(&mut client.line.unsent, chunked, cx) {
            Ok(Taken::All) => {
                self.complete(client);
                Ok(Taken::All)
            }
            Ok(Taken::Full) => {
                self.idle.moved();
                Ok(Taken::Full)
            }
            Ok(Taken::Waits) => {
                if client.line.unsent.len() > before {
                    self.idle.moved();
                }
                if self.idle.poll_elapsed(cx).is_ready() {
                    let detail = "nothing of the response came for too long";
                    return Err(self.fail(client, Failure::new(Fault::Idle, detail)));
                }
                Ok(Taken::Waits)
            }
            Err(failure) => Err(self.fail(client, failure)),
        }
    }

    fn complete(&mut self, client: &Client) {
        if let Some((record, upstream)) = self.call.take() {
            record.end_with_connection(self.status, upstream, client.has_sent_all());
        }
    }

    fn fail(&mut self, client: &Client, failure: Failure) -> Broken {
        if let Some((mut record, _)) = self.call.take() {
            let Failure { fault, detail } = failure;
            let ending = if client.fault().is_some() { Ending::CallerFault } else { Ending::Failed(fault) };
            record.note(&detail);
            record.end(ending, self.status);
        }
        Broken
    }
}

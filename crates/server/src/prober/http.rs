//! An HTTP check: `GET`, and every 2xx passes.
//!
//! A redirect is not followed. It would have the prober ask an address that nobody registered and no
//! rule has looked at.

use std::{future::Future, pin::pin};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::ask::AGENT;

/// Bytes of an answer's head; a larger one is a failure.
const HEAD: usize = 32 << 10;
/// Bytes of an answer's body that are read and dropped, so that an ordinary answer ends in order.
const BODY: usize = 64 << 10;

/// Asks for a path.
pub(super) async fn get(stream: TcpStream, authority: &str, path: &str) -> Result<(), String> {
    let invalid = |error: hyper::Error| format!("no valid HTTP answer: {error}");
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD).handshake(TokioIo::new(stream)).await.map_err(invalid)?;
    let request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("the check cannot be asked: {error}"))?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(invalid)?;
        judge(response.status())?;
        let mut body = response.into_body();
        let mut read = 0;
        while read < BODY
            && let Some(frame) = body.frame().await
        {
            let frame = frame.map_err(|error| format!("its answer broke off: {error}"))?;
            read += frame.data_ref().map_or(0, Bytes::len);
        }
        Ok(())
    };
    beside(answer, connection).await
}

fn judge(status: StatusCode) -> Result<(), String> {
    if status.is_success() {
        Ok(())
    } else if status.is_redirection() {
        Err(format!("it answered {status}, and redirects are not followed"))
    } else {
        Err(format!("it answered {status}"))
    }
}

/// Drives a connection for as long as somebody talks over it. Both end together, also when time is up.
pub(crate) async fn beside<T>(talk: impl Future<Output = T>, connection: impl Future) -> T {
    match select(pin!(talk), pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        // What came before its end is still to be taken in.
        Either::Right((_, talk)) => talk.await,
    }
}

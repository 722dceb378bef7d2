//! A connection to an endpoint.
//!
//! No task stands behind it: whoever waits for an answer, or takes its body, drives the connection with his
//! own task. A task of its own would have to be woken for the request and to wake for the answer, and what
//! that costs is more than all of the breakers, choices and counters of a call.
//!
//! While it is idle nobody drives it; [`Upstream::is_idle`] looks whether the endpoint has closed it or said
//! something that nobody asked for, which takes no system call as long as nothing has come.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{Builder, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{gateway::Gateway, request_body::RequestBody};

/// Reads and writes; it ends with the connection.
type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection to an endpoint, for one call at a time.
pub(crate) struct Upstream {
    sender: SendRequest<RequestBody>,
    /// `None` once the connection has ended.
    driver: Option<Driver>,
}

impl Upstream {
    /// HTTP on a fresh connection.
    pub(crate) async fn handshake(stream: TcpStream, gateway: &Gateway) -> hyper::Result<Self> {
        let (limits, counted) = (&gateway.limits, gateway.connections.endpoints.enter());
        let (sender, connection) = Builder::new()
            .max_header_size(limits.head_bytes)
            .max_buf_size(limits.head_bytes.max(8 * 1024) * 2)
            .writev(false)
            .handshake(TokioIo::new(stream))
            .await?;
        let driver = async move {
            let _counted = counted;
            // How a connection ends is told to the call that uses it; an idle one may end as it likes.
            let _ = connection.with_upgrades().await;
        };
        Ok(Self { sender, driver: Some(Box::pin(driver)) })
    }

    /// Sends a request and waits for the answer's head.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let driver = &mut self.driver;
        poll_fn(|cx| {
            drive(driver, cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// Reads and writes what can be read and written now; whoever waits has to call it each time.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.driver, cx);
    }

    /// Whether another request can be sent: everything of the last one and of its answer has passed, and the
    /// endpoint has not closed the connection as far as the kernel has told.
    pub(crate) fn is_idle(&mut self) -> bool {
        // Nobody is to be woken: whoever takes the connection looks again.
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    /// What is left to be driven when the connection changes its protocol.
    pub(crate) async fn into_driver(self) {
        if let Some(driver) = self.driver {
            driver.await;
        }
    }
}

fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if let Some(running) = driver
        && let Poll::Ready(()) = running.as_mut().poll(cx)
    {
        *driver = None;
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("ended", &self.driver.is_none()).finish_non_exhaustive()
    }
}

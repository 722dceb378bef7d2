//! Being registered: the lease is taken, kept by heartbeats, and given back.

use std::{io, net::SocketAddr, time::Duration};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::{call::Call, service::Order};

/// How long the registry believes in us without a heartbeat.
const TTL: &str = "6s";

/// A third of it, so that two heartbeats in a row may be lost.
const BEAT: Duration = Duration::from_secs(2);

/// How long to wait before a registration is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// What holds the place of an instance in the registry.
#[derive(Debug)]
pub(crate) struct Membership {
    control: SocketAddr,
    path: String,
    body: Json,
    lease: String,
    revision: u64,
}

impl Membership {
    /// Registers; tries until it works.
    pub(crate) async fn join(order: &Order, address: SocketAddr) -> Self {
        let mut membership = Self {
            control: order.control,
            path: format!(
                "/bellwether/v1/namespaces/default/services/{}/instances/{}",
                order.kind.as_str(),
                order.id
            ),
            body: json!({
                "address": address.ip().to_string(),
                "port": address.port(),
                "ttl": TTL,
                "version": order.version,
                "metadata": { "part-of": "demo" },
            }),
            lease: String::new(),
            revision: 0,
        };
        while let Err(error) = membership.register().await {
            tracing::warn!(%error, "cannot register yet");
            tokio::time::sleep(AGAIN).await;
        }
        membership
    }

    /// The registry's revision since which we are in it.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Sends heartbeats until told to stop, then deregisters.
    pub(crate) async fn keep(mut self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(BEAT) => {}
            }
            match self.send(Method::POST, "/heartbeat", "{}").await {
                // The registry has forgotten us, or somebody else has our place and is gone by now.
                Ok((StatusCode::NOT_FOUND | StatusCode::CONFLICT, _)) => {
                    if let Err(error) = self.register().await {
                        tracing::warn!(%error, "cannot register anew");
                    }
                }
                Ok((status, _)) if status.is_success() => {}
                Ok((status, body)) => tracing::warn!(%status, body, "the heartbeat was refused"),
                Err(error) => tracing::warn!(%error, "the control plane cannot be reached"),
            }
        }
        if let Err(error) = self.send(Method::DELETE, "", "").await {
            tracing::warn!(%error, "cannot deregister; the lease will lapse");
        }
    }

    async fn register(&mut self) -> io::Result<()> {
        let body = self.body.to_string();
        let (status, answer) = self.send(Method::PUT, "", &body).await?;
        let answer: Json = serde_json::from_str(&answer).unwrap_or_default();
        match answer["lease_id"].as_str() {
            Some(lease) if status.is_success() => {
                lease.clone_into(&mut self.lease);
                self.revision = answer["revision"].as_u64().unwrap_or_default();
                Ok(())
            }
            _ => Err(io::Error::other(format!("{status}: {answer}"))),
        }
    }

    async fn send(&self, method: Method, below: &str, body: &str) -> io::Result<(StatusCode, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !self.lease.is_empty() && method != Method::PUT {
            let lease = format!("\"{}\"", self.lease).parse().map_err(io::Error::other)?;
            headers.insert(header::IF_MATCH, lease);
        }
        let host = self.control.to_string();
        let path = format!("{}{below}", self.path);
        let call =
            Call { to: self.control, host: &host, method, path: &path, headers, body: body.to_owned() };
        let answer = call.make().await?;
        Ok((answer.status(), String::from_utf8_lossy(answer.body()).into_owned()))
    }
}

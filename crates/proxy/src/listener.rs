//! Accepting clients, and letting them go.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{call::call, gateway::Gateway, settings::Limits};

/// How long to wait after the kernel had no connection to give, most likely for want of descriptors.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Serves clients until told to stop; then lets calls in flight go on for at most `drain`.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    stopping: CancellationToken,
    drain: Duration,
) {
    let mut connections = JoinSet::new();
    let builder = builder(&gateway.limits);
    loop {
        let room = connections.len() < gateway.limits.connections;
        select! {
            () = stopping.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if room => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(gateway.clone(), builder.clone(), stream, stopping.clone()));
                    if connections.len() == gateway.limits.connections {
                        tracing::warn!(connections = connections.len(), "no further clients are accepted until one leaves");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(AFTER_FAILURE).await;
                }
            },
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(drain, all).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "calls were still in flight when the time to stop was over"
        );
    }
    connections.shutdown().await;
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_header_size(limits.head_bytes)
        .max_buf_size(limits.head_bytes.max(8 * 1024) * 2);
    if limits.head_fields < 100 {
        builder.max_headers(limits.head_fields);
    }
    builder
}

async fn connection(
    gateway: Arc<Gateway>,
    builder: http1::Builder,
    stream: TcpStream,
    stopping: CancellationToken,
) {
    // Answers must not wait for acknowledgements of their parts; a failure costs speed only.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let gateway = gateway.clone();
        async move { Ok::<_, Infallible>(call(gateway, request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let ended = select! {
        ended = connection.as_mut() => ended,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended");
    }
}

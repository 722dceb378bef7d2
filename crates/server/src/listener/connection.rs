//! One connection, from its first byte to its last.
//!
//! TLS first where it is asked for; then the first bytes tell HTTP/2 (with its preface) from HTTP/1,
//! both on the same port, encrypted or not. Until a request has been read the client has proved
//! nothing, so each of these steps has its own time limit.

use std::{future::poll_fn, io, net::SocketAddr, ops::ControlFlow, pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use wire::native::problem::{Code, Problem};

use super::{
    App, Reason, Settings,
    activity::{Activity, Overdue},
    answer::raw,
    origin::Known,
    request::{self, Context, Peer},
    transport::{Socket, Transport},
};

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// As much as is still read from a client whose connection is over.
const LINGER_BYTES: usize = 16 << 20;

/// Serves one connection until it ends or, after `stop`, until what is in flight is answered.
pub(super) async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    app: impl App,
    settings: Arc<Settings>,
    stop: CancellationToken,
) {
    // Small responses are written at once and should leave at once. A failure costs latency only.
    let _ = stream.set_nodelay(true);
    let opened = tokio::select! {
        biased;
        () = stop.cancelled() => return,
        opened = open(stream, &settings) => opened,
    };
    let Some((socket, first)) = opened else { return };
    let is_http2 = first.as_ref() == PREFACE;

    let activity = Activity::new();
    let peer = Peer { address, tls: matches!(socket, Socket::Tls(_)) };
    let stall = settings.limits.write_stall;
    let transport = Transport::new(socket, first, activity.clone(), settings.stats.clone(), stall);
    let context = Arc::new(Context { app, settings, activity, peer, known: Known::default() });
    match is_http2 {
        true => serve_http2(transport, context, stop).await,
        false => serve_http1(transport, context, stop).await,
    }
}

/// Speaks TLS if need be, and reads until the protocol is known. `None` if nobody is left to serve.
async fn open(stream: TcpStream, settings: &Settings) -> Option<(Socket, Bytes)> {
    let (limits, stats) = (&settings.limits, &settings.stats);
    let mut socket = match &settings.tls {
        None => Socket::Plain(stream),
        Some(tls) => {
            let mut byte = [0];
            match timeout(limits.first_bytes, stream.peek(&mut byte)).await {
                Ok(Ok(1)) => {}
                Ok(_) => return None,
                Err(_) => return refuse(Socket::Plain(stream), settings, Reason::FirstBytes, slow()).await,
            }
            // The first byte of a method, where TLS begins with a control character.
            if byte[0].is_ascii_uppercase() {
                let problem = Problem::new(Code::MalformedRequest, "plain HTTP came where TLS is spoken")
                    .next("use https:// instead of http://");
                return refuse(Socket::Plain(stream), settings, Reason::NotTls, problem).await;
            }
            match timeout(limits.tls_handshake, tls.acceptor().accept(stream)).await {
                Ok(Ok(stream)) => Socket::Tls(Box::new(stream)),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a TLS handshake failed");
                    stats.refuse(Reason::Handshake);
                    return None;
                }
                Err(_) => {
                    stats.refuse(Reason::HandshakeTimeout);
                    return None;
                }
            }
        }
    };
    match timeout(limits.first_bytes, first_bytes(&mut socket)).await {
        Ok(Ok(first)) if !first.is_empty() => Some((socket, first)),
        // Nothing was asked; so do those who only look whether the port is open.
        Ok(_) => None,
        Err(_) => refuse(socket, settings, Reason::FirstBytes, slow()).await,
    }
}

fn slow() -> Problem {
    Problem::new(Code::RequestTimeout, "no request came in the time that the listener waits for one")
}

async fn refuse<T>(socket: Socket, settings: &Settings, reason: Reason, problem: Problem) -> Option<T> {
    settings.stats.refuse(reason);
    farewell(socket, &raw(&problem), settings).await;
    None
}

/// Reads until the bytes are the HTTP/2 preface or cannot become it.
async fn first_bytes(socket: &mut Socket) -> io::Result<Bytes> {
    let mut bytes = BytesMut::with_capacity(PREFACE.len());
    while bytes.len() < PREFACE.len() && PREFACE.starts_with(&bytes) {
        let mut rest = [0; PREFACE.len()];
        let count = socket.read(&mut rest[bytes.len()..]).await?;
        if count == 0 {
            break;
        }
        let from = bytes.len();
        bytes.extend_from_slice(&rest[from..from + count]);
    }
    Ok(bytes.freeze())
}

/// Writes the last words and closes, in the order that lets them arrive: a socket that is closed
/// while unread bytes wait in it resets the connection, and the client's kernel throws away what
/// it has not handed out yet. So what still comes is read for a moment and thrown away.
async fn farewell(mut socket: impl AsyncReadExt + AsyncWriteExt + Unpin, words: &[u8], settings: &Settings) {
    let _ = timeout(settings.limits.linger, async {
        socket.write_all(words).await?;
        socket.shutdown().await?;
        let mut sink = vec![0; 16 << 10];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match socket.read(&mut sink).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        io::Result::Ok(())
    })
    .await;
}

async fn serve_http1<A: App>(transport: Transport, context: Arc<Context<A>>, stop: CancellationToken) {
    let settings = context.settings.clone();
    let limits = &settings.limits;
    let shared = context.clone();
    let service = service_fn(move |request| Box::pin(request::serve(shared.clone(), request)));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Ours tells the wait for a head from the wait for a request.
        .header_read_timeout(None)
        .max_buf_size(limits.max_header_bytes.max(8 << 10))
        .max_headers(limits.max_headers)
        .serve_connection(TokioIo::new(transport), service);

    let mut stopping = false;
    let ended = loop {
        let step = tokio::select! {
            biased;
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => ControlFlow::Break(Ok(ended)),
            () = stop.cancelled(), if !stopping => ControlFlow::Continue(()),
            overdue = context.activity.overdue(limits, true) => ControlFlow::Break(Err(overdue)),
        };
        match step {
            ControlFlow::Break(ended) => break ended,
            ControlFlow::Continue(()) => {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let parts = connection.into_parts();
    let transport = parts.io.into_inner();
    let problem = match ended {
        Err(Overdue::Request) => {
            settings.stats.refuse(Reason::Idle);
            None
        }
        Err(Overdue::Head) => {
            let detail = "the request's head did not arrive in the time that the listener waits for it";
            Some((Reason::HeadTimeout, Problem::new(Code::RequestTimeout, detail)))
        }
        Ok(Ok(())) => None,
        Ok(Err(error)) => unreadable(&error, transport.held_back, &parts.read_buf, limits.max_header_bytes),
    };
    let words = problem.map_or_else(Vec::new, |(reason, problem)| {
        settings.stats.refuse(reason);
        raw(&problem)
    });
    if !words.is_empty() || !context.activity.is_gone() {
        farewell(transport, &words, &settings).await;
    }
}

/// Why a head could not be read; `None` for errors that no client can be told of.
fn unreadable(
    error: &hyper::Error,
    status: Option<u16>,
    unread: &[u8],
    max_header_bytes: usize,
) -> Option<(Reason, Problem)> {
    let too_long = status == Some(431) && !unread.contains(&b'\n');
    match status {
        Some(414) => {}
        _ if too_long => {}
        Some(431) => {
            let detail =
                format!("the request's head has too many headers or more than {max_header_bytes} bytes");
            return Some((Reason::HeadTooLarge, Problem::new(Code::HeadersTooLarge, detail)));
        }
        Some(_) => {
            let detail = format!("the request's head is not valid HTTP: {error}");
            return Some((Reason::Malformed, Problem::new(Code::MalformedRequest, detail)));
        }
        None if error.is_incomplete_message() => {
            let detail = "the connection's other end stopped in the middle of a request";
            return Some((Reason::Malformed, Problem::new(Code::MalformedRequest, detail)));
        }
        None => {
            tracing::debug!(%error, "a connection ended");
            return None;
        }
    }
    let detail = "the request's first line is longer than what is read of it";
    Some((Reason::UriTooLong, Problem::new(Code::UriTooLong, detail)))
}

async fn serve_http2<A: App>(transport: Transport, context: Arc<Context<A>>, stop: CancellationToken) {
    let settings = context.settings.clone();
    let limits = &settings.limits;
    let shared = context.clone();
    let service = service_fn(move |request| request::serve(shared.clone(), request));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_max_streams)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_connection_window)
        .max_frame_size(limits.h2_max_frame)
        .max_send_buf_size(limits.h2_send_buffer)
        .max_pending_accept_reset_streams(limits.h2_max_resets)
        .max_local_error_reset_streams(limits.h2_max_errors)
        .keep_alive_interval(limits.h2_ping_interval)
        .keep_alive_timeout(limits.h2_ping_timeout)
        .serve_connection(TokioIo::new(transport), service);
    let mut connection = std::pin::pin!(connection);

    // Told to go once, by us stopping or by its own idleness; then it gets as long as one request.
    let mut going = false;
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "an HTTP/2 connection ended");
                    if !context.activity.is_gone() {
                        settings.stats.refuse(Reason::Http2);
                    }
                }
                return;
            }
            () = stop.cancelled(), if !going => {}
            _ = context.activity.overdue(limits, false), if !going => settings.stats.refuse(Reason::Idle),
            // It has been told and does not go.
            () = tokio::time::sleep(limits.linger), if going && context.activity.idle() => return,
        }
        going = true;
        connection.as_mut().graceful_shutdown();
    }
}

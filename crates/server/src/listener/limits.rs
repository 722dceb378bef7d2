//! Every bound of the listener, and what it costs.

use std::time::Duration;

/// What one listener accepts. Each limit that is reached is counted in
/// [`ListenerStats`](super::ListenerStats).
///
/// The worst case of memory is `max_connections` times what one connection may hold: for HTTP/1 twice
/// `max_header_bytes` and one body chunk, for HTTP/2 `h2_connection_window` for what comes in,
/// `h2_max_streams` × `h2_send_buffer` for what goes out, and `h2_max_streams` × `max_header_bytes`.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at the same time, in whatever state. One costs a file descriptor and, idle, 20 KiB
    /// (24 KiB with HTTP/2, 28 KiB with TLS); each one beyond is answered 503 and closed at once.
    pub max_connections: usize,
    /// From the connection's start until its first bytes tell the protocol.
    pub first_bytes: Duration,
    /// For the TLS handshake, which costs a signature, so that few should be held open.
    pub tls_handshake: Duration,
    /// From the first byte of an HTTP/1 request's head until its end.
    pub head: Duration,
    /// How long a connection without a request is kept.
    pub idle: Duration,
    /// How long a write may wait for a client that does not read. A response that streams rarely is
    /// not affected, only one whose bytes nobody takes.
    pub write_stall: Duration,
    /// Bytes of a request's head, at least 8 KiB. Held in memory once per HTTP/1 connection and once
    /// per HTTP/2 stream, before anyone is authenticated.
    pub max_header_bytes: usize,
    /// Headers of one request; each costs about 100 bytes of table beside its text.
    pub max_headers: usize,
    /// Bytes of path and query.
    pub max_uri_bytes: usize,
    /// Bytes of a request's body where its route says nothing else by a
    /// [`BodyRule`](super::BodyRule). A handler may hold all of it in memory.
    pub max_body_bytes: u64,
    /// How long a request's body may keep its handler waiting, all in all, before `min_body_rate`
    /// counts.
    pub body_grace: Duration,
    /// Bytes a second of a body beyond the grace. A handler is held for at most
    /// `body_grace + max_body_bytes / min_body_rate`.
    pub min_body_rate: u64,
    /// Requests at the same time on one HTTP/2 connection.
    pub h2_max_streams: u32,
    /// Bytes a stream may send before its handler reads.
    pub h2_stream_window: u32,
    /// Bytes a connection may send before its handlers read: what one client can make us hold.
    pub h2_connection_window: u32,
    /// Bytes of one HTTP/2 frame, at least 16 KiB.
    pub h2_max_frame: u32,
    /// Bytes of responses that wait in memory per stream for a slow reader.
    pub h2_send_buffer: usize,
    /// Streams that the client may reset before they were looked at; one more ends the connection
    /// (rapid reset, CVE-2023-44487).
    pub h2_max_resets: usize,
    /// Streams that are reset for the client's errors before the connection is ended.
    pub h2_max_errors: usize,
    /// How often an HTTP/2 client is asked whether it is still there.
    pub h2_ping_interval: Duration,
    /// How long its answer may take.
    pub h2_ping_timeout: Duration,
    /// For the last response's bytes to reach a client that still sends, after the connection's end.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4_096,
            first_bytes: Duration::from_secs(10),
            tls_handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            write_stall: Duration::from_secs(30),
            max_header_bytes: 32 << 10,
            max_headers: 100,
            max_uri_bytes: 8 << 10,
            max_body_bytes: 2 << 20,
            body_grace: Duration::from_secs(10),
            min_body_rate: 8 << 10,
            h2_max_streams: 256,
            h2_stream_window: 256 << 10,
            h2_connection_window: 1 << 20,
            h2_max_frame: 16 << 10,
            h2_send_buffer: 256 << 10,
            h2_max_resets: 20,
            h2_max_errors: 64,
            h2_ping_interval: Duration::from_secs(20),
            h2_ping_timeout: Duration::from_secs(20),
            linger: Duration::from_secs(1),
        }
    }
}

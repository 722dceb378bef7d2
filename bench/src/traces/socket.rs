//! Spans over a socket: a process that receives OTLP, and what a span costs it.
//!
//! Requests are made before the clock starts; some connections send them, each one at a time, and send again what
//! is refused because the receiver is behind. A receiver is done when it uses no processor time any more: what it
//! does after it has answered counts as well.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tonic::{
    Code, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};

use super::{REQUEST_SPANS, generator::Generator};
use crate::{Failure, clock, http::Connection, process};

const EXPORT: PathAndQuery =
    PathAndQuery::from_static("/opentelemetry.proto.collector.trace.v1.TraceService/Export");
/// Senders at a time.
const SENDERS: usize = 8;
/// Before a request is sent again that was refused for want of room.
const BACK_OFF: Duration = Duration::from_millis(50);
/// Requests that are made at once, some 50 MB.
const AT_ONCE: usize = 256;

/// How requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Grpc,
    /// HTTP with Protocol Buffers, compressed by gzip.
    Gzip,
}

/// What a number of spans cost a receiver.
#[derive(Debug, Default)]
pub(super) struct Cost {
    pub(super) spans: usize,
    /// Processor time of its process.
    pub(super) cpu: Duration,
    /// The same by the names of its threads, in microseconds, where they can be told apart.
    pub(super) threads: BTreeMap<String, f64>,
    pub(super) wall: Duration,
    /// Resident at the most, in bytes.
    pub(super) peak: u64,
    /// Requests that were sent again.
    pub(super) refused: usize,
}

impl Cost {
    /// Microseconds of processor time a span.
    pub(super) fn each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.spans as f64
    }
}

/// A message as it is.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Sends about so many spans to this process at this address.
pub(super) fn measure(
    runtime: &tokio::runtime::Runtime,
    (pid, address): (u32, SocketAddr),
    way: Way,
    wanted: usize,
) -> Result<Cost, Failure> {
    let mut cost = Cost::default();
    let mut generator = Generator::new(11);
    let threads = by_thread(pid)?;
    let cpu = process::cpu_of(pid)?;
    while cost.spans < wanted {
        let mut requests = Vec::with_capacity(AT_ONCE);
        for _ in 0..AT_ONCE {
            let (request, count) = generator.request(REQUEST_SPANS);
            requests.push(if way == Way::Gzip { posted(&request)? } else { Bytes::from(request) });
            cost.spans += count;
        }
        let begin = clock::now();
        cost.refused += runtime.block_on(send_all(address, way, requests.into()))?;
        cost.wall += begin.elapsed();
        cost.peak = cost.peak.max(process::resident_bytes(pid)?);
    }
    cost.wall += process::quiet(pid)?;
    cost.peak = cost.peak.max(process::resident_bytes(pid)?);
    cost.cpu = process::cpu_of(pid)?.saturating_sub(cpu);
    let after = by_thread(pid)?;
    let used =
        |(name, time): (String, f64)| (name.clone(), time - threads.get(&name).copied().unwrap_or(0.0));
    cost.threads = after.into_iter().map(used).collect();
    Ok(cost)
}

/// A request over HTTP/1.1, compressed.
fn posted(message: &[u8]) -> Result<Bytes, Failure> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    std::io::Write::write_all(&mut encoder, message)?;
    let body = encoder.finish()?;
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\n\
         content-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Ok([head.as_bytes(), &body].concat().into())
}

/// How many were refused on the way.
async fn send_all(address: SocketAddr, way: Way, requests: Arc<[Bytes]>) -> Result<usize, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..SENDERS {
        let (next, requests) = (Arc::clone(&next), Arc::clone(&requests));
        tasks.push(tokio::spawn(async move {
            match way {
                Way::Grpc => {
                    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
                    export(endpoint.connect().await?, &next, &requests).await
                }
                Way::Gzip => post(Connection::open(address).await?, &next, &requests).await,
            }
        }));
    }
    let mut refused = 0;
    for task in tasks {
        refused += task.await??;
    }
    Ok(refused)
}

async fn export(channel: Channel, next: &AtomicUsize, requests: &[Bytes]) -> Result<usize, Failure> {
    let mut client = Grpc::new(channel);
    let mut refused = 0;
    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        loop {
            client.ready().await?;
            match client.unary(tonic::Request::new(request.clone()), EXPORT, Raw).await {
                Ok(_) => break,
                Err(status) if matches!(status.code(), Code::ResourceExhausted | Code::Unavailable) => {
                    refused += 1;
                    tokio::time::sleep(BACK_OFF).await;
                }
                Err(status) => return Err(status.into()),
            }
        }
    }
    Ok(refused)
}

async fn post(mut connection: Connection, next: &AtomicUsize, requests: &[Bytes]) -> Result<usize, Failure> {
    let mut refused = 0;
    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        while let Err(error) = connection.ask(request).await.map(drop) {
            if !["429", "503"].iter().any(|status| error.to_string().contains(&format!("answered {status}")))
            {
                return Err(error);
            }
            refused += 1;
            tokio::time::sleep(BACK_OFF).await;
        }
    }
    Ok(refused)
}

/// Processor time of a process by the names of its threads, in microseconds. That of threads which have ended is
/// not in it.
pub(super) fn by_thread(pid: u32) -> Result<BTreeMap<String, f64>, Failure> {
    let mut times = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path();
        // A thread may end while it is looked at.
        let Ok(name) = fs::read_to_string(path.join("comm")) else { continue };
        let Ok(stat) = fs::read_to_string(path.join("schedstat")) else { continue };
        let nanos: f64 = stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0.0);
        *times.entry(name.trim().to_owned()).or_insert(0.0) += nanos / 1_000.0;
    }
    Ok(times)
}

//! Debian's etcd server on loopback with its default durability, by puts over gRPC.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::cores::Cores;
use crate::round::Round;
use crate::{Failure, clock, process};

/// What to say where it is not installed.
pub(crate) const MISSING: &str = "etcd is not installed; `apt-get install etcd-server` brings it";

/// Writers that share a connection.
const WRITERS_A_CONNECTION: usize = 8;
/// What its log says when it serves, depending on its version.
const READY: [&str; 2] = ["serving client traffic", "ready to serve client requests"];
/// How long it may take to start.
const START: Duration = Duration::from_secs(30);
const PUT: PathAndQuery = PathAndQuery::from_static("/etcdserverpb.KV/Put");

/// The fields of etcd's PutRequest that we use.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// Of etcd's PutResponse we only need that it came.
#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

/// The value that a writer puts as its nth.
pub(crate) type Value = fn(usize, u64) -> Vec<u8>;

/// A server that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Etcd {
    child: Child,
    version: String,
    address: String,
    runtime: tokio::runtime::Runtime,
}

impl Etcd {
    /// Starts the server, in the servers' place where there is one, and waits until it serves; `None`
    /// where it is not installed.
    pub(crate) fn start(folder: &Path, cores: Option<&Cores>) -> Result<Option<Etcd>, Failure> {
        let Ok(version) = Command::new("etcd").arg("--version").output() else { return Ok(None) };
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        let version =
            version.lines().next().and_then(|line| line.rsplit_once(' ')).map_or("unknown", |(_, it)| it);
        // etcd cannot be asked for any free port, so two are found for it.
        let (client, peer) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let address = format!("http://{}", client.local_addr()?);
        let peers = format!("http://{}", peer.local_addr()?);
        drop((client, peer));
        let mut command = Command::new("etcd");
        command
            .args(["--name", "bench", "--initial-cluster", &format!("bench={peers}")])
            .args(["--listen-client-urls", &address, "--advertise-client-urls", &address])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .args(["--logger", "zap", "--quota-backend-bytes", "8589934592", "--data-dir"])
            .arg(folder.join("etcd"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = match cores {
            Some(cores) => cores.on_servers(|| command.spawn())??,
            None => command.spawn()?,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let mut etcd = Etcd { child, version: version.to_owned(), address, runtime };
        etcd.await_ready()?;
        Ok(Some(etcd))
    }

    fn await_ready(&mut self) -> Result<(), Failure> {
        let log = self.child.stderr.take().ok_or("etcd has no log")?;
        let (ready, is_ready) = mpsc::channel();
        // The whole log is read, or the server would block on it.
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if READY.iter().any(|message| line.contains(message)) {
                    // Nobody listens any longer after the first one.
                    let _ = ready.send(());
                }
            }
        });
        is_ready
            .recv_timeout(START)
            .map_err(|_| format!("etcd did not serve within {} s", START.as_secs()).into())
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Writers that put `value` under a new key, wait for the answer, and put the next.
    pub(crate) fn measure(&self, writers: usize, time: Duration, value: Value) -> Result<Round, Failure> {
        let endpoint = Endpoint::from_shared(self.address.clone())?;
        let channels: Vec<Channel> = self.runtime.block_on(async {
            let mut channels = Vec::new();
            for _ in 0..writers.div_ceil(WRITERS_A_CONNECTION) {
                channels.push(endpoint.connect().await?);
            }
            Ok::<_, tonic::transport::Error>(channels)
        })?;
        let (server, own, begin) = (process::cpu_of(self.child.id())?, process::own_cpu(), clock::now());
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let channel = channels[writer / WRITERS_A_CONNECTION].clone();
                self.runtime.spawn(put(channel, writer, value, begin, time))
            })
            .collect();
        let mut round = Round::default();
        for task in tasks {
            round.latencies.extend(self.runtime.block_on(task)??);
        }
        round.wall = begin.elapsed();
        round.cpu = process::cpu_of(self.child.id())? - server;
        round.load_cpu = Some(process::own_cpu() - own);
        Ok(round)
    }
}

async fn put(
    channel: Channel,
    writer: usize,
    value: Value,
    begin: Instant,
    time: Duration,
) -> Result<Vec<Duration>, tonic::Status> {
    let mut client = Grpc::new(channel);
    let mut latencies = Vec::new();
    while begin.elapsed() < time {
        let sequence = latencies.len();
        let key = format!("bench/{writer}/{sequence}").into_bytes();
        let request = PutRequest { key, value: value(writer, sequence as u64) };
        let start = clock::now();
        client.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
        let codec: ProstCodec<PutRequest, PutResponse> = ProstCodec::default();
        client.unary(tonic::Request::new(request), PUT, codec).await?;
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It is gone already, or goes now; its data is thrown away with the folder.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

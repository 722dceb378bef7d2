//! Requests that were changed at random, sent through this proxy, nginx and HAProxy: what reaches an endpoint
//! through us reaches it through one of the others as well, in the same order and with the same bodies. Where
//! we refuse more, nothing is smuggled.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use futures_util::future::join_all;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{changed::changed, world::*};

/// How many messages are sent at once, each by a lane of its own.
const LANES: usize = 24;
/// How many are sent by each.
const TURNS: u64 = 20;
/// How long a proxy waits for the rest of a message.
const PATIENCE: Duration = Duration::from_millis(150);

/// A request as it reached an endpoint: method, path, body.
type Reached = (String, String, Vec<u8>);

/// An endpoint that remembers what reached it.
struct Memory {
    address: SocketAddr,
    reached: Arc<Mutex<Vec<Reached>>>,
}

impl Memory {
    async fn new() -> Self {
        let reached: Arc<Mutex<Vec<Reached>>> = Arc::default();
        let store = reached.clone();
        let backend = Backend::new(move |request| {
            let store = store.clone();
            async move {
                let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
                if let Ok(body) = request.into_body().collect().await {
                    let mut reached = store.lock().unwrap_or_else(PoisonError::into_inner);
                    reached.push((method, path, body.to_bytes().to_vec()));
                }
                reply(200, "")
            }
        })
        .await;
        Self { address: backend.address, reached }
    }

    /// What reached it of this case. A changed host may be that of another lane.
    fn take(&self, seed: u64) -> Vec<Reached> {
        let all = std::mem::take(&mut *self.reached.lock().unwrap_or_else(PoisonError::into_inner));
        let case = |path: &str| path.rsplit_once('-').and_then(|(_, case)| case.parse().ok());
        all.into_iter().filter(|(_, path, _)| case(path).is_none_or(|case: u64| case == seed)).collect()
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, arguments: &[&str]) -> Option<Running> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().ok().map(Running)
}

/// As many ports that nobody listens on.
fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

async fn reachable(port: u16) {
    let connected = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::task::yield_now().await
        }
    };
    soon("a proxy that listens", connected).await;
}

/// nginx, with a port for each of these endpoints.
async fn nginx(folder: &std::path::Path, endpoints: &[Memory]) -> Option<(Running, Vec<u16>)> {
    let (ports, folder) = (free_ports(endpoints.len()), folder.display());
    let patience = PATIENCE.as_millis();
    let server = |(port, memory): (&u16, &Memory)| {
        format!(
            "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{}; }} }}",
            memory.address
        )
    };
    let servers: String = ports.iter().zip(endpoints).map(server).collect();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {folder}/{name};"))
        .collect();
    let text = format!(
        "master_process off; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; events {{}} \
         http {{ access_log off; {paths} proxy_http_version 1.1; proxy_set_header Connection \"\"; \
         client_header_timeout {patience}ms; client_body_timeout {patience}ms; keepalive_timeout {patience}ms; {servers} }}"
    );
    let file = format!("{folder}/nginx.conf");
    std::fs::write(&file, text).unwrap();
    let running = start("nginx", &["-c", &file])?;
    reachable(ports[0]).await;
    Some((running, ports))
}

/// HAProxy, likewise.
async fn haproxy(folder: &std::path::Path, endpoints: &[Memory]) -> Option<(Running, Vec<u16>)> {
    let (ports, patience) = (free_ports(endpoints.len()), PATIENCE.as_millis());
    let section = |(port, memory): (&u16, &Memory)| {
        format!("listen lane{port}\n  bind 127.0.0.1:{port}\n  server one {}\n", memory.address)
    };
    let sections: String = ports.iter().zip(endpoints).map(section).collect();
    let text = format!(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout server 5s\n  timeout client {patience}ms\n  \
         timeout http-request {patience}ms\n  timeout http-keep-alive {patience}ms\n{sections}"
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let running = start("haproxy", &["-db", "-f", &file.display().to_string()])?;
    reachable(ports[0]).await;
    Some((running, ports))
}

/// The message for the service of its lane, with the case's number in its paths.
fn addressed(bytes: &[u8], lane: usize, seed: u64) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(bytes) else { return bytes.to_vec() };
    let text = text.replace("cart", &format!("lane{lane}"));
    ["/a", "/b", "/smuggled"]
        .iter()
        .fold(text, |text, path| text.replace(path, &format!("{path}-{seed}")))
        .into_bytes()
}

/// Whether all of these are among those, in the same order. What we answer ourselves, such as a request without
/// `Host`, is missing, and what follows it is not.
fn is_within(these: &[Reached], those: &[Reached]) -> bool {
    let mut those = those.iter();
    these.iter().all(|one| those.any(|other| other == one))
}

/// Sends these bytes, and waits for the end of the connection.
async fn send(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Whoever has refused the beginning may not take the rest.
    let _ = stream.write_all(bytes).await;
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut Vec::new())).await;
}

#[tokio::test]
async fn what_reaches_an_endpoint_reaches_it_through_nginx_or_haproxy_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut lanes: [Vec<Memory>; 3] = Default::default();
    for lane in &mut lanes {
        lane.extend(join_all((0..LANES).map(|_| Memory::new())).await);
    }
    let [ours, by_nginx, by_haproxy] = lanes;
    let (Some((_nginx, nginx)), Some((_haproxy, haproxy))) =
        (nginx(folder.path(), &by_nginx).await, haproxy(folder.path(), &by_haproxy).await)
    else {
        println!("skipped: a comparison with nginx and HAProxy because one of them is not here");
        return;
    };
    let world = World::with(|settings| {
        settings.limits.head_timeout = PATIENCE;
        settings.limits.client_idle = PATIENCE;
        settings.policy = policy(|parts| parts.timeouts.idle = PATIENCE);
    })
    .await;
    for (number, memory) in ours.iter().enumerate() {
        world.up(&format!("lane{number}"), &[memory.address]).await;
    }
    let seeds =
        std::env::var("BELLWETHER_FUZZ_TURNS").ok().and_then(|turns| turns.parse().ok()).unwrap_or(TURNS);
    let lane = |number: usize| {
        let world = &world;
        let (ours, by_nginx, by_haproxy) = (&ours[number], &by_nginx[number], &by_haproxy[number]);
        let (nginx, haproxy) = (nginx[number], haproxy[number]);
        async move {
            let (mut reached, mut alike) = (0, 0);
            for turn in 0..seeds {
                let seed = turn * LANES as u64 + number as u64;
                let bytes = changed(&mut Rng::with_seed(seed));
                let bytes = addressed(&bytes, number, seed);
                let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
                let sends =
                    [world.address(), local(nginx), local(haproxy)].map(|address| send(address, &bytes));
                join_all(sends).await;
                let [ours, nginx, haproxy] = [ours, by_nginx, by_haproxy].map(|memory| memory.take(seed));
                assert!(
                    is_within(&ours, &nginx) || is_within(&ours, &haproxy),
                    "case {seed}: {}\nhere {ours:?}\nnginx {nginx:?}\nHAProxy {haproxy:?}",
                    bytes.escape_ascii()
                );
                reached += ours.len();
                alike += usize::from(ours == nginx || ours == haproxy);
            }
            (reached, alike)
        }
    };
    let counts = join_all((0..LANES).map(lane)).await;
    let (reached, alike) = counts.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let all = LANES * seeds as usize;
    assert!(reached > all / 4 && alike > all / 2, "{reached} reached an endpoint, {alike} of {all} alike");
}

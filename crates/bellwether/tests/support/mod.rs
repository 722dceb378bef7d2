//! What tests of the binary share: its process, calls over HTTP, a service to call, waiting.

#![allow(dead_code, reason = "each test uses another part")]

pub(crate) mod connection;
pub(crate) mod events;
pub(crate) mod relay;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value as Json;

/// How long a condition may take to come true on a machine that has much to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The binary, in an environment of its own: no variables, no configuration and no home of whoever runs the test.
pub(crate) fn bellwether(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    command.args(args).env_clear().current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    finish(&mut bellwether(args))
}

/// Runs a command to its end, which has to come.
pub(crate) fn finish(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    receiver.recv_timeout(PATIENCE).map(Result::unwrap).unwrap_or_else(|_| {
        kill(id);
        panic!("{command:?} should have ended");
    })
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Waits until something is there, and tells what was missing when it does not come.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where tests wait, for a condition and with a bound"
)]
pub(crate) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let pause = Duration::from_millis(20);
    for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
        if let Some(found) = found() {
            return found;
        }
        std::thread::sleep(pause);
    }
    panic!("waited in vain until {what}");
}

/// A running `bellwether`, which ends with the test.
pub(crate) struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
    /// What it said when it was ready.
    pub(crate) banner: Json,
}

impl Process {
    /// Starts a command that stays, and waits until it has said where it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(bellwether(args))
    }

    pub(crate) fn start_with(mut command: Command) -> Self {
        command.args(["-o", "json", "--log-level", "warn"]);
        // Services count who calls them, and tests count along.
        command.env("BELLWETHER_SCRAPE", "off");
        Self::spawn(command)
    }

    /// Starts it as it is.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let banner = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no banner but {line:?}"));
        Self { child, output, banner }
    }

    /// The next line that it says, a document. The test's own runner bounds how long that may take.
    pub(crate) fn line(&mut self) -> Json {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no document but {line:?}"))
    }

    pub(crate) fn address(&self, key: &str) -> SocketAddr {
        self.banner[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", self.banner)).parse().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and gives its exit code and all that it wrote after its banner.
    pub(crate) fn terminate(mut self) -> (Option<i32>, String) {
        kill_process(pid(self.child.id()), Signal::TERM).unwrap();
        self.ended()
    }

    /// Waits until it ends.
    pub(crate) fn ended(&mut self) -> (Option<i32>, String) {
        let status = until("the process has ended", || self.child.try_wait().unwrap());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (status.code(), rest)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid(self.child.id()), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.try_into().unwrap()).unwrap()
}

/// Ends a process of ours that did not end by itself.
pub(crate) fn kill(id: u32) {
    let _ = kill_process(pid(id), Signal::KILL);
}

/// Whether there is such a process.
pub(crate) fn is_alive(id: u32) -> bool {
    // One that has ended and was not waited for yet is still in the table, as a zombie.
    let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let zombie = state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
    test_kill_process(pid(id)).is_ok() && !zombie
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

/// One request, on a connection of its own.
pub(crate) fn request(to: SocketAddr, head: &str, body: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let host = if head.to_ascii_lowercase().contains("\r\nhost:") {
        String::new()
    } else {
        format!("host: {to}\r\n")
    };
    let length = body.len();
    write!(stream, "{head}\r\n{host}connection: close\r\ncontent-length: {length}\r\n\r\n{body}")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    Ok(Answer { status: status.ok_or(std::io::ErrorKind::InvalidData)?, body })
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    whole
}

/// Reads a document of the API.
pub(crate) fn get(to: SocketAddr, path: &str) -> Json {
    let answer = request(to, &format!("GET {path} HTTP/1.1"), "").unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

/// Registers an instance of a service at this address, for as long as nobody removes it.
pub(crate) fn register(control: SocketAddr, service: &str, id: &str, at: SocketAddr) -> Json {
    let path = format!("/bellwether/v1/namespaces/default/services/{service}/instances/{id}");
    let body = serde_json::json!({ "address": at.ip().to_string(), "port": at.port() }).to_string();
    let answer =
        request(control, &format!("PUT {path} HTTP/1.1\r\ncontent-type: application/json"), &body).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()
}

/// Waits until a connected proxy routes by this revision.
pub(crate) fn until_routed(control: SocketAddr, revision: u64) {
    until("a proxy has acknowledged the registration", || {
        let proxies = get(control, "/bellwether/v1/proxies");
        let routed =
            |proxy: &Json| proxy["connected"] == true && proxy["revision"].as_u64() >= Some(revision);
        proxies["proxies"].as_array()?.iter().any(routed).then_some(())
    });
}

/// A service that greets, and remembers the trace headers that it was called with.
pub(crate) struct Greeter {
    pub(crate) address: SocketAddr,
    pub(crate) traceparents: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Greeter {
    pub(crate) fn start() -> Self {
        Self::answering("200 OK")
    }

    /// One that answers with this status.
    pub(crate) fn answering(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (traceparents, stop) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(AtomicBool::new(false)));
        let (seen, ended) = (traceparents.clone(), stop.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let seen = seen.clone();
                std::thread::spawn(move || greet(&stream, &seen, status));
            }
        });
        Self { address, traceparents, stop }
    }
}

impl Drop for Greeter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers the requests of a connection, one after the other.
fn greet(stream: &TcpStream, seen: &Mutex<Vec<String>>, status: &str) {
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(_request)) = lines.next() {
        for line in lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()) {
            if let Some(("traceparent", value)) = line.to_ascii_lowercase().split_once(": ") {
                seen.lock().unwrap().push(value.to_owned());
            }
        }
        let mut stream = stream;
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 5\r\n\r\nhello");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The path of a folder as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Another process, which ends with the test.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

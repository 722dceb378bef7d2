//! A gateway that is replaced by another process while thousands of calls go through it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use rustix::process::Signal;
use support::{
    Greeter, PATIENCE, Process, bellwether, connection::Head, finish, get, register, request, stderr, text,
    until, until_routed,
};

const FREE: &str = "127.0.0.1:0";

struct World {
    folder: tempfile::TempDir,
    server: Process,
    _service: Greeter,
}

impl World {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("server");
        let server = Process::start(&["server", "--data", text(&data), "--listen", FREE]);
        let service = Greeter::start();
        register(server.address("listen"), "hello", "hello-1", service.address);
        Self { folder, server, _service: service }
    }

    fn control(&self) -> SocketAddr {
        self.server.address("listen")
    }

    fn url(&self) -> String {
        format!("http://{}", self.control())
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("gateway")
    }

    fn gateway(&self, listen: &str) -> Process {
        let (url, data) = (self.url(), self.data());
        let process =
            Process::start(&["gateway", "--control", &url, "--data", text(&data), "--listen", listen]);
        let revision =
            get(self.control(), "/bellwether/v1/namespaces/default/services/hello")["revision"].clone();
        until_routed(self.control(), revision.as_u64().unwrap());
        process
    }
}

/// Clients that ask one thing after the other on connections that they keep, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Result<(), String>>>,
}

impl Load {
    fn start(gateway: SocketAddr, clients: usize) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let client = |_| {
            let (stop, answered) = (stop.clone(), answered.clone());
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    session(gateway, &stop, &answered).map_err(|error| error.to_string())?;
                }
                Ok(())
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { stop, answered, clients }
    }

    /// Waits until so many calls more have been answered.
    fn more(&self, calls: u64) {
        let enough = self.answered.load(Relaxed) + calls;
        until("more calls are answered", || {
            let ended = self.clients.iter().any(JoinHandle::is_finished);
            (ended || self.answered.load(Relaxed) >= enough).then_some(())
        });
    }

    fn finish(self) -> u64 {
        self.stop.store(true, Relaxed);
        for client in self.clients {
            client.join().unwrap().expect("no call may fail");
        }
        self.answered.load(Relaxed)
    }
}

/// One connection, until an answer says that it ends.
fn session(gateway: SocketAddr, stop: &AtomicBool, answered: &AtomicU64) -> std::io::Result<()> {
    let mut stream = BufReader::new(support::connection::open(gateway)?);
    while !stop.load(Relaxed) {
        stream.get_mut().write_all(b"GET / HTTP/1.1\r\nhost: hello\r\n\r\n")?;
        let head = Head::read(&mut stream)?;
        let mut body = vec![0; head.length];
        stream.read_exact(&mut body)?;
        if head.status != 200 || body != b"hello" {
            return Err(std::io::Error::other(format!("{} {body:?}", head.status)));
        }
        answered.fetch_add(1, Relaxed);
        if head.closes {
            return Ok(());
        }
    }
    Ok(())
}

#[test]
fn three_processes_take_over_under_load_and_no_call_fails() {
    let world = World::start();
    let mut gateway = world.gateway(FREE);
    let address = gateway.address("gateway");
    let load = Load::start(address, 16);
    for number in 1..=3 {
        load.more(1_000);
        // Once by any port, else by the very address.
        let listen = if number == 1 { FREE.to_owned() } else { address.to_string() };
        let next = world.gateway(&listen);
        assert_eq!(next.address("gateway"), address);
        assert_eq!(next.banner["proxy"], gateway.banner["proxy"], "it is the same gateway");
        load.more(1_000);
        assert_eq!(gateway.ended().0, Some(0));
        gateway = next;
    }
    load.more(1_000);
    assert!(load.finish() > 6_000);
    let proxies = get(world.control(), "/bellwether/v1/proxies");
    assert_eq!(proxies["proxies"].as_array().unwrap().len(), 1, "{proxies}");
    assert_eq!(proxies["proxies"][0]["connected"], true);
    assert_eq!(gateway.terminate().0, Some(0));
    assert!(!world.data().join("proxy/takeover").exists(), "nobody is waited for any more");
}

/// Says something to the process that owns the folder, and reads one line.
fn say(data: &Path, words: &[&str]) -> Vec<String> {
    let mut stream = UnixStream::connect(data.join("proxy/takeover")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answers = Vec::new();
    for word in words {
        writeln!(stream, "{word}").unwrap();
        let mut answer = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut answer).unwrap();
        answers.push(answer.trim().to_owned());
    }
    answers
}

#[test]
fn a_successor_that_fails_at_any_step_has_changed_nothing() {
    let world = World::start();
    let data = world.data();
    let gateway = world.gateway(FREE);
    let address = gateway.address("gateway");
    let call = || request(address, "GET / HTTP/1.1\r\nhost: hello", "").unwrap().status;
    assert_eq!(say(&data, &["takeover 7"]), [""], "another language");
    assert!(say(&data, &["takeover 1"])[0].contains(&format!("\"listen\":\"{address}\"")));
    let said = say(&data, &["takeover 1", "ready"]);
    assert_eq!(said[1], "released");
    // It went away without a word: the folder belongs to the first one again, who says so in the lock.
    let owner = || fs::read_to_string(data.join("LOCK")).unwrap_or_default();
    until("the folder is its own again", || {
        (owner().trim() == gateway.pid().to_string() && is_locked(&data)).then_some(())
    });
    assert_eq!(call(), 200);

    // One that cannot listen where it is told to.
    let mut blocked = bellwether(&["gateway", "--control", &world.url(), "--data", text(&data)]);
    let taken = world.control().to_string();
    let failed = finish(blocked.args(["--listen", &taken]));
    assert_ne!(failed.status.code(), Some(0), "{}", stderr(&failed));
    assert_eq!(call(), 200);

    // One that was killed leaves its socket behind, which stops nobody.
    gateway.signal(Signal::KILL);
    drop(gateway);
    let again = world.gateway(FREE);
    assert_eq!(again.terminate().0, Some(0));
}

/// Whether some process has the folder's lock.
fn is_locked(data: &Path) -> bool {
    let lock = fs::File::options().write(true).open(data.join("LOCK")).unwrap();
    matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock))
}

#[test]
fn a_successor_takes_over_by_the_last_table_while_the_control_plane_is_down() {
    let World { folder, server, _service } = World::start();
    let url = format!("http://{}", server.address("listen"));
    let data = folder.path().join("gateway");
    let arguments = ["gateway", "--control", &url, "--data", text(&data), "--listen", FREE];
    let mut gateway = Process::start(&arguments);
    let address = gateway.address("gateway");
    let call = || request(address, "GET / HTTP/1.1\r\nhost: hello", "").unwrap().status;
    until("it routes", || (call() == 200).then_some(()));
    until("the table is written", || data.join("proxy/snapshot").exists().then_some(()));
    server.signal(Signal::KILL);
    let next = Process::start(&arguments);
    assert_eq!(next.address("gateway"), address);
    assert_eq!(gateway.ended().0, Some(0));
    until("it routes by the last table", || (call() == 200).then_some(()));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: hello\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

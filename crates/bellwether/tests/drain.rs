//! Draining an instance through a real gateway on a network that fails: a receipt that says `safe` is true.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use rustix::process::Signal;
use serde_json::Value as Json;
use support::{
    Answer, Greeter, Process,
    connection::Connection,
    events::Events,
    register,
    relay::{Path, Relay},
    request, text, until, until_routed,
};

const FREE: &str = "127.0.0.1:0";
const INSTANCE: &str = "/bellwether/v1/namespaces/default/services/orders/instances/orders-1";

/// An instance that keeps its callers waiting while it is told to.
struct Instance {
    address: SocketAddr,
    shared: Arc<Held>,
}

#[derive(Default)]
struct Held {
    holds: Mutex<bool>,
    changed: Condvar,
    in_flight: AtomicUsize,
    calls: AtomicUsize,
    over: AtomicBool,
}

impl Instance {
    fn start() -> Self {
        let listener = TcpListener::bind(FREE).unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Held>::default());
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = serving.clone();
                if shared.over.load(Ordering::SeqCst) {
                    return;
                }
                thread::spawn(move || shared.serve(&stream));
            }
        });
        Self { address, shared }
    }

    /// From now on, or no longer.
    fn hold(&self, holds: bool) {
        *self.shared.holds.lock().unwrap() = holds;
        self.shared.changed.notify_all();
    }

    /// Calls that came and were not answered.
    fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// Calls that ever came.
    fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.hold(false);
        let _ = TcpStream::connect(self.address);
    }
}

impl Held {
    fn serve(&self, stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines();
        while let Some(Ok(_request)) = lines.next() {
            lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            self.calls.fetch_add(1, Ordering::SeqCst);
            self.in_flight.fetch_add(1, Ordering::SeqCst);
            drop(self.changed.wait_while(self.holds.lock().unwrap(), |holds| *holds).unwrap());
            // Before the answer, because whoever has it may say so before this thread runs again.
            self.in_flight.fetch_sub(1, Ordering::SeqCst);
            let mut stream = stream;
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").is_err() {
                return;
            }
        }
    }
}

/// A control plane, a gateway that reaches it by a relay, and a service of two instances.
struct World {
    folder: tempfile::TempDir,
    server: Option<Process>,
    relay: Relay,
    gateway: Process,
    /// The one that is drained.
    instance: Instance,
    _other: Greeter,
    calls: Vec<thread::JoinHandle<std::io::Result<Answer>>>,
}

impl World {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = serve(&folder);
        let control = server.address("listen");
        let relay = Relay::start(control);
        let (data, by) = (folder.path().join("gateway"), format!("http://{}", relay.address));
        let gateway = Process::start(&["gateway", "--control", &by, "--listen", FREE, "--data", text(&data)]);
        let (instance, other) = (Instance::start(), Greeter::start());
        register(control, "orders", "orders-1", instance.address);
        let registered = register(control, "orders", "orders-2", other.address);
        until_routed(control, registered["revision"].as_u64().unwrap());
        Self { folder, server: Some(server), relay, gateway, instance, _other: other, calls: Vec::new() }
    }

    fn control(&self) -> SocketAddr {
        self.server.as_ref().unwrap().address("listen")
    }

    /// `kill -9`, and a start after that.
    fn restart(&mut self) {
        self.server.take().unwrap().kill();
        self.server = Some(serve(&self.folder));
        self.relay.lead_to(self.control());
    }

    /// Calls the service, whichever instance answers.
    fn call(&self) {
        let answer = request(self.gateway.address("gateway"), "GET / HTTP/1.1\r\nHost: orders", "").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// Calls until one call waits at the instance.
    fn hold_a_call(&mut self) {
        self.instance.hold(true);
        let gateway = self.gateway.address("gateway");
        until("a call is at the instance", || {
            let begun = self.instance.calls();
            let call = thread::spawn(move || request(gateway, "GET / HTTP/1.1\r\nHost: orders", ""));
            until("it is answered or held", || {
                (call.is_finished() || self.instance.calls() > begun).then_some(())
            });
            self.calls.push(call);
            (self.instance.in_flight() > 0).then_some(())
        });
    }

    /// Lets the held calls end, which all end well.
    fn finish_the_calls(&mut self) {
        self.instance.hold(false);
        for call in self.calls.drain(..) {
            assert_eq!(call.join().unwrap().unwrap().status, 200);
        }
    }

    /// Asks to drain, and waits for the receipt.
    fn drain(&self, timeout: &str) -> Json {
        let (path, body) = (format!("{INSTANCE}/drain"), format!(r#"{{"timeout":"{timeout}"}}"#));
        let answer = Connection::new(self.control()).ask("POST", &path, None, &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// Asks to drain, and follows how it goes.
    fn follow_a_drain(&self, timeout: &str) -> Events {
        let body = format!(r#"{{"timeout":"{timeout}"}}"#);
        Events::ask(self.control(), &format!("POST {INSTANCE}/drain"), &body).unwrap()
    }

    /// What a receipt says of the gateway.
    fn gateway_in<'a>(&self, receipt: &'a Json) -> &'a Json {
        let id = &self.gateway.banner["proxy"];
        let mut subscribers = receipt["subscribers"].as_array().unwrap().iter();
        subscribers.find(|one| one["subscriber"] == *id).unwrap_or_else(|| panic!("no {id} in {receipt}"))
    }

    /// A receipt that must not say `safe`, since the gateway may send calls.
    fn is_not_safe(&self, receipt: &Json) {
        assert_eq!(receipt["safe"], false, "{receipt}");
        assert!(receipt["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{receipt}");
        let gateway = self.gateway_in(receipt);
        assert_eq!(gateway["kind"], "proxy", "{receipt}");
        assert_ne!(gateway["state"], "quiesced", "{receipt}");
    }

    /// A receipt that must say `safe`, and is right: nothing is at the instance, and nothing comes.
    fn is_safe(&self, receipt: &Json) {
        assert_eq!(receipt["safe"], true, "{receipt}");
        assert_eq!(self.gateway_in(receipt)["state"], "quiesced", "{receipt}");
        assert_eq!(self.instance.in_flight(), 0, "{receipt}");
        let before = self.instance.calls();
        (0..CALLS).for_each(|_| self.call());
        assert_eq!(self.instance.calls(), before, "calls came after {receipt}");
    }

    /// The gateway knows of no drain and sends calls to the instance: `safe` would be a lie.
    fn sends_calls(&self) {
        let before = self.instance.calls();
        until("a call comes to the instance", || {
            self.call();
            (self.instance.calls() > before).then_some(())
        });
    }

    /// Drains while a call is held, sees that it is waited for, and gets a receipt once it has ended.
    fn drains_at_last(&mut self) {
        let mut events = self.follow_a_drain(LONG);
        loop {
            let event = events.next().unwrap();
            assert_eq!(event.name, "progress", "a call is at the instance: {event:?}");
            let gateway = self.gateway_in(&event.data);
            assert_ne!(gateway["state"], "quiesced", "a call is at the instance: {event:?}");
            if gateway["state"] == "acked" && gateway["in_flight"] == 1 {
                break;
            }
        }
        self.finish_the_calls();
        let receipt = loop {
            let event = events.next().unwrap();
            if event.name == "receipt" {
                break event.data;
            }
        };
        self.is_safe(&receipt);
        assert!(events.next().is_err(), "the receipt is the last");
    }
}

fn serve(folder: &tempfile::TempDir) -> Process {
    let data = folder.path().join("data");
    Process::start(&["server", "--data", text(&data), "--listen", FREE])
}

/// Long enough for a report, which comes every second.
const SHORT: &str = "3s";
/// Longer than a gateway needs to come back.
const LONG: &str = "25s";
/// Enough that each of two instances would be called.
const CALLS: usize = 20;

#[test]
fn a_drain_waits_for_the_call_in_flight_and_none_comes_after_its_receipt() {
    let mut world = World::start();
    world.hold_a_call();
    world.drains_at_last();
    // Asked again, it says the same at once.
    world.is_safe(&world.drain(LONG));
}

#[test]
fn a_drain_of_an_idle_instance_is_safe_at_once() {
    let world = World::start();
    world.sends_calls();
    world.is_safe(&world.drain(LONG));
}

#[test]
fn a_drain_whose_time_is_over_is_not_safe_and_goes_on() {
    let mut world = World::start();
    world.hold_a_call();
    let receipt = world.drain(SHORT);
    world.is_not_safe(&receipt);
    assert_eq!(world.gateway_in(&receipt)["in_flight"], 1, "{receipt}");
    world.finish_the_calls();
    let again = world.drain(LONG);
    world.is_safe(&again);
    assert_eq!(again["revision"], receipt["revision"], "it is the same drain");
}

/// A gateway that does not hear of a drain.
fn check_partition_before_the_drain(path: Path) {
    let mut world = World::start();
    world.relay.set(path);
    world.is_not_safe(&world.drain(SHORT));
    world.sends_calls();
    // What the gateway said before it was cut off may arrive now, and is out of date.
    world.hold_a_call();
    world.relay.set(Path::Open);
    world.drains_at_last();
}

#[test]
fn a_gateway_in_a_black_hole_is_not_quiesced_until_it_is_heard_again() {
    check_partition_before_the_drain(Path::Stalled);
}

#[test]
fn a_gateway_that_is_cut_off_is_not_quiesced_until_it_is_heard_again() {
    check_partition_before_the_drain(Path::Cut);
}

/// A gateway that has heard of the drain, and cannot say that its last call has ended.
fn check_partition_during_the_drain(path: Path) {
    let mut world = World::start();
    world.hold_a_call();
    world.is_not_safe(&world.drain(SHORT));
    world.relay.set(path);
    world.finish_the_calls();
    world.is_not_safe(&world.drain(SHORT));
    world.relay.set(Path::Open);
    world.is_safe(&world.drain(LONG));
}

#[test]
fn a_call_that_ended_in_a_black_hole_is_waited_for_until_that_was_told() {
    check_partition_during_the_drain(Path::Stalled);
}

#[test]
fn a_call_that_ended_while_its_gateway_was_cut_off_is_waited_for_until_that_was_told() {
    check_partition_during_the_drain(Path::Cut);
}

/// A server that was not there when the gateway was heard last.
fn check_restart_while_partitioned(path: Path) {
    let mut world = World::start();
    world.relay.set(path);
    world.hold_a_call();
    world.restart();
    let receipt = world.drain(SHORT);
    world.is_not_safe(&receipt);
    assert_eq!(world.gateway_in(&receipt)["state"], "unreachable", "{receipt}");
    // Also the drain outlives the server.
    world.restart();
    let again = world.drain(SHORT);
    world.is_not_safe(&again);
    assert_eq!(again["revision"], receipt["revision"], "it is the same drain");
    world.relay.set(Path::Open);
    world.drains_at_last();
}

#[test]
fn a_gateway_in_a_black_hole_counts_after_the_control_plane_was_killed() {
    check_restart_while_partitioned(Path::Stalled);
}

#[test]
fn a_gateway_that_is_cut_off_counts_after_the_control_plane_was_killed() {
    check_restart_while_partitioned(Path::Cut);
}

#[test]
fn a_restarted_control_plane_waits_until_it_has_heard_of_the_calls_in_flight() {
    let mut world = World::start();
    world.hold_a_call();
    world.restart();
    world.drains_at_last();
}

#[test]
fn a_gateway_that_said_goodbye_is_not_waited_for_after_the_control_plane_was_killed() {
    let mut world = World::start();
    world.gateway.signal(Signal::TERM);
    assert_eq!(world.gateway.ended().0, Some(0));
    world.restart();
    let drain = format!("POST {INSTANCE}/drain HTTP/1.1");
    let receipt = request(world.control(), &drain, r#"{"timeout":"0"}"#).unwrap().json();
    assert_eq!(
        (&receipt["safe"], &receipt["subscribers"]),
        (&true.into(), &Json::Array(Vec::new())),
        "{receipt}"
    );
}

//! The backends and their clients, in one thread that never sleeps.
//!
//! A process that waits has to be woken by whoever writes to it, and on a virtual machine waking another core
//! costs more than a call does. Across a network a proxy wakes nobody. So nobody waits here either: what a
//! proxy's processor time comes to is what the proxy does, and one thread for both ends of a call leaves
//! enough of the load's core to keep the cheapest proxy's busy.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use crate::http::whole;
use crate::{Failure, clock};

/// What a client asks.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: echo\r\n\r\n";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// What a backend answers.
pub(super) const ANSWER_BYTES: usize = 1024;
/// What one read asks for.
const READ_BYTES: usize = 16 << 10;
/// How many sockets one look tells of.
const EVENTS: usize = 256;
/// How long answers that are still out are waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Both ends of the calls.
#[derive(Debug)]
pub(super) struct Loopback {
    epoll: OwnedFd,
    listeners: [TcpListener; 2],
    /// Where the backends listen.
    pub(super) addresses: [SocketAddr; 2],
    /// The backends' connections, by descriptor.
    served: Vec<Option<Served>>,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    answer: Vec<u8>,
    /// Clients that have been answered since they were asked for.
    answered: Vec<usize>,
}

/// A connection of a backend.
#[derive(Debug)]
struct Served {
    stream: TcpStream,
    /// How much of the end of a head has come.
    matched: usize,
}

/// A client, which asks one thing at a time.
#[derive(Debug)]
struct Client {
    stream: TcpStream,
    /// What has come of the answer.
    input: Vec<u8>,
    /// Since when the request under way is due.
    asked: Option<Instant>,
    /// When those that wait for it were due.
    waiting: VecDeque<Instant>,
}

/// Whose socket an event is about.
#[derive(Debug, Clone, Copy)]
enum Socket {
    Listener(usize),
    Served(usize),
    Client(usize),
}

impl Socket {
    fn data(self) -> epoll::EventData {
        let (kind, number) = match self {
            Socket::Listener(number) => (0, number),
            Socket::Served(number) => (1, number),
            Socket::Client(number) => (2, number),
        };
        epoll::EventData::new_u64(kind << 32 | number as u64)
    }

    fn of(data: epoll::EventData) -> Socket {
        let (kind, number) = (data.u64() >> 32, (data.u64() & u64::from(u32::MAX)) as usize);
        match kind {
            0 => Socket::Listener(number),
            1 => Socket::Served(number),
            _ => Socket::Client(number),
        }
    }
}

impl Loopback {
    /// Two backends that listen.
    pub(super) fn new() -> Result<Loopback, Failure> {
        let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let addresses = [listeners[0].local_addr()?, listeners[1].local_addr()?];
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {ANSWER_BYTES}\r\n\r\n").into_bytes();
        answer.resize(answer.len() + ANSWER_BYTES, b'x');
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (number, listener) in listeners.iter().enumerate() {
            listener.set_nonblocking(true)?;
            epoll::add(&epoll, listener, Socket::Listener(number).data(), epoll::EventFlags::IN)?;
        }
        Ok(Loopback {
            epoll,
            listeners,
            addresses,
            served: Vec::new(),
            clients: Vec::new(),
            buffer: vec![0; READ_BYTES],
            answer,
            answered: Vec::new(),
        })
    }

    /// Opens so many connections, in the place of those of the load before.
    pub(super) fn connect(&mut self, address: SocketAddr, connections: usize) -> Result<(), Failure> {
        self.release();
        (0..connections).try_for_each(|_| self.add(address))
    }

    fn add(&mut self, address: SocketAddr) -> Result<(), Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let socket = Socket::Client(self.clients.len());
        epoll::add(&self.epoll, &stream, socket.data(), epoll::EventFlags::IN)?;
        let client = Client { stream, input: Vec::new(), asked: None, waiting: VecDeque::new() };
        self.clients.push(client);
        Ok(())
    }

    /// One request, whose answer is waited for.
    pub(super) fn once(&mut self, address: SocketAddr) -> Result<(), Failure> {
        self.connect(address, 1)?;
        self.clients[0].ask(clock::now())?;
        self.finish().map(drop)
    }

    /// Each connection asks again as soon as it is answered; `during` is asked once in the middle. Returns
    /// how many were answered.
    pub(super) fn closed(
        &mut self,
        time: Duration,
        during: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        let start = clock::now();
        for client in &mut self.clients {
            client.ask(start)?;
        }
        let (mut requests, mut during) = (0, Some(during));
        loop {
            let now = self.look()?;
            if now - start >= time {
                break;
            }
            if now - start >= time / 2
                && let Some(during) = during.take()
            {
                during()?;
            }
            for client in self.answered.drain(..) {
                requests += 1;
                self.clients[client].ask(now)?;
            }
        }
        requests += self.answered.len() as u64;
        Ok(requests + self.finish()? as u64)
    }

    /// So many requests a second, evenly spaced, whatever the answers do. The time of a request counts from
    /// when it was due, so that one that waits for its turn is not taken for a fast one.
    pub(super) fn paced(&mut self, rate: u32, time: Duration) -> Result<Vec<Duration>, Failure> {
        let connections = self.clients.len();
        let due = |start: Instant, sent: u32| start + Duration::from_secs(1) * sent / rate;
        let (start, mut sent, mut latencies) = (clock::now(), 0_u32, Vec::new());
        loop {
            let now = self.look()?;
            for client in self.answered.drain(..) {
                let client = &mut self.clients[client];
                latencies.extend(client.asked.take().map(|due| now - due));
                if let Some(due) = client.waiting.pop_front() {
                    client.ask(due)?;
                }
            }
            if now - start >= time {
                if self.clients.iter().all(|client| client.asked.is_none()) {
                    return Ok(latencies);
                }
                continue;
            }
            while due(start, sent) <= now {
                let due = due(start, sent);
                let client = &mut self.clients[sent as usize % connections];
                match client.asked {
                    None => client.ask(due)?,
                    Some(_) => client.waiting.push_back(due),
                }
                sent += 1;
            }
        }
    }

    /// Opens connections, has each answered once, asks each of them again, and counts the answers.
    pub(super) fn hold(&mut self, address: SocketAddr, connections: usize) -> Result<usize, Failure> {
        self.release();
        for number in 0..connections {
            self.add(address)?;
            self.clients[number].ask(clock::now())?;
            self.finish()?;
        }
        let mut answered = 0;
        for number in 0..connections {
            self.clients[number].ask(clock::now())?;
            answered += self.finish()?;
        }
        Ok(answered)
    }

    /// Closes the clients' connections.
    pub(super) fn release(&mut self) {
        self.clients.clear();
        self.answered.clear();
    }

    /// Waits for what is still under way, and counts it.
    fn finish(&mut self) -> Result<usize, Failure> {
        for client in self.answered.drain(..) {
            self.clients[client].asked = None;
        }
        let mut out = self.clients.iter().filter(|client| client.asked.is_some()).count();
        let (all, start) = (out, clock::now());
        while out > 0 {
            if self.look()? - start > PATIENCE {
                return Err(format!("{out} of {all} requests were not answered").into());
            }
            for client in self.answered.drain(..) {
                self.clients[client].asked = None;
                out -= 1;
            }
        }
        Ok(all)
    }

    /// Does what can be done at once; says when it looked.
    fn look(&mut self) -> Result<Instant, Failure> {
        let mut space = [const { MaybeUninit::uninit() }; EVENTS];
        let (events, _) = epoll::wait(&self.epoll, &mut space, Some(&AT_ONCE))?;
        for event in events {
            match Socket::of(event.data) {
                Socket::Listener(number) => self.accept(number)?,
                Socket::Served(number) => self.serve(number)?,
                Socket::Client(number) => self.read(number)?,
            }
        }
        Ok(clock::now())
    }

    fn accept(&mut self, listener: usize) -> Result<(), Failure> {
        loop {
            let stream = match self.listeners[listener].accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let number = usize::try_from(stream.as_raw_fd())?;
            epoll::add(&self.epoll, &stream, Socket::Served(number).data(), epoll::EventFlags::IN)?;
            if self.served.len() <= number {
                self.served.resize_with(number + 1, || None);
            }
            self.served[number] = Some(Served { stream, matched: 0 });
        }
    }

    /// Answers each request that has come whole.
    fn serve(&mut self, number: usize) -> Result<(), Failure> {
        let Some(served) = self.served.get_mut(number).and_then(Option::as_mut) else { return Ok(()) };
        let length = match served.stream.read(&mut self.buffer) {
            // A proxy may leave as it likes.
            Ok(0) => 0,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => 0,
        };
        if length == 0 {
            self.served[number] = None;
            return Ok(());
        }
        for byte in &self.buffer[..length] {
            served.matched = match *byte == END_OF_HEAD[served.matched] {
                true => served.matched + 1,
                false => usize::from(*byte == b'\r'),
            };
            if served.matched == END_OF_HEAD.len() {
                served.matched = 0;
                // So little fits into the empty buffer of a socket.
                served.stream.write_all(&self.answer)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, number: usize) -> Result<(), Failure> {
        // An event of the load before may be among those that were looked up together.
        let Some(client) = self.clients.get_mut(number) else { return Ok(()) };
        match client.stream.read(&mut self.buffer) {
            Ok(0) => return Err("the proxy closed a connection".into()),
            Ok(length) => client.input.extend_from_slice(&self.buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if let Some(body) = whole(&client.input)? {
            if body.len() != ANSWER_BYTES {
                return Err(format!("an answer has {} bytes, not {ANSWER_BYTES}", body.len()).into());
            }
            client.input.clear();
            self.answered.push(number);
        }
        Ok(())
    }
}

impl Client {
    fn ask(&mut self, due: Instant) -> Result<(), Failure> {
        self.asked = Some(due);
        Ok(self.stream.write_all(REQUEST)?)
    }
}

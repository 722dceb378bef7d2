//! From the first question to the last.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Answers every connection with these bytes once it has a request, and keeps what it was asked.
#[derive(Clone, Default)]
struct Server {
    answer: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn say(&self, status: &str) {
        *self.answer.lock().unwrap() = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nok");
    }

    async fn serve(self, listener: TcpListener) {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let server = self.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let count = stream.read(&mut request).await.unwrap_or(0);
                server.asked.lock().unwrap().push(String::from_utf8_lossy(&request[..count]).into_owned());
                let answer = server.answer.lock().unwrap().clone();
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    }
}

#[tokio::test]
async fn an_instance_begins_as_starting_is_up_then_down_with_the_reason_and_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(folder.path());
    let (listener, port) = listen().await;
    let server = Server::default();
    server.say("200 OK");
    let check = Check { failure_threshold: 3, ..patient(http("/healthz?deep=1")) };
    house.register("a", "127.0.0.1", port, check).await;
    assert_eq!(house.instance("a").status, Status::Starting);
    let serving = tokio::spawn(server.clone().serve(listener));
    house.until("a", Status::Up).await;

    let asked = server.asked.lock().unwrap()[0].to_lowercase();
    assert!(asked.starts_with("get /healthz?deep=1 http/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("\r\nhost: 127.0.0.1:{port}\r\n")), "{asked}");
    let agent = format!("\r\nuser-agent: bellwether-check/{}\r\n", env!("CARGO_PKG_VERSION"));
    assert!(asked.contains(&agent), "{asked}");

    server.say("503 Nobody home");
    let before = server.asked.lock().unwrap().len();
    let reason = house.until("a", Status::Down).await;
    assert_eq!(reason, "check http /healthz?deep=1 fails: it answered 503 Service Unavailable");
    assert!(server.asked.lock().unwrap().len() >= before + 2, "one failure is not three");
    server.say("204 No Content");
    house.until("a", Status::Up).await;
    serving.abort();
    house.stop().await;
}

#[tokio::test]
async fn verdicts_outlive_a_restart_until_the_probes_say_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(folder.path());
    let (good, good_port) = listen().await;
    let (gone, gone_port) = listen().await;
    drop(gone);
    house.register("good", "127.0.0.1", good_port, patient(Probe::Tcp)).await;
    house.register("bad", "127.0.0.1", gone_port, patient(Probe::Tcp)).await;
    house.until("good", Status::Up).await;
    house.until("bad", Status::Down).await;
    house.stop().await;

    drop(good);
    let back = TcpListener::bind(("127.0.0.1", gone_port)).await.unwrap();
    let house = House::start(folder.path());
    assert_eq!((house.instance("good").status, house.instance("bad").status), (Status::Up, Status::Down));
    house.until("good", Status::Down).await;
    house.until("bad", Status::Up).await;
    drop(back);
    house.stop().await;
}

#[tokio::test]
async fn a_thousand_instances_are_all_asked_and_never_more_at_once_than_there_is_room_for() {
    let folder = tempfile::tempdir().unwrap();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = (running, most.clone());
    let house = House::start_with(folder.path(), move |_| {
        let (running, most) = seen.clone();
        async move {
            most.fetch_max(running.fetch_add(1, Relaxed) + 1, Relaxed);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Relaxed);
            Found::Passed
        }
    });
    let check = Check { interval: Duration::from_secs(5), ..Check::new(Probe::Tcp) };
    let commands = (0..1_000_u64).map(|i| {
        let mut registration = Registration::new(Host::parse("127.0.0.1").unwrap(), 80);
        registration.checks = [check.clone()].into();
        Command::register(target(&format!("i{i}")), registration, LeaseId(i), "test")
    });
    house.roll.tell(commands.collect()).unwrap();
    let all_up = async {
        let mut woken = house.roll.follow(Scope::All);
        loop {
            woken.borrow_and_update();
            let up = house.roll.read().instances().filter(|(_, i)| i.status == Status::Up).count();
            if up == 1_000 {
                break;
            }
            woken.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_up).await.expect("all are up at last");
    assert!(most.load(Relaxed) <= registry::NEW_MAX + registry::QUICK_MAX + registry::SLOW_MAX);
    house.stop().await;
}

#[tokio::test]
async fn a_probe_that_panics_ends_neither_the_prober_nor_its_check() {
    let folder = tempfile::tempdir().unwrap();
    let times = Arc::new(AtomicUsize::new(0));
    let house = House::start_with(folder.path(), move |job: Job| {
        let first = job.target.instance.as_str() == "broken" && times.fetch_add(1, Relaxed) == 0;
        async move {
            assert!(!first, "on purpose");
            Found::Passed
        }
    });
    house.register("broken", "127.0.0.1", 80, often(Probe::Tcp)).await;
    house.register("sound", "127.0.0.1", 80, often(Probe::Tcp)).await;
    house.until("sound", Status::Up).await;
    house.until("broken", Status::Up).await;
    let metrics = house.metrics();
    assert!(metrics.contains(r#"bellwether_checks_total{protocol="tcp",result="unasked"} 1"#), "{metrics}");
    house.stop().await;
}

#[tokio::test]
async fn nothing_is_asked_once_the_server_stops_and_what_was_asked_ends() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(folder.path());
    let (listener, port) = listen().await;
    house.register("a", "127.0.0.1", port, Check::new(http("/"))).await;
    let (mut stream, _) = listener.accept().await.unwrap();
    house.stop().await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.starts_with(b"GET / "), "it was asked, and then the connection ended");
    let listener = listener.into_std().unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn what_was_asked_is_counted_by_protocol_and_result() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(folder.path());
    let (_listener, port) = listen().await;
    let (gone, gone_port) = listen().await;
    drop(gone);
    let once = |probe| Check { interval: Duration::from_secs(600), ..patient(probe) };
    house.register("a", "127.0.0.1", port, once(Probe::Tcp)).await;
    house.register("b", "127.0.0.1", gone_port, once(grpc(""))).await;
    house.until("a", Status::Up).await;
    house.until("b", Status::Down).await;
    let metrics = house.metrics();
    for line in [
        r#"bellwether_checks_total{protocol="tcp",result="passed"} 1"#,
        r#"bellwether_checks_total{protocol="grpc",result="failed"} 1"#,
        r#"bellwether_check_duration_seconds_count{protocol="tcp"} 1"#,
        "bellwether_checks_skipped_total 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    house.stop().await;
}

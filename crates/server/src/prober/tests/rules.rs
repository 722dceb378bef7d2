//! Where a probe goes and where it does not, and how long it takes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{super::dial::LOOKUPS, *};

#[tokio::test]
async fn redirects_are_not_followed_neither_to_metadata_nor_to_another_port() {
    let (other, other_port) = listen().await;
    for location in ["http://169.254.169.254/latest/meta-data", &format!("http://127.0.0.1:{other_port}/")] {
        let folder = tempfile::tempdir().unwrap();
        let house = House::start(folder.path());
        let (listener, port) = listen().await;
        let answer = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let check = Check { failure_threshold: 3, ..patient(http("/")) };
        house.register("a", "127.0.0.1", port, check).await;
        let reason = house.until("a", Status::Down).await;
        let expected = "check http / fails: it answered 302 Found, and redirects are not followed";
        assert_eq!(reason, expected);
        serving.abort();
        house.stop().await;
    }
    let other = other.into_std().unwrap();
    assert_eq!(other.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody came");
}

#[tokio::test]
async fn a_name_that_leads_to_a_forbidden_address_is_not_dialled_also_when_it_did_not_at_first() {
    let folder = tempfile::tempdir().unwrap();
    let names = Names::default();
    let house = House::start_with(folder.path(), over(Dialer::new(names.clone(), Networks::default())));
    let (_listener, port) = listen().await;
    names.teach("cart.internal", &["127.0.0.1"]);
    names.teach("both.internal", &["169.254.169.254", "127.0.0.1"]);
    names.teach("mapped.internal", &["::ffff:169.254.169.254"]);
    for (instance, name) in [("a", "cart.internal"), ("b", "both.internal"), ("c", "mapped.internal")] {
        house.register(instance, name, port, patient(Probe::Tcp)).await;
    }
    house.until("a", Status::Up).await;
    house.until("b", Status::Up).await;
    let rule = "link-local addresses are never dialled (cloud metadata lives there)";
    let reason = house.until("c", Status::Down).await;
    assert_eq!(reason, format!("check tcp fails: ::ffff:169.254.169.254: {rule}"));

    names.teach("cart.internal", &["169.254.169.254"]);
    let reason = house.until("a", Status::Down).await;
    assert_eq!(reason, format!("check tcp fails: 169.254.169.254: {rule}"));
    house.stop().await;
}

#[tokio::test]
async fn nothing_outside_of_the_allowed_networks_is_asked_neither_by_address_nor_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (names, networks) = (Names::default(), "10.0.0.0/8,127.0.0.2".parse().unwrap());
    let house = House::start_with(folder.path(), over(Dialer::new(names.clone(), networks)));
    let (listener, port) = listen().await;
    let allowed = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    names.teach("out.internal", &["127.0.0.1"]);
    names.teach("both.internal", &["127.0.0.1", "127.0.0.2"]);
    // As a data folder from before the setting has it: the registry itself is not confined here.
    house.register("plain", "127.0.0.1", port, patient(Probe::Tcp)).await;
    house.register("named", "out.internal", port, patient(Probe::Tcp)).await;
    house.register("both", "both.internal", port, patient(Probe::Tcp)).await;
    let rule = "addresses outside of the allowed networks (dial_networks) are never dialled";
    for instance in ["plain", "named"] {
        let reason = house.until(instance, Status::Down).await;
        assert_eq!(reason, format!("check tcp fails: 127.0.0.1: {rule}"));
    }
    house.until("both", Status::Up).await;
    house.stop().await;
    let came = |listener: TcpListener| listener.into_std().unwrap().accept().is_ok();
    assert_eq!((came(listener), came(allowed)), (false, true));
}

#[tokio::test]
async fn the_time_of_a_check_covers_name_connection_and_answer() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(folder.path());
    // It accepts, by its backlog, and never answers.
    let (_silent, port) = listen().await;
    house.register("silent", "127.0.0.1", port, patient(http("/"))).await;
    house.register("silent-grpc", "127.0.0.1", port, patient(grpc(""))).await;
    house.register("lost", "slow.internal", port, often(Probe::Tcp)).await;
    house.register("unknown", "nowhere.internal", port, patient(Probe::Tcp)).await;
    let why = async |name: &str| house.until(name, Status::Down).await;
    assert_eq!(why("silent").await, "check http / fails: no answer within 1s");
    assert_eq!(why("silent-grpc").await, "check grpc fails: no answer within 1s");
    assert_eq!(why("lost").await, "check tcp fails: no connection within 100ms");
    assert_eq!(why("unknown").await, "check tcp fails: nowhere.internal cannot be resolved: no such name");
    house.stop().await;
}

#[tokio::test]
async fn targets_that_never_answer_hold_up_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::start(folder.path());
    let (_silent, silent_port) = listen().await;
    let (_good, good_port) = listen().await;
    house.register("good", "127.0.0.1", good_port, patient(Probe::Tcp)).await;
    house.until("good", Status::Up).await;
    let hole = Check {
        interval: Duration::from_secs(60),
        timeout: Duration::from_secs(60),
        ..Check::new(http("/"))
    };
    for i in 0..registry::NEW_MAX * 2 {
        house.register(&format!("hole-{i}"), "127.0.0.1", silent_port, hole.clone()).await;
    }
    drop(_good);
    house.until("good", Status::Down).await;
    house.stop().await;
}

#[tokio::test]
async fn a_name_is_looked_up_once_at_a_time_and_too_many_names_say_nothing_of_anyone() {
    let folder = tempfile::tempdir().unwrap();
    let names = Names::default();
    let dialer = Dialer::new(names.clone(), Networks::default());
    let host = |name: &str| Host::parse(name).unwrap();
    let give_up = async |name: &str| {
        let host = host(name);
        tokio::time::timeout(Duration::from_millis(1), dialer.open(&host, 80)).await
    };
    for _ in 0..3 {
        assert!(give_up("slow.internal").await.is_err());
    }
    assert_eq!(names.asked.load(Relaxed), 1, "those who came later wait for the same lookup");
    for i in 0..LOOKUPS {
        let _ = give_up(&format!("slow-{i}.internal")).await;
    }
    let house = House::start_with(folder.path(), over(dialer));
    let (_listener, port) = listen().await;
    house.register("named", "nowhere.internal", port, often(Probe::Tcp)).await;
    house.register("plain", "127.0.0.1", port, often(Probe::Tcp)).await;
    house.until("plain", Status::Up).await;
    let unasked = async {
        while house.metrics().contains(r#"{protocol="tcp",result="unasked"} 0"#) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), unasked).await.expect("it could not be asked");
    assert_eq!(house.instance("named").status, Status::Starting, "which says nothing of the instance");
    house.stop().await;
}

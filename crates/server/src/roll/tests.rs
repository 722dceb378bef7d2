use registry::{Command, Host, LeaseId, Registration, Target};
use tokio::sync::{mpsc, oneshot};

use super::{QUEUE, Request, gather};

fn registration(nth: u64) -> Command {
    let target = Target {
        namespace: "default".parse().unwrap(),
        service: "cart".parse().unwrap(),
        instance: format!("cart-{nth}").parse().unwrap(),
    };
    let registration = Registration::new(Host::parse("10.0.0.7").unwrap(), 8080);
    Command::register(target, registration, LeaseId(nth), "test")
}

fn request(nth: u64) -> Request {
    Request::Command(registration(nth), oneshot::channel().0)
}

#[tokio::test]
async fn those_who_are_about_to_ask_share_the_sync_of_those_who_have() {
    const CLIENTS: u64 = 64;
    let (queue, mut requests) = mpsc::channel(QUEUE);
    for nth in 1..CLIENTS {
        let queue = queue.clone();
        tokio::spawn(async move {
            // Some ask a few turns after the others, as if their requests had been read by then.
            for _ in 0..nth % 4 {
                tokio::task::yield_now().await;
            }
            queue.try_send(request(nth)).unwrap();
        });
    }
    let mut waiting = vec![request(0)];
    gather(&mut requests, &mut waiting).await;
    assert_eq!(waiting.len() as u64, CLIENTS);
}

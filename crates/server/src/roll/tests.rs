use std::sync::Arc;

use registry::{Ask, Command, Host, LeaseId, Registration, Target};
use storage_catalog::Catalog;
use storage_disk::RealDisk;
use tokio::sync::{mpsc, oneshot};

use super::{BATCH, QUEUE, Request, Roll, gather};
use crate::clock;

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

#[tokio::test]
async fn what_is_asked_in_one_request_becomes_durable_in_one_write_however_much_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, loaded) = Catalog::open(Arc::new(RealDisk), folder.path(), clock::now()).unwrap();
    let (roll, _, writer) = Roll::start(loaded.registry, catalog, Vec::new(), Vec::new());
    let many = 2 * BATCH as u64;
    roll.apply_all((0..many).map(registration).collect()).await.unwrap();
    let gone = |nth| Command {
        ask: Ask::Deregister { held: Some(LeaseId(nth)), reason: "the service was deleted".into() },
        ..registration(nth)
    };
    let before = roll.journal().groups;
    let decided = roll.apply_all((0..many).map(gone).collect()).await.unwrap();
    assert!(decided.len() as u64 == many && decided.iter().all(Result::is_ok));
    assert_eq!((roll.read().instance_count(), roll.journal().groups - before), (0, 1));
    roll.close();
    drop(roll);
    writer.await.unwrap();
}

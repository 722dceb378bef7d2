use std::{sync::Arc, time::Duration};

use registry::{Command, Host, LeaseId, Registration, Target};
use storage_catalog::{Catalog, Loaded};
use storage_disk::RealDisk;
use tokio::task::JoinSet;

use super::Roll;
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

#[tokio::test]
async fn those_who_are_about_to_ask_share_the_sync_of_those_who_have() {
    const CLIENTS: u64 = 64;
    let folder = tempfile::tempdir().unwrap();
    let (catalog, loaded) = Catalog::open(Arc::new(RealDisk), folder.path(), clock::now()).unwrap();
    let Loaded { registry, tokens, proxies, .. } = loaded;
    let (roll, _notices, writer) = Roll::start(registry, catalog, tokens, proxies);
    let before = roll.journal().groups;
    let mut clients = JoinSet::new();
    for nth in 0..CLIENTS {
        let roll = roll.clone();
        clients.spawn(async move {
            // Some ask a few turns after the others, as if their requests had been read by then.
            for _ in 0..nth % 4 {
                tokio::task::yield_now().await;
            }
            roll.apply(registration(nth)).await.unwrap();
        });
    }
    let all = tokio::time::timeout(Duration::from_secs(20), clients.join_all());
    assert_eq!(all.await.unwrap().len() as u64, CLIENTS);
    assert_eq!(roll.read().revision(), CLIENTS);
    assert_eq!(roll.journal().groups - before, 1);
    roll.close();
    writer.await.unwrap();
}

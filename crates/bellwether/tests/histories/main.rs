//! Histories of the running server, recorded from outside and judged afterwards: many clients and watchers
//! at the same time, and `kill -9` in the middle.
//!
//! Whatever the threads did, there must be one order of all that was asked in which every answer is right,
//! and every watcher must have been told just that order. So nothing that was acknowledged is lost, nothing
//! comes back, and nobody is shown what a crash takes back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod client;
mod instance;
mod leases;
mod linear;
mod play;
mod snapshots;
mod stand;
#[path = "../support/mod.rs"]
mod support;
mod watcher;

use play::Play;

#[test]
fn clients_and_watchers_agree_on_one_order() {
    let play = Play { seed: 1, clients: 8, services: 2, instances: 2, lives: 1, operations: 1_500 };
    let played = play.run();
    played.judge();
    assert!(played.logs.iter().all(|log| log.resumed == 0 && log.resynced == 0), "{:?}", played.logs);
}

#[test]
fn nothing_acknowledged_is_lost_in_a_hundred_rounds_of_kill_9() {
    let play = Play { seed: 2, clients: 6, services: 2, instances: 4, lives: 101, operations: 40 };
    let played = play.run();
    played.judge();
    assert!(played.lost() > play.lives, "the server was killed while it was asked: {}", played.lost());
    assert!(
        played.logs.iter().all(|log| log.resumed > play.lives / 2),
        "watchers resumed: {:?}",
        played.logs
    );
}

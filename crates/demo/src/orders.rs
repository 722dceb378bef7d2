//! Orders that could not be paid: kept in order, paid one after the other once payments answer again.
//!
//! They are in memory. What waits when the process ends is lost, and the log says how many that were.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderMap;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::trade::Trade;

/// How many orders wait at most, some 500 bytes each; further ones are refused.
const WAITING_MAX: usize = 1_000;

/// How long to wait before a charge that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// An order that is worth its money.
#[derive(Debug)]
pub(crate) struct Payable {
    pub(crate) id: String,
    pub(crate) cart: Json,
}

/// What has become of the orders of an instance.
#[derive(Debug, Default)]
pub(crate) struct Orders(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    waiting: VecDeque<Payable>,
    paid: u64,
    paid_late: u64,
    refused: u64,
}

impl Orders {
    /// One was paid at once.
    pub(crate) fn paid(&self) {
        self.book().paid += 1;
    }

    /// Lets one wait; false where too many do.
    pub(crate) fn queue(&self, order: Payable) -> bool {
        let mut book = self.book();
        let has_room = book.waiting.len() < WAITING_MAX;
        if has_room {
            book.waiting.push_back(order);
        } else {
            book.refused += 1;
        }
        has_room
    }

    /// The counts, as they are told.
    pub(crate) fn document(&self, from: &str) -> Json {
        let book = self.book();
        json!({
            "from": from,
            "paid": book.paid,
            "paid_late": book.paid_late,
            "waiting": book.waiting.len(),
            "refused": book.refused,
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pays what waits, until told to stop. Each charge is a call of its own: the one that ordered has ended.
pub(crate) async fn settle(trade: &Trade, stop: &CancellationToken) {
    loop {
        let next = trade.orders.book().waiting.front().map(|order| order.id.clone());
        let is_to_wait = match next {
            Some(id) => match trade.pay(&HeaderMap::new()).await {
                Ok(()) => {
                    let mut book = trade.orders.book();
                    book.waiting.pop_front();
                    book.paid_late += 1;
                    false
                }
                Err(why) => {
                    tracing::debug!(id, why, "an order still waits for its payment");
                    true
                }
            },
            None => true,
        };
        let pause = if is_to_wait { AGAIN } else { Duration::ZERO };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    let lost = trade.orders.book().waiting.len();
    if lost > 0 {
        tracing::warn!(lost, "orders that were still waiting for their payment are lost");
    }
}

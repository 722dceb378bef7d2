//! Whether a call is tried again, and when.

use std::time::Duration;

use resilience::{Backoff, Ending, RetryDecision};
use tokio::time::sleep;

use crate::{connect::Failure, gateway::Gateway, outbound::Outbound, routing::Service};

/// How long to wait before the same endpoint is tried again. Another one is tried at once.
const SAME_AGAIN: Backoff = Backoff { base: Duration::from_millis(25), max: Duration::from_millis(250) };

/// Decides after attempt number `number` has failed, and waits where that is due.
pub(crate) async fn after(
    gateway: &Gateway,
    service: &Service,
    outbound: &Outbound,
    failure: &Failure,
    number: u32,
    alone: bool,
) -> RetryDecision {
    if outbound.is_retry() || !outbound.can_be_sent() {
        return RetryDecision::NotRetryable;
    }
    let guard = &service.guard;
    let now = gateway.clock.mono();
    let ending = Ending::Failed(failure.fault);
    let decision = RetryDecision::after(&service.policy.retry, &guard.budget, ending, number, now);
    if decision == RetryDecision::Again && alone {
        sleep(SAME_AGAIN.delay(number - 1, gateway.random.ratio())).await;
    }
    decision
}

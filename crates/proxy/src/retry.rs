//! Whether a call is tried again, and when.
//!
//! What nothing has processed goes to another endpoint at once. Everything else waits first: for a
//! jittered time that grows with each try, and for as long as the answer asked for with `Retry-After`.
//! Where that is longer than the caller waits, there is no sense in another try.

use std::time::Duration;

use resilience::{Deadline, Ending, Fault, RetryDecision};
use tokio::time::sleep;

use crate::{
    gateway::Gateway,
    http1::head::{ResponseHead, RetryAfter},
    outbound::Outbound,
    routing::Service,
};

/// An attempt that may be followed by another one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tried {
    pub(crate) ending: Ending,
    /// How long the endpoint asks to be left alone.
    pub(crate) patience: Option<Duration>,
    /// Which attempt it was; the first is 1.
    pub(crate) number: u32,
}

impl Tried {
    /// The head of an answer has come.
    pub(crate) fn answered(head: &ResponseHead, number: u32) -> Self {
        let ending = Ending::Answered(head.status.as_u16());
        Self { ending, patience: head.retry_after.as_deref().and_then(patience), number }
    }

    /// There was none.
    pub(crate) fn failed(fault: Fault, number: u32) -> Self {
        Self { ending: Ending::Failed(fault), patience: None, number }
    }
}

/// Decides whether it is.
pub(crate) fn decide(
    gateway: &Gateway,
    service: &Service,
    outbound: &Outbound,
    tried: Tried,
    deadline: Deadline,
) -> RetryDecision {
    let Tried { ending, patience, number } = tried;
    let retryable = service.policy.retry.on.iter().any(|on| on.covers(ending));
    // A good answer goes on from here.
    if !retryable || outbound.is_retry() || !outbound.can_be_sent() {
        return RetryDecision::NotRetryable;
    }
    let now = gateway.clock.mono();
    if patience.is_some_and(|patience| patience >= deadline.left(now)) {
        return RetryDecision::NotRetryable;
    }
    let decision = RetryDecision::after(&service.policy.retry, &service.guard.budget, ending, number, now);
    if decision == RetryDecision::OverBudget {
        service.guard.counts.over_budget.one_more();
    }
    decision
}

/// Waits as long as is due before the next attempt.
pub(crate) async fn pause(gateway: &Gateway, service: &Service, tried: Tried) {
    let nothing_was_processed =
        matches!(tried.ending, Ending::Failed(fault) if fault.nothing_was_processed());
    let is_alone = service.seats.len() < 2;
    let backoff = match nothing_was_processed && !is_alone {
        true => Duration::ZERO,
        false => service.policy.retry.backoff.delay(tried.number - 1, gateway.random.ratio()),
    };
    let wait = backoff.max(tried.patience.unwrap_or_default());
    if !wait.is_zero() {
        sleep(wait).await;
    }
}

/// How long an answer asks to be left alone (RFC 9110, section 10.2.3): so many seconds, or until a date. A
/// date is measured by the answer's own, since the clocks of two machines do not agree; without one it is not
/// believed.
fn patience(asked: &RetryAfter) -> Option<Duration> {
    let text = |value| std::str::from_utf8(value).ok().map(str::trim);
    let until = text(&asked.value)?;
    if let Ok(seconds) = until.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(until).ok()?;
    let said = httpdate::parse_http_date(text(asked.date.as_deref()?)?).ok()?;
    Some(until.duration_since(said).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_measured_by_the_answers_own_clock() {
        let asks = |value: &'static str, date: Option<&'static str>| {
            let bytes = |text: &'static str| text.as_bytes().into();
            patience(&RetryAfter { value: bytes(value), date: date.map(bytes) })
        };
        let said = Some("Sun, 06 Nov 1994 08:49:30 GMT");
        for (text, seconds) in [
            ("7", 7),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 7),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 7),
            ("Sun Nov  6 08:49:37 1994", 7),
            ("Sun, 06 Nov 1994 08:49:00 GMT", 0),
        ] {
            assert_eq!(asks(text, said), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(asks("Sun, 06 Nov 1994 08:49:37 GMT", None), None);
        assert_eq!(asks("soon", said), None);
    }
}

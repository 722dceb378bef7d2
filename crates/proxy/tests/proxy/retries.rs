use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use resilience::{BudgetPolicy, RetryOn, RetryPolicy};

use crate::world::*;

fn on(conditions: &[RetryOn], change: impl FnOnce(&mut RetryPolicy)) -> resilience::CallPolicy {
    policy(|parts| {
        (parts.circuit_breaker, parts.outlier_detection) = (None, None);
        parts.retry.on = conditions.to_vec();
        change(&mut parts.retry);
    })
}

/// Answers 503, as often as it is said, and then 200.
async fn hesitant(times: u64, retry_after: Option<&'static str>) -> (Backend, Arc<Mutex<Vec<Instant>>>) {
    let calls: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let told = calls.clone();
    let backend = Backend::new(move |_| {
        let count = {
            let mut calls = lock(&told);
            #[expect(clippy::disallowed_methods, reason = "a test measures how long was waited")]
            calls.push(Instant::now());
            calls.len() as u64
        };
        async move {
            let mut answer = reply(if count <= times { 503 } else { 200 }, "");
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert("retry-after", seconds.parse().unwrap());
            }
            answer
        }
    })
    .await;
    (backend, calls)
}

#[tokio::test]
async fn a_status_that_the_policy_names_is_tried_again_for_methods_that_may_be_repeated() {
    for (conditions, method, everything, expected, calls) in [
        (vec![RetryOn::Status(503)], "GET", false, 200, 2),
        (vec![RetryOn::ServerError], "DELETE", false, 200, 2),
        (vec![RetryOn::Status(502)], "GET", false, 503, 1),
        (vec![RetryOn::Status(503)], "POST", false, 503, 1),
        (vec![RetryOn::Status(503)], "POST", true, 200, 2),
    ] {
        let policy = on(&conditions, |retry| retry.non_idempotent = everything);
        let world = World::with(|settings| settings.policy = policy).await;
        let (backend, _) = hesitant(1, None).await;
        world.up("cart", &[backend.address]).await;
        let answer = world.send(request(method, "cart", "/", "")).await;
        assert_eq!((answer.status, backend.calls()), (expected, calls), "{method} {conditions:?}");
    }
}

#[tokio::test]
async fn tries_end_with_the_last_answer_as_it_was() {
    let policy = on(&[RetryOn::Status(503)], |retry| retry.max_retries = 3);
    let world = World::with(|settings| settings.policy = policy).await;
    let (backend, _) = hesitant(100, None).await;
    world.up("cart", &[backend.address]).await;
    let answer = world.get("cart", "/").await;
    assert_eq!((answer.status, answer.header("content-type"), backend.calls()), (503, "", 4));
    world.stores.until("the spans", |stores| stores.spans().len() == 5).await;
    let spans = world.stores.spans();
    let resent: Vec<_> =
        spans.iter().filter_map(|span| span.attributes.get("http.request.resend_count")).collect();
    assert_eq!(resent.len(), 3);
}

#[tokio::test]
async fn retry_after_is_waited_for_unless_the_caller_does_not_wait_that_long() {
    let policy = on(&[RetryOn::Status(503)], |_| {});
    let world = World::with(|settings| settings.policy = policy).await;
    let ((patient, calls), (slow, _)) = (hesitant(1, Some("1")).await, hesitant(1, Some("60")).await);
    world.up("patient", &[patient.address]).await;
    world.up("slow", &[slow.address]).await;
    assert_eq!(world.get("patient", "/").await.status, 200);
    let calls = lock(&calls).clone();
    assert!(calls[1] - calls[0] >= Duration::from_secs(1));
    assert_eq!((world.get("slow", "/").await.status, slow.calls()), (503, 1));
}

#[tokio::test]
async fn an_attempt_that_took_too_long_is_tried_elsewhere() {
    let policy = policy(|parts| {
        parts.retry.on = vec![RetryOn::AttemptTimeout];
        parts.timeouts.attempt = Some(Duration::from_millis(100));
    });
    let world = World::with(|settings| settings.policy = policy).await;
    let (hanging, good) = (Backend::new(|_| std::future::pending()).await, Backend::named("good").await);
    world.up("cart", &[hanging.address, good.address]).await;
    let mut client = Client::new(world.address()).await;
    let both = async {
        while hanging.calls() == 0 {
            assert_eq!(client.send(request("GET", "cart", "/", "")).await.body, "good");
        }
    };
    soon("a call that was tried again", both).await;
}

#[tokio::test]
async fn retries_of_an_outage_stay_within_their_ratio_and_the_floor() {
    const SECONDS: u64 = 3;
    const PER_SECOND: u64 = 200;
    let policy = on(&[RetryOn::Status(503)], |retry| {
        retry.max_retries = 3;
        retry.budget = BudgetPolicy { ratio: 0.2, min_per_second: 3 };
        retry.backoff.base = Duration::from_millis(1);
    });
    let world = World::with(|settings| settings.policy = policy).await;
    let mut backends = Vec::new();
    for _ in 0..3 {
        backends.push(hesitant(u64::MAX, None).await.0);
    }
    world.up("cart", &backends.iter().map(|backend| backend.address).collect::<Vec<_>>()).await;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut calls = Vec::new();
    for _ in 0..SECONDS * 50 {
        tick.tick().await;
        for _ in 0..PER_SECOND / 50 {
            let address = world.address();
            calls.push(tokio::spawn(async move {
                Client::new(address).await.send(request("GET", "cart", "/", "")).await.status
            }));
        }
    }
    for call in calls {
        assert_eq!(call.await.unwrap(), 503);
    }
    let (calls, attempts) = (SECONDS * PER_SECOND, backends.iter().map(Backend::calls).sum::<u64>());
    // The floor is that of the budget's ten seconds.
    let most = calls + calls / 5 + 30;
    println!("{attempts} attempts of {calls} calls: {:.3}", attempts as f64 / calls as f64);
    assert!(attempts <= most, "{attempts} attempts of {calls} calls, and {most} may be");
    assert!(attempts > calls + calls / 10, "{attempts}: the budget is there to be used");
}

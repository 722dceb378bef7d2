//! Other breakers, and a rate limit, as their documentation has them used.

use std::{convert::Infallible, future::ready, hint::black_box, num::NonZeroU32, sync::Arc, time::Duration};

use failsafe::{CircuitBreaker as _, Config, backoff::constant, failure_policy};
use governor::{Quota, RateLimiter};
use recloser::Recloser;
use tower::{Service as _, ServiceExt as _, service_fn};
use tower_resilience_circuitbreaker::{CircuitBreakerLayer, SlidingWindowType};

use super::{BY_NUMBER, BY_TIME, IN_A_ROW, LIMIT, Subject};
use crate::Failure;

/// Whom we stand beside.
pub(crate) const PACKAGES: [&str; 4] =
    ["failsafe", "recloser", "tower-resilience-circuitbreaker", "governor"];

pub(crate) fn subjects() -> Result<Vec<Subject>, Failure> {
    let wait = || constant(Duration::from_secs(5));
    let in_a_row = Config::new().failure_policy(failure_policy::consecutive_failures(5, wait())).build();
    let window = Duration::from_secs(10);
    let rate = failure_policy::success_rate_over_time_window(0.5, 20, window, wait());
    let over_time = Config::new().failure_policy(rate).build();
    let recloser = Recloser::custom().error_rate(0.5).closed_len(100).build();
    Ok(vec![
        called("failsafe", IN_A_ROW, move || in_a_row.call(|| Ok::<(), ()>(())).is_ok()),
        called("failsafe", BY_TIME, move || over_time.call(|| Ok::<(), ()>(())).is_ok()),
        called("recloser", BY_NUMBER, move || recloser.call(|| Ok::<(), ()>(())).is_ok()),
        layered(IN_A_ROW, CircuitBreakerLayer::builder().consecutive_failures(5).build()?),
        layered(BY_NUMBER, by_number()?),
        layered(BY_TIME, by_time()?),
        governed(),
    ])
}

/// A breaker that wraps a function.
fn called(
    name: &'static str,
    rule: &'static str,
    call: impl Fn() -> bool + Send + Sync + 'static,
) -> Subject {
    let call = Arc::new(call);
    Subject::new(name, rule, move || {
        let call = call.clone();
        move |calls| (0..calls).for_each(|_| assert!(black_box(call()), "nothing opens here"))
    })
}

type Layer = CircuitBreakerLayer<tower_resilience_circuitbreaker::DefaultClassifier>;

fn by_number() -> Result<Layer, Failure> {
    let builder = CircuitBreakerLayer::builder().failure_rate_threshold(0.5).minimum_number_of_calls(20);
    Ok(builder.sliding_window_type(SlidingWindowType::CountBased).sliding_window_size(100).build()?)
}

fn by_time() -> Result<Layer, Failure> {
    let builder = CircuitBreakerLayer::builder().failure_rate_threshold(0.5).minimum_number_of_calls(20);
    let builder = builder.sliding_window_type(SlidingWindowType::TimeBased);
    // It remembers each call of the window, and walks over them at each call; with ten seconds of them
    // nothing else would be measured.
    Ok(builder.sliding_window_duration(Duration::from_millis(1)).build()?)
}

/// A breaker that wraps a service.
fn layered(rule: &'static str, layer: Layer) -> Subject {
    let service = layer.layer_fn(service_fn(|()| ready(Ok::<(), Infallible>(()))));
    Subject::new("tower-resilience", rule, move || {
        let mut service = service.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        move |calls| {
            let Ok(runtime) = &runtime else { return };
            runtime.block_on(async {
                for _ in 0..calls {
                    let Ok(ready) = service.ready().await else { return };
                    black_box(ready.call(()).await.is_ok());
                }
            });
        }
    })
}

fn governed() -> Subject {
    let most = NonZeroU32::MAX;
    let limiter = Arc::new(RateLimiter::direct(Quota::per_second(most).allow_burst(most)));
    Subject::new("governor", LIMIT, move || {
        let limiter = limiter.clone();
        move |calls| {
            for _ in 0..calls {
                let _ = black_box(limiter.check());
            }
        }
    })
}

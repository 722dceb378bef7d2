//! Endpoints that succeed less often than their siblings.
//!
//! No single call says so, so it is not looked at when calls end but once for each window: then the
//! endpoints of a service are compared by what each has done since the last time.

use std::time::Duration;

use identity::Now;
use resilience::{Reason, Window};

use crate::{gateway::Gateway, routing::Service};

/// What endpoints are compared over where the policy's window is a number of calls.
const WINDOW: Duration = Duration::from_secs(10);

/// Judges the endpoints of each service whose window is over.
pub(crate) fn judge_all(gateway: &Gateway, now: Now) {
    let routing = gateway.routing.load();
    for service in routing.services() {
        judge(gateway, service, now);
    }
}

fn judge(gateway: &Gateway, service: &Service, now: Now) {
    let Some(policy) = &service.policy.outlier_detection else { return };
    let Some(deviation) = policy.deviation else { return };
    let window = match policy.rules.window {
        Window::Time(window) => window,
        Window::Calls(_) => WINDOW,
    };
    if !service.guard.begins_window(window, now.mono) {
        return;
    }
    let records: Vec<_> = service.seats.iter().map(|seat| seat.endpoint.outlier.since_last()).collect();
    for outlier in deviation.outliers(&records) {
        let endpoint = &service.seats[outlier.at].endpoint;
        let reason = Reason::Deviation { rate: outlier.rate, threshold: outlier.threshold };
        if let Some(transition) = endpoint.outlier.trip(policy, service.seats.len(), reason, now) {
            gateway.tell(service, Some(endpoint), *transition, now);
        }
    }
}

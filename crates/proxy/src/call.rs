//! A call, from the request's head to the answer's.

use std::sync::Arc;

use http::{Request, Response, StatusCode, Version, request::Parts};
use hyper::body::Incoming;
use resilience::{Ending, Fault, RetryDecision};
use tokio::{sync::oneshot, time::timeout_at};

use crate::{
    attempt::{self, Answer},
    balance::{self, Chosen},
    body::Body,
    clock,
    connect::Failure,
    endpoint::Endpoint,
    gateway::Gateway,
    hop,
    listener::Client,
    outbound::Outbound,
    record::Record,
    refusal::{Reason, Refusal},
    retry, route,
    routing::Service,
    upgrade,
};

/// Answers one request: with the answer of an endpoint of the service that it names, or with our own.
///
/// Dropped before its end, as it is when the client goes away, it gives back all that it holds, and the
/// call counts as cancelled.
///
/// `client` is where the client's side of the connection comes from, where the request asks for a change
/// of protocol.
pub(crate) async fn call(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    client: Option<oneshot::Receiver<Client>>,
) -> Response<Body> {
    let (parts, incoming) = request.into_parts();
    let mut record = Record::begin(gateway.clone(), &parts);
    match carry(&gateway, &mut record, parts, incoming, client).await {
        Ok((answer, outbound)) => deliver(&gateway, record, answer, outbound),
        Err(refusal) => record.refuse(refusal),
    }
}

/// Route, permit, and as many attempts as the policy allows within the time for the call.
async fn carry(
    gateway: &Gateway,
    record: &mut Record,
    parts: Parts,
    incoming: Incoming,
    client: Option<oneshot::Receiver<Client>>,
) -> Result<(Answer, Outbound), Refusal> {
    let (service, mut outbound, first) = {
        // Let go before anything is waited for: see `install`.
        let table = gateway.routing.load();
        let service = route::find(&table, &gateway.namespace, &parts)?;
        record.routed(service.clone());
        let outbound = Outbound::new(parts, incoming, client, service.policy.timeouts.idle)?;
        record.ask_permit(&service)?;
        let now = gateway.clock.now();
        service.guard.budget.call(now.mono);
        let first = balance::choose(&service, None, gateway.draw(now))?;
        (service, outbound, first)
    };
    let timeouts = service.policy.timeouts;
    let deadline = clock::deadline(timeouts.call);
    match timeout_at(deadline, attempts(gateway, record, &service, &mut outbound, first)).await {
        Ok(answer) => answer.map(|answer| (answer, outbound)),
        Err(_elapsed) => {
            let limit = identity::duration::format(timeouts.call);
            let detail = format!("service {:?} did not answer within {limit}", service.name.as_str());
            Err(Refusal::new(Reason::Upstream(Fault::CallTimeout), detail))
        }
    }
}

/// Tries until there is an answer, or a reason to stop.
async fn attempts(
    gateway: &Gateway,
    record: &mut Record,
    service: &Service,
    outbound: &mut Outbound,
    mut chosen: Chosen,
) -> Result<Answer, Refusal> {
    let policy = &service.policy;
    loop {
        let endpoint = chosen.occupied.endpoint().clone();
        let (context, number) = record.begin_attempt(chosen);
        outbound.mark(&context, number);
        let run = attempt::run(&endpoint, outbound, &policy.timeouts, gateway);
        let failure = match run.await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        if let Some(reason) = outbound.progress.fault() {
            return Err(Refusal::new(reason, failure.detail));
        }
        record.end_attempt(Ending::Failed(failure.fault));
        let alone = service.seats.len() < 2;
        let decision = retry::after(gateway, service, outbound, &failure, number, alone).await;
        let next = match decision {
            RetryDecision::Again => again(gateway, service, &endpoint)?,
            _ => None,
        };
        match next {
            Some(next) => chosen = next,
            None => return Err(refusal(&endpoint, failure, number, decision)),
        }
    }
}

/// A place for another try, by what is known now: since the call began, an instance may have been told
/// to drain. `None` where there is nowhere to go any more.
fn again(gateway: &Gateway, service: &Service, tried: &Arc<Endpoint>) -> Result<Option<Chosen>, Refusal> {
    let table = gateway.routing.load();
    let newest = table.find(service.namespace.as_str(), service.name.as_str());
    let Some(newest) = newest.filter(|newest| !newest.seats.is_empty()) else { return Ok(None) };
    balance::choose(newest, Some(tried), gateway.draw(gateway.clock.now())).map(Some)
}

/// What the client is told when the last attempt has failed.
fn refusal(endpoint: &Endpoint, failure: Failure, attempts: u32, decision: RetryDecision) -> Refusal {
    let Failure { fault, detail } = failure;
    let tries = if attempts == 1 { String::new() } else { format!(" (attempt {attempts})") };
    let budget = match decision {
        RetryDecision::OverBudget => ", and the budget for retries is used up",
        _ => "",
    };
    let instance = endpoint.instance.as_str();
    Refusal::new(Reason::Upstream(fault), format!("instance {instance:?}{tries}: {detail}{budget}"))
}

/// Passes an answer on. The call ends with the answer's body.
fn deliver(
    gateway: &Arc<Gateway>,
    mut record: Record,
    answer: Answer,
    mut outbound: Outbound,
) -> Response<Body> {
    if answer.response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return match outbound.upgrade.take() {
            Some(client) => upgrade::join(gateway, record, answer, client),
            None => {
                record.end_attempt(Ending::Failed(Fault::Malformed));
                let detail = "the endpoint switches protocols without having been asked to";
                record.refuse(Refusal::new(Reason::Upstream(Fault::Malformed), detail))
            }
        };
    }
    let (mut parts, incoming) = answer.response.into_parts();
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    hop::strip(&mut parts.headers);
    let status = parts.status.as_u16();
    let body = Body::streaming(incoming, status, record, answer.connection, outbound.progress);
    Response::from_parts(parts, body)
}

//! A call, from the request's head to the answer's.

use std::{net::IpAddr, sync::Arc};

use http::{Request, Response, StatusCode, Version, request::Parts};
use hyper::body::Incoming;
use identity::Now;
use resilience::{Deadline, Ending, Fault, RetryDecision};
use tokio::{sync::oneshot, time::timeout_at};

use crate::{
    attempt::{self, Answer},
    balance::{self, Chosen},
    body::Body,
    connect::Failure,
    endpoint::Endpoint,
    gateway::Gateway,
    hop, limits,
    listener::Client,
    outbound::{self, Mark, Outbound},
    owners::Key,
    record::Record,
    refusal::{Reason, Refusal},
    retry::{self, Tried},
    route,
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
    peer: IpAddr,
) -> Response<Body> {
    let (parts, incoming) = request.into_parts();
    let mut record = Record::begin(gateway.clone(), &parts);
    let asked = Asked { parts, incoming, client, peer };
    match carry(&gateway, &mut record, asked).await {
        Ok((answer, outbound)) => deliver(&gateway, record, answer, outbound),
        Err(refusal) => record.refuse(refusal),
    }
}

/// A request as it came.
struct Asked {
    parts: Parts,
    incoming: Incoming,
    client: Option<oneshot::Receiver<Client>>,
    peer: IpAddr,
}

/// A call that has leave to be tried.
struct Course {
    service: Arc<Service>,
    outbound: Box<Outbound>,
    /// Where its key lies.
    key: Option<Key>,
    deadline: Deadline,
}

/// Route, limits, permit, and as many attempts as the policy allows within the time for the call.
async fn carry(
    gateway: &Arc<Gateway>,
    record: &mut Record,
    asked: Asked,
) -> Result<(Answer, Box<Outbound>), Refusal> {
    let (mut course, first) = match set_out(gateway, record, asked)? {
        Stage::Planned(course, first) => (course, first),
        Stage::Waits(service, asked) => {
            record.enter(limits::enter(gateway, &service).await?);
            enter(gateway, record, asked)?
        }
    };
    let deadline = course.deadline;
    let limit = gateway.clock.timer(first.at.mono, deadline.left(first.at.mono));
    match timeout_at(limit, attempts(gateway, record, &mut course, first)).await {
        Ok(answer) => answer.map(|answer| (answer, course.outbound)),
        Err(_elapsed) => Err(overdue(&course, deadline)),
    }
}

/// How far a call has come without waiting.
enum Stage {
    Planned(Course, Chosen),
    /// It has to ask for a place among the calls that the service takes at once.
    Waits(Arc<Service>, Asked),
}

/// By one table from the route to the choice of the first endpoint, and let go of before anything is waited
/// for: see `install`.
fn set_out(gateway: &Gateway, record: &mut Record, asked: Asked) -> Result<Stage, Refusal> {
    let table = gateway.routing.load();
    let service = route::find(&table, &gateway.namespace, &asked.parts)?;
    record.routed(service.clone());
    limits::within_rates(&service, &asked.parts, asked.peer, record.begun().mono)?;
    if service.policy.concurrency.is_some() {
        return Ok(Stage::Waits(service, asked));
    }
    let begun = record.begun();
    plan(gateway, record, service, asked, begun).map(|(course, first)| Stage::Planned(course, first))
}

/// The same for a call that has waited for its place: by the table of now.
fn enter(gateway: &Gateway, record: &mut Record, asked: Asked) -> Result<(Course, Chosen), Refusal> {
    let table = gateway.routing.load();
    let service = route::find(&table, &gateway.namespace, &asked.parts)?;
    record.routed(service.clone());
    plan(gateway, record, service, asked, gateway.clock.now())
}

/// The permit, and the first endpoint.
fn plan(
    gateway: &Gateway,
    record: &mut Record,
    service: Arc<Service>,
    asked: Asked,
    now: Now,
) -> Result<(Course, Chosen), Refusal> {
    let Asked { parts, incoming, client, peer } = asked;
    let key = service.key(&parts, peer);
    let left = outbound::time_left(&parts.headers);
    let deadline = Deadline::new(record.begun().mono, service.policy.timeouts.call, left);
    let outbound = Outbound::new(parts, incoming, client, &service.policy)?;
    record.ask_permit(&service)?;
    service.guard.budget.call(now.mono);
    let first = balance::choose(&service, None, gateway.draw(now, key))?;
    Ok((Course { service, outbound, key, deadline }, first))
}

fn overdue(Course { service, outbound, .. }: &Course, deadline: Deadline) -> Refusal {
    let name = service.name.as_str();
    if outbound.progress.waits_for_the_client() {
        let detail =
            format!("the request's body did not come to its end while service {name:?} waited for it");
        return Refusal::new(Reason::ClientStalled, detail);
    }
    if deadline.is_inherited() {
        let detail = format!("service {name:?} did not answer within the time that the caller gave");
        return Refusal::new(Reason::Deadline, detail);
    }
    let limit = identity::duration::format(service.policy.timeouts.call);
    Refusal::new(
        Reason::Upstream(Fault::CallTimeout),
        format!("service {name:?} did not answer within {limit}"),
    )
}

/// Tries until there is an answer, or a reason to stop.
async fn attempts(
    gateway: &Gateway,
    record: &mut Record,
    Course { service, outbound, key, deadline }: &mut Course,
    mut chosen: Chosen,
) -> Result<Answer, Refusal> {
    let policy = &service.policy;
    loop {
        let endpoint = chosen.occupied.endpoint().clone();
        let (context, begun, number) = record.begin_attempt(chosen);
        let mark = Mark {
            context: &context,
            formats: gateway.formats,
            caller: (gateway.caller.as_str(), gateway.identity.proxy()),
            callee: (&endpoint.host, endpoint.port),
            came: record.came(),
        };
        outbound.mark(&mark, number, || deadline.left(gateway.clock.mono()));
        let run = attempt::run(&endpoint, outbound, &policy.timeouts, gateway, begun);
        let (tried, failure) = match run.await {
            Ok(answer) => {
                let tried = Tried::answered(&answer.response, number);
                record.answered(&tried);
                if retry::decide(gateway, service, outbound, tried, *deadline) != RetryDecision::Again {
                    return Ok(answer);
                }
                record.end_attempt(tried.ending);
                (tried, None)
            }
            Err(failure) => {
                if let Some(reason) = outbound.progress.fault() {
                    return Err(Refusal::new(reason, failure.detail));
                }
                let tried = Tried::failed(failure.fault, number);
                record.end_attempt(tried.ending);
                let decision = retry::decide(gateway, service, outbound, tried, *deadline);
                if decision != RetryDecision::Again {
                    return Err(refusal(&endpoint, failure, number, decision));
                }
                (tried, Some(failure))
            }
        };
        retry::pause(gateway, service, tried).await;
        chosen = match (again(gateway, service, &endpoint, *key)?, failure) {
            (Some(next), _) => next,
            (None, Some(failure)) => return Err(refusal(&endpoint, failure, number, RetryDecision::Again)),
            (None, None) => {
                let detail = format!("no instance of service {:?} is left to try", service.name.as_str());
                return Err(Refusal::new(Reason::NoEndpoint, detail));
            }
        };
    }
}

/// A place for another try, by what is known now: since the call began, an instance may have been told
/// to drain. `None` where there is nowhere to go any more.
fn again(
    gateway: &Gateway,
    service: &Service,
    tried: &Arc<Endpoint>,
    key: Option<Key>,
) -> Result<Option<Chosen>, Refusal> {
    let table = gateway.routing.load();
    let newest = table.find(service.namespace.as_str(), service.name.as_str());
    let Some(newest) = newest.filter(|newest| !newest.seats.is_empty()) else { return Ok(None) };
    balance::choose(newest, Some(tried), gateway.draw(gateway.clock.now(), key)).map(Some)
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
    mut record: Box<Record>,
    answer: Answer,
    mut outbound: Box<Outbound>,
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
    let status = answer.response.status().as_u16();
    if let Some(fallback) = record.stand_in_for(status) {
        return record.fall_back(status, &fallback);
    }
    let (mut parts, incoming) = answer.response.into_parts();
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    hop::strip(&mut parts.headers);
    let body = Body::streaming(incoming, status, record, answer.connection, outbound.progress);
    Response::from_parts(parts, body)
}

//! A call, from the request's head to the answer's.

use std::{net::IpAddr, sync::Arc};

use http::StatusCode;
use identity::Now;
use resilience::{Deadline, Ending, Fault, RetryDecision};
use tokio::time::timeout_at;

use crate::{
    attempt::{self, Answer},
    balance::{self, Chosen},
    connect::Failure,
    endpoint::Endpoint,
    gateway::Gateway,
    http1::head::RequestHead,
    limits,
    listener::{Client, Gone},
    outbound::{Mark, Outbound},
    owners::Key,
    record::Record,
    refusal::{Reason, Refusal},
    reply::{Reply, Streaming},
    retry::{self, Tried},
    route,
    routing::Service,
    upgrade::Switched,
};

/// Answers one request: with the answer of an endpoint of the service that it names, or with our own; with
/// nothing where the client has gone.
///
/// Dropped before its end, or left by its client, it gives back all that it holds, and the call counts as
/// cancelled.
pub(crate) async fn call(
    gateway: &Arc<Gateway>,
    client: &mut Client,
    head: Box<RequestHead>,
    peer: IpAddr,
) -> Option<Reply> {
    let mut record = Record::begin(gateway.clone(), &head.parts);
    match carry(gateway, &mut record, client, Asked { head, peer }).await {
        Ok((answer, outbound)) => Some(deliver(gateway, record, answer, &outbound)),
        Err(_) if client.is_gone() => None,
        Err(refusal) => Some(record.refuse(refusal)),
    }
}

/// A request as it came.
struct Asked {
    head: Box<RequestHead>,
    peer: IpAddr,
}

impl From<Gone> for Refusal {
    /// Nobody will read it.
    fn from(_: Gone) -> Self {
        Self::new(Reason::ClientBody, "the client has gone")
    }
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
    client: &mut Client,
    asked: Asked,
) -> Result<(Answer, Box<Outbound>), Refusal> {
    let (mut course, first) = match set_out(gateway, record, asked)? {
        Stage::Planned(course, first) => (course, first),
        Stage::Waits(service, asked) => {
            record.enter(client.unless_gone(limits::enter(gateway, &service)).await??);
            enter(gateway, record, asked)?
        }
    };
    client.set_idle(course.service.policy.timeouts.idle);
    let deadline = course.deadline;
    let limit = gateway.clock.timer(first.at.mono, deadline.left(first.at.mono));
    match timeout_at(limit, attempts(gateway, record, client, &mut course, first)).await {
        Ok(answer) => answer.map(|answer| (answer, course.outbound)),
        Err(_elapsed) => Err(overdue(&course, client, deadline)),
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
    let service = route::find(&table, &gateway.namespace, &asked.head.parts)?;
    record.routed(service.clone());
    limits::within_rates(&service, &asked.head.parts, asked.peer, record.begun().mono)?;
    if service.policy.concurrency.is_some() {
        return Ok(Stage::Waits(service, asked));
    }
    let begun = record.begun();
    plan(gateway, record, service, asked, begun).map(|(course, first)| Stage::Planned(course, first))
}

/// The same for a call that has waited for its place: by the table of now.
fn enter(gateway: &Gateway, record: &mut Record, asked: Asked) -> Result<(Course, Chosen), Refusal> {
    let table = gateway.routing.load();
    let service = route::find(&table, &gateway.namespace, &asked.head.parts)?;
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
    let Asked { head, peer } = asked;
    let key = service.key(&head.parts, peer);
    let outbound = Outbound::new(head, &service.policy)?;
    let deadline = Deadline::new(record.begun().mono, service.policy.timeouts.call, outbound.time_left);
    record.ask_permit(&service)?;
    service.guard.budget.call(now.mono);
    let first = balance::choose(&service, None, gateway.draw(now, key))?;
    Ok((Course { service, outbound, key, deadline }, first))
}

fn overdue(Course { service, .. }: &Course, client: &Client, deadline: Deadline) -> Refusal {
    let name = service.name.as_str();
    if client.is_waited_for() {
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
    client: &mut Client,
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
        let run = attempt::run(&endpoint, outbound, client, &policy.timeouts, gateway, begun);
        let (tried, failure) = match run.await {
            Ok(answer) => {
                let tried = Tried::answered(&answer.head, number);
                record.answered(&tried);
                if retry::decide(gateway, service, outbound, tried, *deadline) != RetryDecision::Again {
                    return Ok(answer);
                }
                record.end_attempt(tried.ending);
                (tried, None)
            }
            Err(failure) => {
                if client.is_gone() {
                    return Err(Gone.into());
                }
                if let Some((reason, detail)) = client.fault() {
                    return Err(Refusal::new(reason, detail));
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
        client.unless_gone(retry::pause(gateway, service, tried)).await?;
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
fn deliver(gateway: &Gateway, mut record: Box<Record>, answer: Answer, outbound: &Outbound) -> Reply {
    let Answer { head, connection } = answer;
    let status = head.status.as_u16();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        if outbound.asks_to_switch() {
            let switched = Switched::new(gateway, record, connection, status);
            return Reply::Switched(head, Box::new(switched));
        }
        record.end_attempt(Ending::Failed(Fault::Malformed));
        let detail = "the endpoint switches protocols without having been asked to";
        return record.refuse(Refusal::new(Reason::Upstream(Fault::Malformed), detail));
    }
    if let Some(fallback) = record.stand_in_for(status) {
        return record.fall_back(status, &fallback);
    }
    let body = Streaming::new(status, record, connection, outbound.is_chunked());
    Reply::Passed(head, body)
}

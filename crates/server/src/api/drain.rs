//! Draining an instance: no new calls, please, and tell me when the last one has ended.
//!
//! The drain itself is a change of the registry like any other and stays whatever becomes of the request.
//! What the request waits for is the receipt: that every subscriber has proved that no call is at the
//! instance and none can come ([`registry::conclude`]). Whoever asks again for an instance that drains
//! already waits for the same drain.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::State as Of,
    response::{IntoResponse, Response, sse::Event},
};
use http::{HeaderMap, header};
use identity::{InstanceId, Mono, Namespace, ServiceName, duration};
use registry::{
    Ask, Command, Conclusion, Drained, Effect, Instance, LeaseId, Outcome, Scope, Standing, Subscriber,
    Target, conclude,
};
use tokio::sync::watch;
use utoipa_axum::{router::OpenApiRouter, routes};
use wire::native::{api, problem::Problem};

use super::{
    Caller, DIALECT, Shared,
    extract::{Answer, Named, Sent, invalid},
    instances::held,
    stream,
};
use crate::{access::Principal, chronicle, clock, state::State, watchers::Woken};

/// How long a receipt is waited for where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest wait.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Subscribers are looked at anew at most this often …
const PACE: Duration = Duration::from_millis(10);
/// … with pauses of this many times what a look costs, so that a wait takes at most a tenth of a core …
const PAUSE_PER_COST: u32 = 9;
/// … and at least this often, because silence is news as well.
const REFRESH: Duration = Duration::from_secs(1);

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(drain))
}

/// Drains an instance, and waits until it is safe to kill or the time is over. With
/// `Accept: text/event-stream` the answer is a stream: `progress` with each change of the picture, and
/// `receipt` at last. Whoever goes away ends the waiting and not the drain.
#[utoipa::path(
    post, path = "/bellwether/v1/namespaces/{namespace}/services/{service}/instances/{instance}/drain",
    tag = "registration",
    params(("namespace" = String, Path), ("service" = String, Path), ("instance" = String, Path),
        ("If-Match" = Option<String>, Header, description = "the lease; without it the scope admin is needed")),
    request_body = Option<api::DrainBody>,
    responses(
        (status = 200, description = "the receipt, safe or not", content(
            (api::Receipt = "application/json"), (api::Receipt = "text/event-stream"))),
        (status = 409, description = "it is the last instance that takes calls, or another process holds its lease", body = Problem),
        (status = "default", body = Problem),
    ),
)]
async fn drain(
    Of(state): Shared,
    Extension(caller): Caller,
    Named((namespace, service, instance)): Named<(Namespace, ServiceName, InstanceId)>,
    headers: HeaderMap,
    body: Option<Sent<api::DrainBody>>,
) -> Answer<Response> {
    let api::DrainBody { lease_id, timeout, force, reason } = body.map(|Sent(body)| body).unwrap_or_default();
    let lease = api::LeaseBody { lease_id };
    let held = held(&caller, &namespace, &headers, Some(Sent(lease)))?;
    let timeout = match timeout.as_deref().map(duration::parse).transpose() {
        Ok(timeout) => timeout.unwrap_or(TIMEOUT),
        Err(error) => return Err(invalid("/timeout", error).into()),
    };
    if timeout > TIMEOUT_MAX {
        let detail = format!("timeout {} is not valid: at most 1h", duration::format(timeout));
        return Err(invalid("/timeout", detail).into());
    }
    let by = if held.is_some() { "its owner" } else { "an operator" };
    let reason = reason.unwrap_or_else(|| format!("drained by {by}"));
    let target = Target { namespace, service, instance };
    let scope = Scope::Service(target.namespace.clone(), target.service.clone());
    // Before the drain, so that nothing falls between the two.
    let (revisions, news) = (state.roll.follow(scope), state.subscribers.news());
    let ask = Ask::Drain { held, force, reason: reason.into() };
    let command = Command { target: target.clone(), actor: caller.actor(DIALECT), ask };
    let outcome = state.roll.apply(command).await?;
    let (lease, revision) = begun(&state, &target, &outcome);
    let now = clock::mono();
    let waiting = Waiting {
        state,
        caller,
        target,
        lease,
        drained: Drained { revision, asked: now },
        until: now + timeout,
        revisions,
        news,
        shown: None,
        sent: 0,
        is_over: false,
    };
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accepts.contains("text/event-stream") {
        return Ok(stream::answer(waiting).into_response());
    }
    Ok(Json(waiting.receipt().await).into_response())
}

/// Whose drain it is that holds now, and since which revision.
fn begun(state: &State, target: &Target, outcome: &Outcome) -> (Option<LeaseId>, u64) {
    let of = |instance: &Instance| {
        let drain = instance.condition.drain.as_ref()?;
        Some((Some(instance.lease), drain.revision))
    };
    let made = match outcome.change.as_ref().map(|change| &change.effect) {
        Some(Effect::Put(instance)) => of(instance),
        _ => state.roll.read().instance(target).and_then(of),
    };
    // Where the drain has ended already, no revision is one that could be waited for.
    made.unwrap_or((outcome.lease, u64::MAX))
}

/// Somebody who waits for a receipt.
struct Waiting {
    state: Arc<State>,
    caller: Principal,
    target: Target,
    /// The lease of the process that is drained.
    lease: Option<LeaseId>,
    drained: Drained,
    until: Mono,
    revisions: Woken,
    news: watch::Receiver<u64>,
    /// What was told last.
    shown: Option<Vec<Stand>>,
    /// Events that were sent.
    sent: u64,
    is_over: bool,
}

/// What is told of a subscriber when it changes.
type Stand = (Box<str>, Standing, u64, u32);

/// Where everybody stands at a moment.
struct Picture {
    all: Vec<(Subscriber, Standing)>,
    /// What holds now.
    conclusion: Conclusion,
    /// Whether there is no point in waiting on.
    is_final: bool,
}

impl Waiting {
    /// Waits for the receipt.
    async fn receipt(mut self) -> api::Receipt {
        loop {
            let (picture, pause) = self.look();
            if picture.is_final {
                return self.conclude(&picture).await;
            }
            self.wait(pause).await;
        }
    }

    /// Looks at everybody, and says how long that is good for.
    fn look(&mut self) -> (Picture, Duration) {
        let begun = clock::now().mono;
        // Marked as seen before anything is read, so that no change falls between the two.
        self.revisions.borrow_and_update();
        self.news.borrow_and_update();
        let (all, is_complete) = self.state.subscribers.of(&self.target, begun);
        let all: Vec<_> = all
            .into_iter()
            .map(|subscriber| {
                let standing = subscriber.standing(self.drained, begun);
                (subscriber, standing)
            })
            .collect();
        let conclusion = conclude(all.iter().map(|(of, standing)| (of, *standing)), is_complete);
        // Only after the subscribers: what they prove holds if the drain does still hold now.
        let ended = self.ended();
        let is_final = ended.is_some() || conclusion.safe || self.until <= begun;
        let conclusion = match ended {
            Some(why) => Conclusion { safe: false, reason: why.to_owned() },
            None => conclusion,
        };
        let cost = clock::mono().since(begun);
        (Picture { all, conclusion, is_final }, PACE.max(cost * PAUSE_PER_COST))
    }

    /// Why the drain does not hold any more.
    fn ended(&self) -> Option<&'static str> {
        if self.state.stopping.is_cancelled() {
            return Some(
                "the server is stopping; the instance drains on, and asking again waits for the rest",
            );
        }
        let registry = self.state.roll.read();
        // One that is gone gets no calls either.
        let instance = registry.instance(&self.target)?;
        if Some(instance.lease) != self.lease {
            return Some("another process registered the instance meanwhile, which ends the drain");
        }
        let Some(drain) = &instance.condition.drain else {
            return Some("the instance was undrained meanwhile, so calls go there again");
        };
        if instance.status.may_take_calls() {
            return Some(
                "an operator's override says that the instance is up, so calls go there all the same",
            );
        }
        (drain.revision != self.drained.revision)
            .then_some("the instance took calls meanwhile and drains anew; ask again to wait for that")
    }

    /// Waits until another look is worth it.
    async fn wait(&mut self, pause: Duration) {
        let news = async {
            tokio::time::sleep(pause).await;
            tokio::select! {
                changed = self.revisions.changed() => if changed.is_err() { self.state.stopping.cancelled().await },
                _ = self.news.changed() => {}
                () = tokio::time::sleep(REFRESH) => {}
            }
        };
        tokio::select! {
            () = news => {}
            () = tokio::time::sleep_until(clock::timer(self.until)) => {}
            () = self.state.stopping.cancelled() => {}
        }
    }

    /// The receipt of what holds in the end; told as an event as well.
    async fn conclude(&self, picture: &Picture) -> api::Receipt {
        let receipt = self.told(picture);
        self.state.subscribers.count(receipt.safe);
        let event = chronicle::receipt(&self.target, &self.caller.name, &receipt);
        chronicle::record(&self.state, event).await;
        receipt
    }

    fn told(&self, picture: &Picture) -> api::Receipt {
        api::Receipt {
            namespace: self.target.namespace.to_string(),
            service: self.target.service.to_string(),
            instance: self.target.instance.to_string(),
            revision: if self.drained.revision == u64::MAX { 0 } else { self.drained.revision },
            safe: picture.conclusion.safe,
            reason: picture.conclusion.reason.clone(),
            elapsed_ns: clock::mono().since(self.drained.asked).as_nanos() as u64,
            subscribers: picture.all.iter().map(|(of, standing)| told(of, *standing)).collect(),
        }
    }
}

impl stream::Follower for Waiting {
    async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        loop {
            let (picture, pause) = self.look();
            self.sent += 1;
            if picture.is_final {
                self.is_over = true;
                return Some(stream::event("receipt", self.sent, &self.conclude(&picture).await));
            }
            let stands = picture
                .all
                .iter()
                .map(|(of, standing)| (of.name.clone(), *standing, of.acknowledged, of.in_flight));
            let stands: Vec<Stand> = stands.collect();
            if self.shown.as_ref() != Some(&stands) {
                self.shown = Some(stands);
                return Some(stream::event("progress", self.sent, &self.told(&picture)));
            }
            self.wait(pause).await;
        }
    }
}

fn told(subscriber: &Subscriber, standing: Standing) -> api::Subscriber {
    api::Subscriber {
        subscriber: subscriber.name.to_string(),
        kind: subscriber.kind.as_str().to_owned(),
        state: standing.as_str().to_owned(),
        revision: subscriber.acknowledged,
        in_flight: subscriber.in_flight,
        heard_at: subscriber.heard.map(|heard| heard.wall.to_string()),
    }
}

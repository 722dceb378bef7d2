//! The story of one call, told exactly once: to the breaker, the histograms, the trace and the report.
//!
//! A record that is dropped before its end was reached is the story of a client that went away.

use std::{sync::Arc, time::Duration};

use http::{Method, Uri, request::Parts};
use identity::{Mono, Now, SpanId};
use monitoring::StatusClass;
use resilience::{Ending, Fallback, Fault, Outcome, State, classify};
use traces::{
    context::{Flags, TraceContext},
    propagation::{self, Extracted, Sampling},
    sampling::{Decision, Ratio, Told},
};

use crate::{
    balance::{Chosen, Home},
    endpoint::{Endpoint, Occupied},
    gateway::Gateway,
    limits::Place,
    refusal::{self, Reason, Refusal},
    reply::Reply,
    retry::Tried,
    routing::Service,
    spans,
    upstream::Upstream,
    watched::CallPermit,
};

/// A call under way.
#[derive(Debug)]
pub(crate) struct Record {
    gateway: Arc<Gateway>,
    story: Story,
    permit: Option<CallPermit>,
    occupied: Option<Occupied>,
    /// The leave of the attempt under way, by its endpoint.
    attempting: Option<CallPermit>,
    /// Among the calls that the service takes at once.
    place: Option<Place>,
    ended: bool,
}

/// What is known about a call when it is over.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) trace: TraceContext,
    /// What the caller said of its trace, in whichever format, without the context itself: that is `trace`.
    pub(crate) came: Option<Extracted>,
    pub(crate) parent: Option<SpanId>,
    /// Whether it was left out when it began; of what is not, the end decides.
    pub(crate) left_out: bool,
    pub(crate) begun: Now,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) service: Option<Arc<Service>>,
    pub(crate) breaker: State,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) refused: Option<Reason>,
    pub(crate) detail: String,
    /// Whether something else was answered in the service's place.
    pub(crate) fell_back: bool,
    /// How old the table was, where the control plane was away.
    pub(crate) table_age: Option<Duration>,
}

/// One try.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) span: SpanId,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) begun: Now,
    /// Whose the call's key is, where keys have owners.
    pub(crate) home: Option<Home>,
    /// When it ended and how; `None` while it is under way.
    pub(crate) end: Option<(Mono, Ending)>,
}

impl Record {
    pub(crate) fn begin(gateway: Arc<Gateway>, parts: &Parts) -> Box<Self> {
        let begun = gateway.clock.now();
        let text = |name| parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let span = gateway.random.span_id();
        let is_told = parts.headers.keys().any(|name| propagation::is_header(name.as_str()));
        let mut came = if is_told { propagation::extract(text) } else { None };
        let sampled = came.as_ref().is_none_or(|came| came.sampling != Sampling::Drop);
        let (trace, parent) = match came.as_mut().and_then(|came| came.context.take()) {
            Some(caller) => {
                let (flags, parent) = (caller.flags.with_sampled(sampled), caller.span_id);
                (TraceContext { flags, span_id: span, ..caller }, Some(parent))
            }
            None => {
                let flags = Flags::default().with_sampled(sampled).with_random(true);
                (TraceContext::new(gateway.random.trace_id(), span, flags), None)
            }
        };
        let story = Story {
            trace,
            came,
            parent,
            left_out: false,
            begun,
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            service: None,
            breaker: State::Closed,
            attempts: Vec::new(),
            refused: None,
            detail: String::new(),
            fell_back: false,
            table_age: gateway.freshness.age(begun.wall),
        };
        let (permit, occupied, attempting, place) = (None, None, None, None);
        // Boxed, because it moves from hand to hand.
        Box::new(Self { gateway, story, permit, occupied, attempting, place, ended: false })
    }

    /// The call has found its service.
    pub(crate) fn routed(&mut self, service: Arc<Service>) {
        self.story.breaker = service.guard.state(&service.policy);
        if self.story.service.is_none() {
            self.decide_head(service.policy.head);
        }
        self.story.service = Some(service);
    }

    /// Decides about a trace that nobody has decided about, once and before anyone is called: callees are told of
    /// the decision, and by what probability it was taken. A share of all says nothing, since what ends may still
    /// be left out for there being too much, and that has no probability.
    fn decide_head(&mut self, share: Ratio) {
        let sampling = self.story.came.as_ref().map(|came| came.sampling);
        if share == Ratio::ALL || !matches!(sampling, None | Some(Sampling::Deferred)) {
            return;
        }
        let trace = &mut self.story.trace;
        if Told::of(trace.state.as_str()).is_kept(share, trace.trace_id) {
            trace.state = share.tell(&trace.state);
        } else {
            trace.flags = trace.flags.with_sampled(false);
            self.story.left_out = true;
        }
    }

    /// What the caller said of its trace: its format and its decision.
    pub(crate) fn came(&self) -> Option<&Extracted> {
        self.story.came.as_ref()
    }

    /// When the call began.
    pub(crate) fn begun(&self) -> Now {
        self.story.begun
    }

    /// The call has a place among those that the service takes at once.
    pub(crate) fn enter(&mut self, place: Option<Place>) {
        self.place = place;
    }

    /// The head of an answer has come.
    pub(crate) fn answered(&mut self, tried: &Tried) {
        let now = self.gateway.clock.mono();
        // A failure that comes fast is no sign of speed.
        if let Some(attempt) = self.story.attempts.last()
            && classify(tried.ending) == Outcome::Success
        {
            attempt.endpoint.latency.learn(now.since(attempt.begun.mono), now);
        }
        if let Some(patience) = tried.patience {
            for permit in self.permit.iter_mut().chain(&mut self.attempting) {
                permit.retry_after(patience);
            }
        }
    }

    /// What is answered in the service's place where it has no answer. Not to a call that changes something:
    /// who ordered must not be told that all is well.
    fn fallback(&self) -> Option<Fallback> {
        let is_safe = matches!(self.story.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let service = self.story.service.as_ref().filter(|_| is_safe)?;
        service.policy.fallback.clone()
    }

    /// What stands in for an answer of this status; nothing for one that is no failure.
    pub(crate) fn stand_in_for(&self, status: u16) -> Option<Fallback> {
        let is_failure = classify(Ending::Answered(status)) == Outcome::Failure;
        is_failure.then(|| self.fallback()).flatten()
    }

    /// Ends a call that the service has answered with an error, with another answer in its place.
    pub(crate) fn fall_back(mut self: Box<Self>, status: u16, fallback: &Fallback) -> Reply {
        self.story.fell_back = true;
        self.story.detail = format!("the service answered {status}");
        self.end(Ending::Answered(status), fallback.status);
        Reply::Own(refusal::stand_in(fallback, "upstream_status"))
    }

    /// Asks the service's breaker.
    pub(crate) fn ask_permit(&mut self, service: &Service) -> Result<(), Refusal> {
        let now = self.story.begun;
        match service.guard.permit(&service.policy, now) {
            Ok((permit, transition)) => {
                self.permit = permit;
                if let Some(transition) = transition {
                    self.story.breaker = transition.to;
                    self.gateway.tell(service, None, *transition, now);
                }
                Ok(())
            }
            Err(refused) => {
                self.story.breaker = refused.state;
                if let Some(transition) = &refused.transition {
                    self.gateway.tell(service, None, **transition, now);
                }
                let detail = format!(
                    "the circuit breaker of service {:?} is {}",
                    service.name.as_str(),
                    refused.state
                );
                Err(Refusal::new(Reason::BreakerOpen, detail).retry_after(service.guard.wait(&refused, now)))
            }
        }
    }

    /// Begins an attempt and answers with its place in the trace, when it began, and its number.
    pub(crate) fn begin_attempt(&mut self, chosen: Chosen) -> (TraceContext, Mono, u32) {
        let Chosen { occupied, permit, transition, home, at: begun } = chosen;
        let span = self.gateway.random.span_id();
        let endpoint = occupied.endpoint().clone();
        if let Some((service, transition)) = self.story.service.as_deref().zip(transition) {
            self.gateway.tell(service, Some(&endpoint), *transition, begun);
        }
        if let (Some(service), false) = (&self.story.service, self.story.attempts.is_empty()) {
            service.guard.counts.retries.one_more();
        }
        self.story.attempts.push(Attempt { span, endpoint, begun, home, end: None });
        (self.occupied, self.attempting) = (Some(occupied), permit);
        (self.story.trace.with_span(span), begun.mono, self.story.attempts.len() as u32)
    }

    /// The attempt under way has failed; the call may go on.
    pub(crate) fn end_attempt(&mut self, ending: Ending) {
        let now = self.gateway.clock.now();
        self.end_attempt_at(ending, now);
    }

    fn end_attempt_at(&mut self, ending: Ending, now: Now) {
        self.occupied = None;
        let permit = self.attempting.take();
        let Some(attempt) = self.story.attempts.last_mut().filter(|attempt| attempt.end.is_none()) else {
            return;
        };
        attempt.end = Some((now.mono, ending));
        let (endpoint, outcome) = (&attempt.endpoint, classify(ending));
        if matches!(outcome, Outcome::Success | Outcome::Failure) {
            endpoint.learn(outcome == Outcome::Failure, now.mono);
        }
        let (Some(permit), Some(service)) = (permit, &self.story.service) else { return };
        let Some(policy) = &service.policy.outlier_detection else { return };
        let (siblings, trace) = (service.seats.len(), self.story.trace.trace_id);
        if let Some(turn) = endpoint.outlier.end(permit, policy, siblings, outcome, trace, now) {
            if matches!(turn.to, State::Closed | State::Ramp) {
                endpoint.forgive();
            }
            self.gateway.tell(service, Some(endpoint), *turn, now);
        }
    }

    /// What else is to be said in the span.
    pub(crate) fn note(&mut self, detail: &str) {
        self.story.detail = detail.to_owned();
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        let policy = self.story.service.as_ref().map(|service| &service.policy);
        policy.map_or(resilience::Timeouts::default().idle, |policy| policy.timeouts.idle)
    }

    /// The place at the endpoint, for what goes on after the call (an upgraded connection).
    pub(crate) fn take_occupied(&mut self) -> Option<Occupied> {
        self.occupied.take()
    }

    /// The answer is complete, and its connection may serve another call.
    pub(crate) fn end_with_connection(
        mut self: Box<Self>,
        status: u16,
        connection: Box<Upstream>,
        sent_all: bool,
    ) {
        let now = self.gateway.clock.now();
        if sent_all && let Some(attempt) = self.story.attempts.last() {
            attempt.endpoint.pool.put(connection, now.mono);
        }
        self.close(Some(Ending::Answered(status)), status, now);
    }

    /// The call is over; `status` is what the client was told.
    pub(crate) fn end(mut self: Box<Self>, ending: Ending, status: u16) {
        let now = self.gateway.clock.now();
        self.close(Some(ending), status, now);
    }

    /// The call is answered by us.
    pub(crate) fn refuse(mut self: Box<Self>, refusal: Refusal) -> Reply {
        self.story.refused = Some(refusal.reason);
        self.story.detail = refusal.detail().to_owned();
        match &self.story.service {
            None => self.gateway.refusals.count(refusal.reason.as_str(), 1),
            Some(service) if refusal.reason.ending().is_none() => {
                service.guard.counts.refused.count(refusal.reason.as_str(), 1);
            }
            Some(_) => {}
        }
        let now = self.gateway.clock.now();
        match self.fallback().filter(|_| refusal.reason.is_the_services()) {
            Some(fallback) => {
                self.story.fell_back = true;
                self.close(refusal.reason.ending(), fallback.status, now);
                Reply::Own(refusal::stand_in(&fallback, refusal.reason.as_str()))
            }
            None => {
                self.close(refusal.reason.ending(), refusal.status(), now);
                Reply::Own(refusal.response())
            }
        }
    }

    /// Tells everyone. No ending means that we refused before anything was tried.
    fn close(&mut self, ending: Option<Ending>, status: u16, now: Now) {
        self.ended = true;
        self.place = None;
        self.end_attempt_at(ending.unwrap_or(Ending::CallerFault), now);
        let outcome = measured(ending);
        if let Some(service) = self.story.service.clone() {
            self.measure(&service, outcome, status, now);
            if let Some(permit) = self.permit.take() {
                let verdict = ending.map_or(Outcome::Ignored, classify);
                if let Some(transition) =
                    service.guard.end(permit, &service.policy, verdict, self.story.trace.trace_id, now)
                {
                    self.gateway.tell(&service, None, *transition, now);
                }
            }
        }
        self.gateway.access_log.see(&self.story, outcome, status, now);
        self.gateway.taps.see(&self.gateway, &self.story, outcome, status, now);
        self.trace(outcome, status, now);
    }

    fn measure(&self, service: &Service, outcome: monitoring::Outcome, status: u16, now: Now) {
        let nanos = now.mono.0.saturating_sub(self.story.begun.mono.0);
        let whole = &service.guard.meter;
        let meter = self.story.attempts.last().map_or(whole, |attempt| &attempt.endpoint.meter);
        let status = match outcome {
            monitoring::Outcome::Cancelled => StatusClass::None,
            _ => StatusClass::of(status),
        };
        meter.record(whole, outcome, status, nanos);
    }

    fn trace(&self, outcome: monitoring::Outcome, status: u16, now: Now) {
        let spans = 1 + self.story.attempts.len() as u64;
        let failed =
            |attempt: &Attempt| attempt.end.is_some_and(|(_, end)| classify(end) == Outcome::Failure);
        let remarkable = !matches!(outcome, monitoring::Outcome::Ok | monitoring::Outcome::Cancelled)
            || self.story.attempts.iter().any(failed);
        let decision = match self.story.came.as_ref().map(|came| came.sampling) {
            // Whoever began the trace has decided.
            Some(Sampling::Keep | Sampling::Debug) => Decision::Keep,
            Some(Sampling::Drop) => Decision::SampleOut,
            Some(Sampling::Deferred) | None => {
                self.gateway.sampling.decide(now.mono, remarkable, !self.story.left_out)
            }
        };
        match decision {
            Decision::SampleOut => self.gateway.outbox.sample_out(spans),
            decision => {
                let partial = decision == Decision::KeepPartial;
                let kept = spans::of(&self.story, &self.gateway.identity, outcome, status, now, partial);
                self.gateway.outbox.sample_out(spans - kept.len() as u64);
                self.gateway.outbox.push_spans(kept);
            }
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.ended {
            let now = self.gateway.clock.now();
            self.close(Some(Ending::Cancelled), 0, now);
        }
    }
}

/// The ending as calls are counted by.
fn measured(ending: Option<Ending>) -> monitoring::Outcome {
    match ending {
        None => monitoring::Outcome::Refused,
        Some(Ending::Failed(
            Fault::ConnectTimeout | Fault::AttemptTimeout | Fault::CallTimeout | Fault::Idle,
        )) => monitoring::Outcome::Timeout,
        Some(Ending::Cancelled | Ending::CallerFault) => monitoring::Outcome::Cancelled,
        Some(ending) => match classify(ending) {
            Outcome::Failure => monitoring::Outcome::Error,
            _ => monitoring::Outcome::Ok,
        },
    }
}

//! Handing over what happened.
//!
//! One report is under way at a time, and the same report is sent until it is durable: its sequence
//! number tells the other side what it has seen before. Meanwhile spans wait in the outbox, up to its
//! bound, and calls simply go on being counted in their histograms, so that of them nothing is lost
//! however long the other side is away.

use std::{sync::Arc, time::Duration};

use identity::{Namespace, ProxyId, ServiceName};
use resilience::{Backoff, OutlierPolicy, State};
use tokio::{
    select,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use wire::native::channel::{BreakerRow, Connections, EndpointRow, Intake, Report, ServiceCounts};

use crate::{
    Sink, SinkError, deviation,
    endpoint::Endpoint,
    gateway::Gateway,
    install::Departed,
    outbox::{REPORT_REFUSED, Taken},
};

/// How long the other side may take to answer before the report is sent again.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How soon a report is sent again.
const AGAIN: Backoff = Backoff { base: Duration::from_millis(200), max: Duration::from_secs(5) };

/// Makes reports and hands them over.
pub(crate) struct Reporter<S> {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) sink: S,
    pub(crate) proxy: ProxyId,
    pub(crate) epoch: u64,
    sequence: u64,
    /// Made, and not known to be durable.
    under_way: Option<Report>,
    /// The last view that was reported; the same is not reported again.
    shown: View,
    /// Rows of calls that were in refused reports, with those that had no room.
    lost_rows: u64,
    uncounted: u64,
    /// All calls have ended.
    is_leaving: bool,
    /// Whether a report has said so.
    said_farewell: bool,
}

/// What is not counted but looked at.
#[derive(Debug, Default, Clone, PartialEq)]
struct View {
    revision: u64,
    breakers: Vec<BreakerRow>,
    endpoints: Vec<EndpointRow>,
    refused: Vec<(String, u64)>,
    services: Vec<ServiceCounts>,
    connections: Connections,
    settled: u64,
}

impl<S: Sink> Reporter<S> {
    pub(crate) fn new(gateway: Arc<Gateway>, sink: S, proxy: ProxyId, epoch: u64) -> Self {
        let shown = View::default();
        Self {
            gateway,
            sink,
            proxy,
            epoch,
            sequence: 0,
            under_way: None,
            shown,
            lost_rows: 0,
            uncounted: 0,
            is_leaving: false,
            said_farewell: false,
        }
    }

    /// Reports again and again until told to stop, which means that all calls have ended; then once more,
    /// within `flush`, as a farewell.
    pub(crate) async fn run(mut self, every: Duration, flush: Duration, stopping: CancellationToken) {
        select! {
            () = self.report_forever(every) => {}
            () = stopping.cancelled() => {}
        }
        self.is_leaving = true;
        if timeout(flush, self.report_all()).await.is_err() {
            tracing::warn!("the last report could not be handed over in time");
        }
    }

    async fn report_forever(&mut self, every: Duration) {
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            select! {
                _ = tick.tick() => self.sweep(),
                () = self.gateway.outbox.bell.notified() => {}
            }
            self.report_all().await;
        }
    }

    /// Hands over all there is. Dropped in between, it goes on with the same report.
    async fn report_all(&mut self) {
        loop {
            if self.under_way.is_none() {
                self.under_way = self.make();
            }
            if self.under_way.is_none() {
                return;
            }
            self.hand_over().await;
            if !self.gateway.outbox.has_more() && self.is_leaving == self.said_farewell {
                return;
            }
        }
    }

    /// Sends the report under way until it is durable or refused.
    async fn hand_over(&mut self) {
        let mut tries = 0;
        while let Some(report) = &self.under_way {
            let answer = timeout(ANSWER_WITHIN, self.sink.report(report)).await;
            match answer.unwrap_or_else(|_| Err(SinkError::Unavailable("no answer in time".to_owned()))) {
                Ok(()) => {
                    self.gateway.outbox.acknowledged();
                    self.under_way = None;
                }
                Err(SinkError::Refused(why)) => {
                    tracing::error!(why, sequence = report.sequence, "a report was refused and is lost");
                    self.gateway.outbox.refused(report);
                    self.lost_rows += report.calls_intake.received;
                    self.under_way = None;
                }
                Err(SinkError::Unavailable(why)) => {
                    if tries == 0 {
                        tracing::warn!(why, "a report cannot be handed over; it is kept and sent again");
                    }
                    sleep(AGAIN.delay(tries, 0.5 + self.gateway.random.ratio() / 2.0)).await;
                    tries += 1;
                }
            }
        }
    }

    /// A report of what is new, or `None` where nothing is.
    fn make(&mut self) -> Option<Report> {
        let Taken { spans, intake: spans_intake, transitions } = self.gateway.outbox.take();
        let calls = self.gateway.book.collect();
        self.uncounted += self.gateway.book.take_uncounted();
        let view = self.view();
        let nothing =
            spans_intake.received == 0 && calls.is_empty() && transitions.is_empty() && self.uncounted == 0;
        let is_wanted = self.gateway.outbox.take_wanted() || self.is_leaving != self.said_farewell;
        if nothing && view == self.shown && !is_wanted {
            return None;
        }
        self.shown = view.clone();
        self.said_farewell = self.is_leaving;
        self.sequence += 1;
        Some(Report {
            proxy: self.proxy.clone(),
            epoch: self.epoch,
            sequence: self.sequence,
            at: self.gateway.clock.now().wall,
            revision: view.revision,
            spans_intake,
            spans,
            calls_intake: self.calls_intake(calls.len() as u64),
            calls,
            breakers: view.breakers,
            transitions,
            endpoints: view.endpoints,
            refused: view.refused,
            settled_revision: view.settled,
            leaving: self.is_leaving,
            services: view.services,
            connections: view.connections,
        })
    }

    fn calls_intake(&mut self, rows: u64) -> Intake {
        let lost = [
            (REPORT_REFUSED, std::mem::take(&mut self.lost_rows)),
            ("series_limit", std::mem::take(&mut self.uncounted)),
        ];
        let dropped: Vec<_> = lost
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| (reason.to_owned(), count))
            .collect();
        let received = rows + dropped.iter().map(|(_, count)| count).sum::<u64>();
        Intake { received, sampled_out: 0, dropped }
    }

    fn view(&self) -> View {
        // Before the calls in flight are looked at: what chose by an older table is among them.
        let settled = self.gateway.installed.settled();
        let routing = self.gateway.routing.load();
        let mut view = View {
            settled,
            revision: routing.revision.unwrap_or(0),
            refused: self.gateway.refusals.totals(),
            connections: self.gateway.connections.row(),
            ..View::default()
        };
        for service in routing.services() {
            view.breakers.extend(service.guard.row(service, &self.gateway.caller));
            view.services.extend(service.guard.counts.row(service));
            let called = service.endpoints.iter().filter(|endpoint| endpoint.was_called());
            let policy = service.policy.outlier_detection.as_ref();
            let row = |endpoint: &Arc<Endpoint>| row(&service.namespace, &service.name, endpoint, policy);
            view.endpoints.extend(called.map(row));
        }
        drop(routing);
        for Departed { namespace, service, endpoint } in self.gateway.installed.departed().iter() {
            let same = |known: &&mut EndpointRow| {
                known.instance == endpoint.instance
                    && known.service == *service
                    && known.namespace == *namespace
            };
            match view.endpoints.iter_mut().find(same) {
                // Registered again under another address: the instance has the calls of both.
                Some(known) => known.in_flight += endpoint.in_flight(),
                None => view.endpoints.push(row(namespace, service, endpoint, None)),
            }
        }
        view
    }

    /// What is due from time to time: endpoints are compared, and connections closed that nobody has needed
    /// for long.
    fn sweep(&self) {
        let now = self.gateway.clock.now();
        deviation::judge_all(&self.gateway, now);
        for service in self.gateway.routing.load().services() {
            if let Some(transition) = service.guard.end_force(&service.policy, now) {
                self.gateway.tell(service, None, *transition, now);
            }
        }
        for endpoint in self.gateway.routing.load().services().flat_map(|service| &service.endpoints) {
            endpoint.pool.sweep(now.mono);
        }
    }
}

fn row(
    namespace: &Namespace,
    service: &ServiceName,
    endpoint: &Endpoint,
    policy: Option<&OutlierPolicy>,
) -> EndpointRow {
    let outlier = &endpoint.outlier;
    EndpointRow {
        namespace: namespace.clone(),
        service: service.clone(),
        instance: endpoint.instance.clone(),
        in_flight: endpoint.in_flight(),
        state: policy.map_or(State::Disabled, |of| outlier.watched.breaker().state_under(&of.rules)),
        ejected: outlier.ejected(policy),
        counts: outlier.counts(),
    }
}

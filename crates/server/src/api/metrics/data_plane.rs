//! What the proxies say of themselves: breakers and ejections, retries, refusals, connections, and how old
//! what they route by is.
//!
//! A proxy counts since its start, so a sum that falls is a proxy that has restarted, as Prometheus expects.

use identity::ProxyId;
use monitoring::exposition::{Exposition, Type};
use wire::native::channel::ServiceCounts;

use crate::{live::ProxyState, state::State};

type Known = [(ProxyId, ProxyState)];

pub(super) fn expose(text: &mut Exposition, state: &State) {
    let proxies = state.live.proxies();
    let connected = proxies.iter().filter(|(_, proxy)| proxy.watches > 0).count();
    text.family("bellwether_proxies_connected", "Proxies that follow the registry.", Type::Gauge)
        .sample(&[], connected as f64);
    text.family("bellwether_proxies_known", "Proxies whose calls a drain waits for.", Type::Gauge)
        .sample(&[], state.subscribers.known().len() as f64);
    each_proxy(text, &proxies);
    breakers(text, &proxies);
    services(text, &proxies);
    text.family("bellwether_taps_open", "Streams of calls that somebody watches.", Type::Gauge)
        .sample(&[], state.taps.count() as f64);
}

fn each_proxy(text: &mut Exposition, proxies: &Known) {
    let mut family =
        text.family("bellwether_proxy_revision", "The revision by which a proxy routes.", Type::Gauge);
    for (proxy, of) in proxies {
        family.sample(&[("proxy", proxy.as_str())], of.revision as f64);
    }
    let mut family = text.family(
        "bellwether_proxy_connected",
        "1 where a proxy follows the registry, 0 where it goes by what it heard last.",
        Type::Gauge,
    );
    for (proxy, of) in proxies {
        family.sample(&[("proxy", proxy.as_str())], f64::from(u8::from(of.watches > 0)));
    }
    let mut family = text.family(
        "bellwether_proxy_connections",
        "Connections that a proxy has open: of clients, of clients that changed their protocol, to endpoints.",
        Type::Gauge,
    );
    for (proxy, of) in proxies {
        let open = of.connections;
        for (side, count) in
            [("client", open.clients), ("upgraded", open.upgraded), ("endpoint", open.endpoints)]
        {
            family.sample(&[("proxy", proxy.as_str()), ("side", side)], count as f64);
        }
    }
    let mut family = text.family(
        "bellwether_proxy_refused_total",
        "Requests and connections that a proxy refused or ended before they were any service's calls.",
        Type::Counter,
    );
    for (proxy, of) in proxies {
        for (reason, count) in &of.refused {
            family.count(&[("proxy", proxy.as_str()), ("reason", reason)], *count);
        }
    }
}

fn breakers(text: &mut Exposition, proxies: &Known) {
    let mut family = text.family(
        "bellwether_breaker_state",
        "1 for the state that a circuit breaker is in; it has no other series.",
        Type::Gauge,
    );
    for (proxy, of) in proxies {
        for row in &of.breakers {
            let labels = [
                ("proxy", proxy.as_str()),
                ("namespace", row.namespace.as_str()),
                ("caller", row.caller.as_str()),
                ("service", row.service.as_str()),
                ("route", row.route.as_str()),
                ("state", row.state.as_str()),
            ];
            family.sample(&labels, 1.0);
        }
    }
    let mut family =
        text.family("bellwether_endpoint_ejected", "1 for each endpoint that is out.", Type::Gauge);
    for (proxy, of) in proxies {
        for row in of.endpoints.iter().filter(|row| !row.ejected.is_empty()) {
            let labels = [
                ("proxy", proxy.as_str()),
                ("namespace", row.namespace.as_str()),
                ("service", row.service.as_str()),
                ("instance", row.instance.as_str()),
            ];
            family.sample(&labels, 1.0);
        }
    }
}

fn services(text: &mut Exposition, proxies: &Known) {
    let mut each = |name: &str, help: &str, figure: fn(&ServiceCounts) -> u64| {
        let mut family = text.family(name, help, Type::Counter);
        for (proxy, row) in rows(proxies) {
            family.count(&labels(proxy, row), figure(row));
        }
    };
    each("bellwether_retries_total", "Attempts beside the first of each call.", |row| row.retries);
    each(
        "bellwether_retries_over_budget_total",
        "Attempts that were not made because the budget for retries was used up.",
        |row| row.retries_over_budget,
    );
    each("bellwether_endpoint_ejections_total", "How often an endpoint was taken out.", |row| row.ejections);
    let mut by = |name: &str, help: &str, label: &str, counts: fn(&ServiceCounts) -> &[(String, u64)]| {
        let mut family = text.family(name, help, Type::Counter);
        for (proxy, row) in rows(proxies) {
            let [proxy, namespace, service] = labels(proxy, row);
            for (value, count) in counts(row) {
                family.count(&[proxy, namespace, service, (label, value)], *count);
            }
        }
    };
    by(
        "bellwether_calls_refused_total",
        "Calls that a proxy refused without sending them: an open breaker, a rate, a limit of calls at once.",
        "reason",
        |row| &row.refused,
    );
    by(
        "bellwether_breaker_transitions_total",
        "What circuit breakers did, by the state that they went into.",
        "to",
        |row| &row.transitions,
    );
}

fn rows(proxies: &Known) -> impl Iterator<Item = (&ProxyId, &ServiceCounts)> {
    proxies.iter().flat_map(|(proxy, of)| of.services.iter().map(move |row| (proxy, row)))
}

fn labels<'a>(proxy: &'a ProxyId, row: &'a ServiceCounts) -> [(&'a str, &'a str); 3] {
    [("proxy", proxy.as_str()), ("namespace", row.namespace.as_str()), ("service", row.service.as_str())]
}

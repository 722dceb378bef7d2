// What the map has seen since it was opened. An edge whose calls have left the time range keeps its line (drawn
// faint) and so everything keeps its place; a service that is gone altogether takes its edges with it.

import type { Overview } from '../api/types';
import type { Call } from './layout';

export interface Topology {
  services: string[];
  calls: Call[];
}

/** Beyond this many remembered edges the memory starts anew from what is there now. */
export const MAX_REMEMBERED = 2_000;

export const callKey = ({ caller, service }: Call): string => JSON.stringify([caller, service]);

export function remember(before: Topology, now: Pick<Overview, 'services' | 'edges'>): Topology {
  const services = now.services.map(({ service }) => service);
  const current = now.edges.map(({ caller, service }) => ({ caller, service }));
  const registered = new Set(services);
  // A caller need not be registered (the gateway is not), so it is known as long as it was seen calling.
  const known = before.calls.filter(({ service }) => registered.has(service));
  const calls = new Map([...known, ...current].map((call) => [callKey(call), call]));
  const kept = calls.size > MAX_REMEMBERED ? current : [...calls.values()];
  const same =
    kept.length === before.calls.length &&
    services.length === before.services.length &&
    services.every((service, i) => service === before.services[i]) &&
    kept.every((call, i) => callKey(call) === callKey(before.calls[i]!));
  // The same object when nothing changed, so that nothing is laid out anew for a change of figures.
  return same ? before : { services, calls: kept };
}

/** How far a focused map reaches from its centre, in calls. */
const HOPS = 2;
/** So many services a focused map has at most: the nearest ones. */
export const MOST_FOCUSED = 60;

/** The services around one, nearest first: who calls it and whom it calls, and the same once more. */
export function around(centre: string, calls: readonly Call[]): Set<string> {
  const beside = new Map<string, string[]>();
  const add = (of: string, one: string) => beside.get(of)?.push(one) ?? beside.set(of, [one]);
  for (const { caller, service } of calls) {
    add(caller, service);
    add(service, caller);
  }
  const found = new Set([centre]);
  let ring = [centre];
  for (let hop = 0; hop < HOPS; hop++) {
    const next = ring.flatMap((name) => beside.get(name) ?? []).filter((name) => !found.has(name));
    for (const name of next) if (found.size < MOST_FOCUSED) found.add(name);
    ring = [...new Set(next)].filter((name) => found.has(name));
  }
  return found;
}

/** What a map shows that is focused on one service. Left out before anything is laid out or drawn. */
export function focused<O extends Pick<Overview, 'services' | 'edges'>>(overview: O, centre: string): O {
  const near = around(centre, overview.edges);
  return {
    ...overview,
    services: overview.services.filter(({ service }) => near.has(service)),
    edges: overview.edges.filter(({ caller, service }) => near.has(caller) && near.has(service)),
  };
}

/** What a large map is focused on where nobody has chosen: what is wrong, else where most calls go. */
export const centreOf = ({ findings, edges, services }: Pick<Overview, 'findings' | 'edges' | 'services'>): string =>
  findings[0]?.service ?? edges.reduce<Overview['edges'][number] | null>((most, edge) => (most !== null && most.red.calls >= edge.red.calls ? most : edge), null)?.service ?? services[0]?.service ?? '';

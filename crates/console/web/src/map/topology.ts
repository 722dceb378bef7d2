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

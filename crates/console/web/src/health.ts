// The shapes on the map and the colours in the tables. What is wrong, and whether a share of failed calls means
// something, is judged by the server, so that they cannot disagree with its sentences.

import type { Breaker, Edge, Finding, ServiceRow } from './api/types';

export type Health = 'ok' | 'idle' | 'warn' | 'bad' | 'unknown';

/** How a breaker looks from outside: what happens to a call that comes now. */
export type Circuit = 'none' | 'passing' | 'refusing' | 'probing';

export function circuitOf(breaker: Breaker | null): Circuit {
  switch (breaker?.state) {
    case undefined:
      return 'none';
    case 'open':
    case 'forced_open':
      return 'refusing';
    case 'half_open':
    case 'ramp':
      return 'probing';
    default:
      return 'passing';
  }
}

/** A service that people have taken out on purpose is not broken: only `down` counts against it. */
const nothingUp = ({ instances }: ServiceRow): boolean =>
  instances.total > 0 && instances.up === 0 && instances.down > 0;

/** Whether somebody is hurt now, or only might be. */
export const severityOf = ({ kind }: Finding): Health =>
  kind === 'breaker_open' || kind === 'no_instance_up' ? 'bad' : 'warn';

/** The health of a service by itself; a breaker into it is drawn on the edge, but colours the service too. */
export function healthOf(row: ServiceRow | undefined, incoming: readonly Edge[]): Health {
  if (row === undefined || row.instances.total === 0) return 'unknown';
  if (nothingUp(row)) return 'bad';
  const circuits = incoming.map(({ breaker }) => circuitOf(breaker));
  if (circuits.includes('refusing')) return 'bad';
  // Whoever is missing, on purpose or not: what is left has less to spare.
  if (row.instances.up < row.instances.total || circuits.includes('probing') || row.red.failing) {
    return 'warn';
  }
  return row.red.calls === 0 ? 'idle' : 'ok';
}

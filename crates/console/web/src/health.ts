// What is wrong, judged from one overview: the worst first. The sentence on top, the shapes on the map and the
// colours in the tables all come from here, so they can never disagree.

import type { Breaker, Edge, Overview, Red, ServiceRow } from './api/types';

/** Above this share of failed calls a service is unwell. */
export const ERROR_RATIO_THRESHOLD = 0.05;
/** Below this many calls a ratio is an accident, not a statistic. */
export const MIN_CALLS = 5;

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

export const tooManyErrors = (red: Red): boolean =>
  red.calls >= MIN_CALLS && red.error_ratio > ERROR_RATIO_THRESHOLD;

export type Finding =
  | { kind: 'breaker_open'; severity: 2; caller: string; service: string; breaker: Breaker }
  | { kind: 'no_instance_up'; severity: 2; service: string; total: number }
  | { kind: 'errors'; severity: 1; service: string; red: Red }
  | { kind: 'breaker_probing'; severity: 1; caller: string; service: string; breaker: Breaker }
  | { kind: 'instances_down'; severity: 1; service: string; down: number; total: number };

/** Refused calls hurt someone now; a service with nothing up may have nobody who calls it. */
const ORDER: readonly Finding['kind'][] = ['breaker_open', 'no_instance_up', 'errors', 'breaker_probing', 'instances_down'];

/** A service that people have taken out on purpose is not broken: only `down` counts against it. */
const nothingUp = ({ instances }: ServiceRow): boolean =>
  instances.total > 0 && instances.up === 0 && instances.down > 0;

export function findings(overview: Pick<Overview, 'services' | 'edges'>): Finding[] {
  const found: Finding[] = [];
  for (const { caller, service, breaker } of overview.edges) {
    const circuit = circuitOf(breaker);
    if (breaker === null) continue;
    if (circuit === 'refusing') found.push({ kind: 'breaker_open', severity: 2, caller, service, breaker });
    if (circuit === 'probing') found.push({ kind: 'breaker_probing', severity: 1, caller, service, breaker });
  }
  for (const row of overview.services) {
    const { service, instances, red } = row;
    if (nothingUp(row)) {
      found.push({ kind: 'no_instance_up', severity: 2, service, total: instances.total });
    } else if (instances.down > 0) {
      const { down, total } = instances;
      found.push({ kind: 'instances_down', severity: 1, service, down, total });
    }
    if (tooManyErrors(red)) found.push({ kind: 'errors', severity: 1, service, red });
  }
  const ratio = (finding: Finding) => (finding.kind === 'errors' ? finding.red.error_ratio : 0);
  const byName = (a: string, b: string) => (a < b ? -1 : Number(a > b));
  return found.sort(
    (a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind) || ratio(b) - ratio(a) || byName(a.service, b.service),
  );
}

/** The health of a service by itself; a breaker into it is drawn on the edge, but colours the service too. */
export function healthOf(row: ServiceRow | undefined, incoming: readonly Edge[]): Health {
  if (row === undefined || row.instances.total === 0) return 'unknown';
  if (nothingUp(row)) return 'bad';
  const circuits = incoming.map(({ breaker }) => circuitOf(breaker));
  if (circuits.includes('refusing')) return 'bad';
  if (row.instances.up === 0 || row.instances.down > 0 || circuits.includes('probing') || tooManyErrors(row.red)) {
    return 'warn';
  }
  return row.red.calls === 0 ? 'idle' : 'ok';
}

// What an event's details say, in words. Numbers that only the machine needs are left out, and so is what the event
// says already; a detail that is not known here is shown under its own name, for what it is.

import { duration } from '../format';
import type { GovernanceEvent } from '../api/types';

/** One detail: a message `events.detail.NAME` filled with a value, or a word of its own. */
export type Said =
  | { name: Named; value: string | number }
  | { name: null; key: string; value: string };

/** Details that have a message, and how their value is written. */
const NAMED = {
  address: null,
  caller: null,
  proxy: null,
  version: null,
  policy: null,
  label: null,
  from: null,
  until: null,
  number: null,
  successes: null,
  failures: null,
  slow: null,
  refused: null,
  series: null,
  values: null,
  latency: null,
  errors: null,
} as const;
export type Named = keyof typeof NAMED;
const COUNTS: readonly string[] = ['successes', 'failures', 'slow', 'refused', 'quiesced', 'acked', 'unacknowledged', 'unreachable', 'consecutive_failures'];

/** Bookkeeping between machines, or said by the event itself: its reason, its action, the links below it. */
const SILENT: readonly string[] = [
  'registry_revision', 'drain_revision', 'policy_revision', 'until_unix_ns', 'trace_id', 'status', 'safe', 'to', 'consecutive_failures',
  'quiesced', 'acked', 'unacknowledged', 'unreachable',
];

export function said({ kind, action, actor, service, details }: GovernanceEvent): Said[] {
  return Object.entries(details ?? {}).flatMap(([key, given]): Said[] => {
    const value = typeof given === 'string' ? given : JSON.stringify(given);
    const one = (name: Named, value: string | number): Said[] => [{ name, value }];
    if (SILENT.includes(key)) return [];
    if (COUNTS.includes(key) && Number(value) === 0) return [];
    switch (key) {
      // For a breaker, the state that it left; else where the request came from, which its reader knows as a place.
      case 'from':
        return kind === 'breaker' ? [] : one('from', value.replace(/^http /, ''));
      case 'number':
        return kind === 'policy' ? one('number', value) : [];
      case 'until':
        return action === 'reset' ? [] : one('until', value);
      case 'route':
        return value === 'default' ? [] : [{ name: null, key, value }];
      case 'proxy':
        return value === actor ? [] : one('proxy', value);
      case 'service':
        return value === service ? [] : [{ name: null, key, value }];
      case 'latency_ms':
        return one('latency', duration(Number(value) * 1e6));
      case 'errors_percent':
        return one('errors', value);
      default:
        return Object.hasOwn(NAMED, key) ? one(key as Named, value) : [{ name: null, key: key.replaceAll('_', ' '), value }];
    }
  });
}

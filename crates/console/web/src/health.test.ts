import { describe, expect, test } from 'vitest';
import type { Edge, InstanceCounts, Red, ServiceRow } from './api/types';
import { circuitOf, healthOf } from './health';

const red = (calls: number, errors = 0): Red => ({
  calls,
  errors,
  refused: 0,
  rate_per_second: calls / 300,
  error_ratio: calls === 0 ? 0 : errors / calls,
  failing: errors > 0,
  mean_ns: null,
  p50_ns: null,
  p90_ns: null,
  p99_ns: null,
  max_ns: null,
});
const row = (service: string, counts: Partial<InstanceCounts>, calls = red(0)): ServiceRow => {
  const instances = { total: 0, up: 0, down: 0, starting: 0, draining: 0, maintenance: 0, ...counts };
  instances.total = Object.values({ ...instances, total: 0 }).reduce((sum, n) => sum + n, 0);
  return { service, instances, red: calls };
};
const edge = (caller: string, service: string, state: string | null): Edge => ({
  caller,
  service,
  red: red(10),
  breaker: state === null ? null : { state, since: null, reason: null },
});
describe('health', () => {
  test('of a service that is called but not registered is unknown', () => {
    expect(healthOf(undefined, [])).toBe('unknown');
  });

  test.each([
    [row('a', { up: 1 }, red(10)), null, 'ok'],
    [row('a', { up: 1 }), null, 'idle'],
    [row('a', { up: 1 }, red(10)), 'open', 'bad'],
    [row('a', { up: 1 }, red(10)), 'ramp', 'warn'],
    [row('a', { up: 1, down: 1 }), null, 'warn'],
    [row('a', { up: 1, draining: 1 }, red(10)), 'closed', 'warn'],
    [row('a', { up: 1, maintenance: 1 }, red(10)), 'closed', 'warn'],
    [row('a', { down: 1 }), null, 'bad'],
    [row('a', { starting: 1 }), null, 'warn'],
    [row('a', { up: 1 }, red(10, 3)), 'closed', 'warn'],
  ] as const)('case %#', (service, state, health) => {
    expect(healthOf(service, [edge('gateway', 'a', state)])).toBe(health);
  });
});

test('every state of a breaker says what happens to a call', () => {
  const circuit = (state: string) => circuitOf({ state, since: null, reason: null });
  expect(['closed', 'forced_closed', 'disabled', 'shadow'].map(circuit)).toEqual(Array(4).fill('passing'));
  expect(['open', 'forced_open'].map(circuit)).toEqual(['refusing', 'refusing']);
  expect(['half_open', 'ramp'].map(circuit)).toEqual(['probing', 'probing']);
  expect(circuitOf(null)).toBe('none');
});

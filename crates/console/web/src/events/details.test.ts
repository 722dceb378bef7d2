import { expect, test } from 'vitest';
import type { GovernanceEvent } from '../api/types';
import { said } from './details';

const event = (kind: string, action: string, details: Record<string, unknown>): GovernanceEvent => ({
  revision: 1, at: '', kind, action, namespace: null, service: 'cart', instance: null, actor: 'gateway', reason: null, details, exemplar_trace_ids: null,
});

test("a breaker's event says its counts, not its bookkeeping", () => {
  const details = {
    caller: 'gateway', proxy: 'gateway', route: 'default', from: 'closed', to: 'open', policy_revision: '2',
    successes: '1911', failures: '8', slow: '0', refused: '27', consecutive_failures: '5',
  };
  expect(said(event('breaker', 'open', details))).toEqual([
    { name: 'caller', value: 'gateway' },
    { name: 'successes', value: '1911' },
    { name: 'failures', value: '8' },
    { name: 'refused', value: '27' },
  ]);
});

test('a reset has no end, a forced breaker has', () => {
  const details = { number: '17', until: '2026-11-24T04:00:00Z', until_unix_ns: '1' };
  expect(said(event('breaker', 'reset', details))).toEqual([]);
  expect(said(event('breaker', 'force_open', details))).toEqual([{ name: 'until', value: '2026-11-24T04:00:00Z' }]);
});

test('what is not known keeps its name, without underscores, and its value', () => {
  expect(said(event('server', 'new', { some_thing: 'x' }))).toEqual([{ name: null, key: 'some thing', value: 'x' }]);
});

test('a latency is written as people read it', () => {
  expect(said(event('instance', 'demo_break', { latency_ms: '2000' }))).toEqual([{ name: 'latency', value: '2\u202Fs' }]);
});

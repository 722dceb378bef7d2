import { expect, test } from 'vitest';
import type { Edge, Overview, ServiceRow } from '../api/types';
import { focused, MAX_REMEMBERED, MOST_FOCUSED, remember, type Topology } from './topology';

const NOTHING: Topology = { services: [], calls: [] };
const overview = (services: string[], edges: string[]): Pick<Overview, 'services' | 'edges'> => ({
  services: services.map((service) => ({ service }) as ServiceRow),
  edges: edges.map((edge) => {
    const [caller, service] = edge.split('>');
    return { caller, service } as Edge;
  }),
});
const calls = (topology: Topology) => topology.calls.map(({ caller, service }) => `${caller}>${service}`);

test('an edge that falls silent keeps its line', () => {
  const busy = remember(NOTHING, overview(['a', 'b'], ['gateway>a', 'a>b']));
  expect(calls(remember(busy, overview(['a', 'b'], ['gateway>a'])))).toEqual(['gateway>a', 'a>b']);
});

test('a service that is gone takes the edges into it with it', () => {
  const busy = remember(NOTHING, overview(['a', 'b'], ['gateway>a', 'a>b']));
  expect(calls(remember(busy, overview(['a'], ['gateway>a'])))).toEqual(['gateway>a']);
});

test('new figures alone change nothing, so that nothing is laid out anew', () => {
  const once = remember(NOTHING, overview(['a', 'b'], ['gateway>a', 'a>b']));
  expect(remember(once, overview(['a', 'b'], ['gateway>a', 'a>b']))).toBe(once);
  expect(remember(once, overview(['a', 'b'], ['a>b']))).toBe(once);
});

test('the memory is bounded', () => {
  const many = Array.from({ length: MAX_REMEMBERED }, (_, i) => `c${i}>a`);
  const full = remember(NOTHING, overview(['a'], many));
  expect(full.calls).toHaveLength(MAX_REMEMBERED);
  expect(calls(remember(full, overview(['a'], ['gateway>a'])))).toEqual(['gateway>a']);
});

test('a focused map has whom a service calls and who calls it, twice over, and nothing else', () => {
  const whole = overview(['a', 'b', 'c', 'd', 'e', 'x'], ['a>b', 'b>c', 'c>d', 'd>e', 'gateway>c', 'x>x']);
  const { services, edges } = focused(whole, 'c');
  expect(services.map(({ service }) => service)).toEqual(['a', 'b', 'c', 'd', 'e']);
  expect(edges.map(({ caller, service }) => `${caller}>${service}`)).toEqual(['a>b', 'b>c', 'c>d', 'd>e', 'gateway>c']);
  expect(focused(whole, 'x').services.map(({ service }) => service)).toEqual(['x']);
});

test('a focused map stays small around a service that everybody calls', () => {
  const names = Array.from({ length: 300 }, (_, i) => `s${i}`);
  const { services } = focused(overview(['log', ...names], names.map((name) => `${name}>log`)), 'log');
  expect(services.length).toBe(MOST_FOCUSED);
  expect(services[0]!.service).toBe('log');
});

import { expect, test } from 'vitest';
import type { Edge, Overview, ServiceRow } from '../api/types';
import { MAX_REMEMBERED, remember, type Topology } from './topology';

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
